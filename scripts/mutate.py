"""Breaks the lines of the model specification one by one and demands that the tests named for each notice.

tests/mutations/mutations.toml lists the mutations: a piece of text in one file, what to put in its place, and the tests
that must fail then. Everything happens in a copy of the tree, build/mutations, with a build of its own that stays for
the next run. First all named tests must pass on the tree as it is. Then, for each mutation, they must run and fail: a
mutation that does not compile, tests that cannot be collected and programs that crash say nothing and count as broken.

  build/venv/bin/python scripts/mutate.py                  all of them
  build/venv/bin/python scripts/mutate.py --only NAME ...  some

Exit status: 0 when every mutation was caught; 1 when one survived or is broken; 2 when none could be tried, as where
tests fail without any or the text to replace is no longer there once.
"""

from __future__ import annotations

import argparse
import filecmp
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutations" / "mutations.toml"
COPY = ROOT / "build" / "mutations"
BUILD = COPY / "build" / "release"
# The copy's Python packages come before installed ones, and tests look for the copy's build.
PACKAGES = [str(COPY / "converter"), str(COPY / "training")]
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(PACKAGES),
    "PYTHONDONTWRITEBYTECODE": "1",  # a mutation of the same size in the same second would find stale code
    "VQRANK_BUILD": str(BUILD),
    "OMP_NUM_THREADS": "1",
}
COMPILED = (".c", ".h", ".cc", ".hh", ".def", ".fbs")
TIMEOUT, LONG_TIMEOUT = 300, 3600  # seconds: a test, and a build or all tests together
# What a test of a mutation that is no longer the language says, in place of what it is about.
NOT_A_FAILURE = ("NameError", "SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError")
CRASHED = re.compile(r"Test failed with exception|: signal \d+ \(")


def refuse(message: str) -> NoReturn:
    """Ends the program before any mutation."""
    print(f"mutate.py: {message}", file=sys.stderr)
    sys.exit(2)


class Broken(Exception):
    """A mutation or a test of which nothing can be said: it does not compile, run or apply."""


@dataclass(frozen=True)
class Test:
    """A pytest node of tests/python, written FILE.py::NAME, or a program of the build, written NAME or NAME:PART,
    PART being a cmocka test or a kernel of check_kernels."""

    text: str

    @property
    def is_python(self) -> bool:
        return ".py" in self.text

    @property
    def program(self) -> str:
        return self.text.partition(":")[0]

    @property
    def part(self) -> str:
        return self.text.partition(":")[2]


@dataclass(frozen=True)
class Mutation:
    """`line`: the section and the words of the specification that it breaks."""

    name: str
    line: str
    file: str
    old: str
    new: str
    tests: tuple[Test, ...]

    @property
    def compiles(self) -> bool:
        return Path(self.file).suffix in COMPILED


def read_list() -> list[Mutation]:
    """The mutations; `[names]` shortens what stands before a test's first bracket."""
    content = tomllib.loads(LIST.read_text(encoding="utf-8"))
    names: dict[str, str] = content.get("names", {})

    def test(text: str) -> Test:
        head, bracket, rest = text.partition("[")
        return Test(names.get(head, head) + bracket + rest)

    found = [
        Mutation(m["name"], m["line"], m["file"], m["old"], m["new"], tuple(test(t) for t in m["tests"]))
        for m in content["mutation"]
    ]
    if len({m.name for m in found}) != len(found):
        refuse(f"{LIST}: expected distinct names of mutations, found one twice")
    return found


