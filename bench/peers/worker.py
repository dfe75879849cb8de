"""One contestant on one workload in a process of its own: reads commands, one JSON object a line, and answers each.

Started by harness.py, which lets only one worker work at a time.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from check import check
from contestants import BY_NAME
from peer import Call, Peer
from rows import COLD_USERS, Row
from workload import User, Workload, draw

BLOCK_SECONDS = 2e-4  # a sample is the mean over as many calls, so that reading the clock does not count
COLD_BLOCK = 10
LONG = 50_000  # histories whose intermediate results are not kept
MEMORY_MOST = 5 << 30  # bytes; who needs more drops out, and takes no other process along


def processor_time() -> float:
    """Of the whole process: a runtime that computed in a second thread would pay for it."""
    return time.process_time_ns() * 1e-9


class Ring:
    """Calls of many users in turn."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls, self.at = calls, 0

    def __call__(self) -> None:
        self.calls[self.at]()
        self.at = (self.at + 1) % len(self.calls)


def sample(call: Call, seconds: float, least: int = 3) -> list[float]:
    """Milliseconds a call, of several blocks of calls."""
    cold = isinstance(call, Ring)
    start = processor_time()
    call()  # also brings back what the other contestants drove out of the caches
    once = processor_time() - start
    if not cold and once < BLOCK_SECONDS:  # the first may have been slow
        start = processor_time()
        call()
        once = processor_time() - start
    calls = COLD_BLOCK if cold else max(1, int(BLOCK_SECONDS / max(once, 1e-7)))
    found: list[float] = []
    spent = 0.0
    while spent < seconds or len(found) < least:
        start = processor_time()
        for _ in range(calls):
            call()
        block = processor_time() - start
        spent += block
        found.append(1e3 * block / calls)
    return found


