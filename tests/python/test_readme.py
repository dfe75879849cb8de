"""What README.md shows is what there is: its program compiles against an installed library and runs; its links lead
somewhere. The tests and modules that other pages name exist."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from library import build_folder, score_lines
from test_models_float64 import convert

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = ROOT / "examples" / "library" / "rank.c"


def test_the_program_is_the_example():
    (shown,) = re.findall(r"```c\n(.*?)```", README, re.DOTALL)
    assert shown == PROGRAM.read_text(encoding="utf-8")


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_of_the_demo_are_written_by_it(page):
    written = (ROOT / "demo.sh").read_text() + (ROOT / "examples" / "commits" / "make_requests.py").read_text()
    for name in re.findall(r"build/demo/([\w.]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert name in written, f"{page} uses build/demo/{name}, which demo.sh does not write"


def test_tests_that_conformance_names_exist():
    """`FILE::TEST`, and `::TEST` of the file named last in its line; TEST may end in *."""
    files = {path.name: path.read_text() for end in ("c", "py") for path in (ROOT / "tests").rglob(f"*.{end}")}
    found = 0
    for line in (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8").splitlines():
        file = ""
        for name, colons, test in re.findall(r"`((?:test|check)_\w+\.(?:c|py))?(?:(::)([\w*]+))?`", line):
            file = name or file
            assert file in files or not (name or colons), f"{file}, in {line}"
            if colons:
                wanted = re.escape(test).replace(r"\*", r"\w+")
                assert re.search(rf"^(def|static void) {wanted}\(", files[file], re.MULTILINE), f"{file}::{test}"
            found += bool(name or colons)
    assert found > 100


def test_the_converter_lists_its_modules():
    folder = ROOT / "converter"
    listed = re.findall(r"`(\w+\.py)`", (folder / "README.md").read_text(encoding="utf-8"))
    there = {path.name for path in (folder / "vqrank_convert").glob("*.py") if not path.name.startswith("__")}
    assert there == set(listed) - {"setup.py"}


def test_the_program_compiles_and_runs(tmp_path):
    prefix = tmp_path / "prefix"
    subprocess.run(["cmake", "--install", build_folder(), "--prefix", prefix], check=True, capture_output=True)
    (pc,) = prefix.rglob("vqrank.pc")
    environment = os.environ | {"PKG_CONFIG_PATH": str(pc.parent), "LD_LIBRARY_PATH": str(pc.parent.parent)}
    command = f"cc -std=c11 -Wall -Wextra -Werror {PROGRAM} $(pkg-config --cflags --libs vqrank) -o {tmp_path}/rank"
    subprocess.run(["sh", "-c", command], check=True, env=environment)
    model = tmp_path / "commits.vqr"
    convert(ROOT / "examples" / "commits" / "model.safetensors", model, "--preset", "mobile")
    done = subprocess.run([tmp_path / "rank", model], env=environment, capture_output=True, text=True, check=True)
    touched, files = (
        [int(i) for i in re.findall(r"\d+", values)]
        for values in re.findall(r"(?:touched|files)\[\] = \{([^}]*)\}", PROGRAM.read_text(encoding="utf-8"))
    )
    request = {"id": 1, "events": [{"item": i} for i in touched], "candidates": [{"item": i} for i in files]}
    (line,) = score_lines(model, [request])
    scores = next(iter(json.loads(line)["outputs"].values()))
    assert done.stdout.splitlines() == [f"{i} {score:.9g}" for i, score in zip(files, scores, strict=True)]
    assert len(set(scores)) == 3, "the program's ids are not in the example's model"
    assert done.stdout.strip() in README.replace("\n    ", "\n"), "the README shows other output"


def test_mutations_still_apply():
    """Each line of the list of mutations is in its source once; they are run on request only."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "mutate.py", "--list"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 500