def copy_tree() -> None:
    """Brings build/mutations to the state of the tree, uncommitted work included; unchanged files keep their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    wanted = {name for name in os.fsdecode(listed.stdout).split("\0") if name and (ROOT / name).is_file()}
    for path in list(COPY.rglob("*")) if COPY.exists() else []:
        name = path.relative_to(COPY).as_posix()
        if path.is_file() and not name.startswith("build/") and name not in wanted:
            path.unlink()
    for name in wanted:
        source, target = ROOT / name, COPY / name
        if not target.exists() or not filecmp.cmp(source, target, shallow=False):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def run(command: list[str], timeout: int = TIMEOUT) -> subprocess.CompletedProcess[str]:
    """A command in the copy."""
    try:
        return subprocess.run(
            command, cwd=COPY, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise Broken(f"{' '.join(command[:4])} ... ran for more than {timeout} s") from None


def run_pytest(arguments: list[str], timeout: int) -> tuple[int, str]:
    """pytest in the copy, in a fork of this process: PyTorch, which takes seconds to import, is there already. Returns
    the exit status, negative for a signal, and the output."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            signal.alarm(timeout)
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os.chdir(COPY)
            os.environ.update(ENVIRONMENT)
            sys.dont_write_bytecode = True
            sys.path[:0] = PACKAGES
            status = 70
            try:
                status = int(pytest.main(["-q", "--tb=no", "-p", "no:cacheprovider", *arguments]))
            finally:
                sys.stdout.flush()
                os._exit(status)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().decode(errors="replace")


def configure() -> None:
    done = run(["cmake", "--preset", "release", "-DVQRANK_TESTS=ON"])
    if done.returncode:
        refuse(f"cmake: {done.stderr}")


def build(tests: Iterable[Test]) -> None:
    """Builds what the tests run: their programs, or the command and the library for those in Python."""
    targets = {t for test in tests for t in (("vqrank_command", "vqrank") if test.is_python else (test.program,))}
    done = run(["cmake", "--build", str(BUILD), "--target", *sorted(targets)], LONG_TIMEOUT)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "error" in line] or done.stdout.splitlines()[-3:]
        raise Broken(f"does not build: {errors[0] if errors else done.stderr}")


def failed_programs(tests: Iterable[Test]) -> set[Test]:
    """Those of the C tests that fail. Programs are run once, with check_kernels once for each kernel."""
    failed: set[Test] = set()
    outputs: dict[tuple[str, ...], tuple[int, str]] = {}
    for test in tests:
        by_argument = test.program == "check_kernels" and test.part
        command = (str(BUILD / "tests" / test.program), *([test.part] if by_argument else []))
        if command not in outputs:
            done = run(list(command))
            outputs[command] = done.returncode, done.stdout + done.stderr
        status, output = outputs[command]
        if status < 0 or CRASHED.search(output):
            raise Broken(f"{test.text} crashed instead of failing")
        named = by_argument or not test.part or re.search(rf"\[  FAILED  \] {test.part}$", output, re.MULTILINE)
        if status and named:
            failed.add(test)
    return failed


def failed_nodes(tests: Iterable[Test], every: bool) -> set[Test]:
    """Those of the pytest nodes that fail. A function with parameters, named without them, may take long for all, so it
    runs apart, and unless `every` is asked for it ends with the first that fails."""
    tests = list(tests)
    single = [test for test in tests if every or "[" in test.text]
    several = [[test] for test in tests if test not in single]
    return {test for group in [single, *several] if group for test in failed_together(group, every)}


def failed_together(tests: list[Test], every: bool) -> set[Test]:
    """Those of the nodes that fail in one run of pytest."""
    report = COPY / "build" / "pytest.xml"
    report.unlink(missing_ok=True)
    arguments = [f"--junitxml={report}", *(f"tests/python/{test.text}" for test in tests)]
    if len(tests) == 1 and not every:
        arguments.append("-x")
    status, output = run_pytest(arguments, LONG_TIMEOUT if every else TIMEOUT)
    if status not in (0, 1):
        raise Broken(f"pytest ended with {status}: {output.strip()[-300:]}")
    failed: set[Test] = set()
    for case in ElementTree.parse(report).iter("testcase"):
        node = f"{case.get('classname', '').rpartition('.')[2]}.py::{case.get('name')}"
        errors = [error.get("message", "") for error in case.iter("error")]
        failures = [failure.get("message", "") for failure in case.iter("failure")]
        if errors or any(message.startswith(NOT_A_FAILURE) for message in failures):
            raise Broken(f"{node} could not run: {(errors or failures)[0][:200]}")
        if failures:
            failed |= {test for test in tests if node == test.text or node.startswith(f"{test.text}[")}
    return failed