class Worker:
    """Answers commands about one peer."""

    def __init__(self, peer: Peer, workload: Workload, expected: Path) -> None:
        self.peer, self.workload, self.expected = peer, workload, expected
        self.users: dict[int, User] = {}
        self.states: dict[int, Any] = {}
        self.calls: dict[tuple[Row, str], Call] = {}
        self.cold_users: list[tuple[User, Any]] = []

    def user(self, events: int) -> User:
        if events not in self.users:
            self.users[events] = draw(self.workload, events, 1_000, seed=events)
        return self.users[events]

    def state(self, events: int) -> Any:
        if events not in self.states:
            self.states[events] = self.peer.new_state(self.user(events).events)
        return self.states[events]

    def variants(self, row: Row) -> list[str]:
        if row.kind == "open":
            return list(self.peer.openers())
        if row.kind in ("encode", "request"):
            return [] if row.kind == "request" and not self.peer.whole else self.peer.encoders(row.events)
        return self.peer.scorers(row.candidates)

    def _new_call(self, row: Row, variant: str) -> Call:
        peer = self.peer
        if row.kind == "open":
            return peer.openers()[variant]
        if row.kind in ("encode", "request") and peer.whole:
            return peer.whole_call(variant, self.user(row.events), max(1, row.candidates))
        if row.kind == "encode":
            return peer.encode_call(variant, self.user(row.events).events)
        if row.kind == "score":
            return peer.score_call(variant, self.state(row.events), self.user(row.events), row.candidates)
        if not self.cold_users:
            users = [draw(self.workload, row.events, 1_000, seed=10_000 + i) for i in range(COLD_USERS)]
            self.cold_users = [(user, peer.new_state(user.events)) for user in users]
        return Ring([peer.score_call(variant, state, user, row.candidates) for user, state in self.cold_users])

    def call(self, row: Row, variant: str) -> Call:
        key = (row, variant)
        if key not in self.calls:
            self.calls[key] = self._new_call(row, variant)
        return self.calls[key]

    # ---- commands ----

    def describe(self) -> dict[str, Any]:
        variants = self.peer.encoders(1_000)
        return {"version": self.peer.version(), "isa": variants[0] if "isa" in vars(self.peer) else None}

    def check(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        found = check(self, [Row(**row) for row in rows], self.expected)
        self.peer.forget()
        return found

    def tune(self, row: dict[str, Any], seconds: float, without: list[str]) -> dict[str, float]:
        """The median of every variant but those, in two turns."""
        own = Row(**row)
        found: dict[str, list[float]] = {variant: [] for variant in self.variants(own) if variant not in without}
        for _ in range(2):
            for variant, samples in found.items():
                samples += sample(self.call(own, variant), seconds / 2, least=1)
                self.release(own)
        self.calls.clear()
        self.peer.forget()
        return {variant: statistics.median(samples) for variant, samples in found.items()}

    def time(self, row: dict[str, Any], variant: str, seconds: float, least: int) -> list[float]:
        own = Row(**row)
        found = sample(self.call(own, variant), seconds, least)
        self.release(own)
        return found

    def release(self, row: Row) -> None:
        """Frees what a row's calls hold where that is much: all contestants live beside each other."""
        if row.kind == "cold":
            self.calls = {key: call for key, call in self.calls.items() if key[0] != row}
        if row.events >= LONG:
            self.calls.clear()
            self.peer.forget()

    def idle(self) -> float | None:
        """Milliseconds of a call that computes nothing."""
        call = self.peer.idle_call()
        return None if call is None else statistics.median(sample(call, 0.05))

    def probe(self, opener: str, events: int, candidates: int, before_import: int) -> dict[str, Any]:
        """In a process that did nothing yet: opening, the first calls, and what memory they take."""
        user, openers = self.user(events), self.peer.openers()
        imported = resident()
        start = processor_time()
        opened = openers[opener]()
        open_ms, after_open = 1e3 * (processor_time() - start), resident()
        encode, score = self.peer.serve(opened, user, candidates)
        start = processor_time()
        encode()
        encode_ms = 1e3 * (processor_time() - start)
        start = processor_time()
        score()
        score_ms = 1e3 * (processor_time() - start)
        for _ in range(20):
            encode()
            score()
        return {
            "open_ms": open_ms, "first_score_ms": score_ms,
            "first_encode_ms": encode_ms if self.peer.encoders(events) else None,
            "resident_import": imported - before_import, "resident_open": after_open - imported,
            "resident_calls": resident() - imported, "libraries": mapped_libraries(self.peer.packages),
            "files": sum(path.stat().st_size for path in self.peer.files()),
        }  # fmt: skip


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def mapped_libraries(packages: tuple[str, ...]) -> int:
    """Bytes on disk of the shared libraries of these folders that this process loaded."""
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    own = {path for path in paths if any(f"/{package}" in path for package in packages)}
    return sum(Path(path).stat().st_size for path in own if Path(path).exists())


def serve(answer: Callable[[str, dict[str, Any]], Any], output: Any) -> None:
    for line in sys.stdin:
        command = json.loads(line)
        try:
            reply = {"ok": answer(command.pop("do"), command)}
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            reply = {"error": f"{type(error).__name__}: {error}"}
        output.write(json.dumps(reply) + "\n")
        output.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contestant", metavar="CONTESTANT")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--build", type=Path, required=True, help="build/peers")
    parser.add_argument("--folder", type=Path, required=True, help="where exported models are kept")
    parser.add_argument("--expected", type=Path, required=True, help="what vqrank found")
    parser.add_argument("--core", type=int, required=True)
    options = parser.parse_args()
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what runtimes print is no answer
    os.sched_setaffinity(0, {options.core})
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_MOST, MEMORY_MOST))
    workload, before_import = Workload.load(options.checkpoint), resident()
    peer = BY_NAME[options.contestant].make(workload, options.build, options.folder)
    worker = Worker(peer, workload, options.expected)

    def answer(what: str, arguments: dict[str, Any]) -> Any:
        if what == "probe":
            arguments["before_import"] = before_import
        return getattr(worker, what)(**arguments)

    serve(answer, output)


if __name__ == "__main__":
    main()