def failed_tests(tests: Iterable[Test], every: bool = False) -> set[Test]:
    tests = list(tests)
    return failed_programs(t for t in tests if not t.is_python) | failed_nodes((t for t in tests if t.is_python), every)


def replaced(mutation: Mutation, text: str) -> str:
    found = text.count(mutation.old)
    if found != 1:
        raise Broken(f"{mutation.file}: expected the old text once, found it {found} times")
    if mutation.new == mutation.old:
        raise Broken("changes nothing")
    return text.replace(mutation.old, mutation.new)


@contextmanager
def applied(mutation: Mutation) -> Iterator[None]:
    """The mutation in the copy, which is as before afterwards."""
    path = COPY / mutation.file
    text = path.read_text(encoding="utf-8")
    path.write_text(replaced(mutation, text), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def try_out(mutation: Mutation) -> str:
    """What came of a mutation: "caught", or in words what did not."""
    try:
        with applied(mutation):
            if mutation.compiles:
                build(mutation.tests)
            failed = failed_tests(mutation.tests)
    except Broken as error:
        return f"BROKEN: {error}"
    passed = [test.text for test in mutation.tests if test not in failed]
    return f"SURVIVED: {', '.join(passed)}" if passed else "caught"


def restored(mutations: list[Mutation]) -> None:
    """Builds again what the last mutations left behind, for the next run to start from."""
    if any(mutation.compiles for mutation in mutations):
        build(test for mutation in mutations for test in mutation.tests)


def check_unbroken(mutations: list[Mutation]) -> None:
    """All named tests must pass where nothing is broken; ends the program where one does not."""
    tests = sorted({test for mutation in mutations for test in mutation.tests}, key=lambda test: test.text)
    try:
        build(tests)
        failed = failed_tests(tests, every=True)
    except Broken as error:
        refuse(f"without any mutation: {error}")
    if failed:
        refuse(f"fail without any mutation: {', '.join(sorted(test.text for test in failed))}")


def run_all(mutations: list[Mutation]) -> int:
    """Tries the mutations one by one and prints what came of each."""
    started, results = time.monotonic(), {}
    for mutation in tqdm(mutations, unit="mutation", disable=not sys.stderr.isatty()):
        results[mutation.name] = result = try_out(mutation)
        tqdm.write(f"{mutation.name:<40} {result}")
    restored(mutations)
    bad = {name: result for name, result in results.items() if result != "caught"}
    print(f"{len(results) - len(bad)} of {len(results)} mutations caught in {time.monotonic() - started:.0f} s")
    for name, result in bad.items():
        print(f"  {name}: {result}")
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", action="append", help="this mutation; may be given several times")
    parser.add_argument("--list", action="store_true", help="print the mutations and what they break, and run none")
    options = parser.parse_args()
    mutations = read_list()
    if options.only:
        unknown = set(options.only) - {mutation.name for mutation in mutations}
        if unknown:
            parser.error(f"no mutation is called {', '.join(sorted(unknown))}; --list shows them")
        mutations = [mutation for mutation in mutations if mutation.name in options.only]
    for mutation in mutations:
        if options.list:
            print(f"{mutation.name:<40} {mutation.line}")
        try:
            replaced(mutation, (ROOT / mutation.file).read_text(encoding="utf-8"))
        except Broken as error:
            refuse(f"{mutation.name}: {error}")
    if options.list:
        return 0
    copy_tree()
    configure()
    os.environ["OMP_NUM_THREADS"] = "1"
    tqdm.monitor_interval = 0  # no thread beside the one that forks
    importlib.import_module("torch")
    check_unbroken(mutations)
    return run_all(mutations)


if __name__ == "__main__":
    sys.exit(main())
