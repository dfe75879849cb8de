"""Comparison of outputs, before anything is timed: with vqrank's, and of both with float64."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from peer import State
from reference import Encoded, Reference
from rows import Row

if TYPE_CHECKING:
    from worker import Worker

TOLERANCE = 1e-4


def difference(found: Any, expected: Any) -> float:
    """Largest; infinite where one of both is not a number."""
    off = np.abs(np.asarray(found, np.float64) - expected)
    return float(np.where(np.isnan(off), np.inf, off).max(initial=0.0))


class Findings:
    """What a check adds up."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.largest: dict[str, float] = {}
        self.flips = self.unclear = self.codewords = 0

    def compare(self, what: str, name: str, found: Any, expected: Any, exact: bool = True) -> None:
        off = difference(found, expected)
        self.largest[what] = max(self.largest.get(what, 0.0), off)
        if exact and not off <= TOLERANCE:
            self.failures.append(f"{name}: {what} differ by {off:.3g}, at most {TOLERANCE:g} expected")

    def answer(self) -> dict[str, Any]:
        return {"failures": self.failures, "largest": self.largest, "codewords": self.codewords, "flips": self.flips,
                "unclear": self.unclear}  # fmt: skip


def expected_path(folder: Path, events: int) -> Path:
    return folder / f"expected-{events}.npz"


def lengths(rows: list[Row]) -> list[int]:
    """Of the histories that rows meet."""
    return sorted({row.events for row in rows if row.events})


def check(worker: "Worker", rows: list[Row], folder: Path) -> dict[str, Any]:
    """Of vqrank's fp32 on the best ISA, writes what the others are compared with."""
    found = Findings()
    if type(worker.peer).__name__.startswith("Vqrank"):
        _check_vqrank(worker, rows, folder, found)
    else:
        for events in lengths(rows):
            _check_peer(worker, rows, events, folder, found)
    return found.answer()


def _check_vqrank(worker: "Worker", rows: list[Row], folder: Path, found: Findings) -> None:
    peer: Any = worker.peer
    reference, exact = Reference(worker.workload), "-server" not in peer.path.name
    for events in lengths(rows):
        user, state = worker.user(events), worker.state(events)
        scores = peer.score_call("", state, user, 1_000)().copy()
        path = expected_path(folder, events)
        if exact and (peer.isa is not None or "-stored" in peer.path.name):  # the same bits on every ISA and from both
            same = np.array_equal(scores, np.load(path)["scores"])
            wrong = f"{events:,} events: scores are not those of the plain file on the best instruction set"
            found.failures += [] if same else [wrong]
            continue
        codewords = peer.assign(user.events)
        exactly = reference.assign(user.events)
        _count_flips(found, f"{events:,} events", codewords, exactly.codewords, exactly.clear, exact)
        encoded = reference.encode(user.events, codewords)
        wanted, weights = reference.score(encoded, user)
        found.compare("scores (to float64)", f"{events:,} events", scores, wanted, exact)
        explained = peer.model.explain(state, user, worker.workload.codebooks, worker.workload.codewords)
        found.compare("attention's weights (to float64)", f"{events:,} events", explained, weights, exact)
        if exact:
            np.savez(path, scores=scores, codewords=codewords, clear=exactly.clear, keys=encoded.keys,
                     values=encoded.values, full=encoded.full)  # fmt: skip


def _count_flips(found: Findings, name: str, codewords: Any, expected: Any, clear: Any, exact: bool) -> None:
    differ = codewords != expected
    found.codewords += codewords.size
    found.flips += int(differ.sum())
    found.unclear += int((~clear).sum())
    if exact and (wrong := int((differ & clear).sum())):
        found.failures.append(f"{name}: {wrong} codewords differ whose margin is clear, none expected")


def _check_peer(worker: "Worker", rows: list[Row], events: int, folder: Path, found: Findings) -> None:
    peer, user = worker.peer, worker.user(events)
    expected = np.load(expected_path(folder, events))
    encoded, scores = Encoded(expected["keys"], expected["values"], expected["full"]), expected["scores"]
    if peer.whole:
        for variant in peer.encoders(events):
            for candidates in sorted({1, *(row.candidates for row in rows if row.kind == "request")}):
                own = peer.scores(peer.whole_call(variant, user, candidates)())
                found.compare("scores", f"{variant}, {events:,} events", own, scores[:candidates], peer.exact)
        return
    codewords = peer.assign(user.events) if peer.encoders(events) else None
    if codewords is not None:
        _count_flips(found, f"{events:,} events", codewords, expected["codewords"], expected["clear"], peer.exact)
        if peer.exact and not np.array_equal(codewords, expected["codewords"]):
            reference = Reference(worker.workload)
            encoded = reference.encode(user.events, codewords)
            scores = reference.score(encoded, user)[0]
    if any(row.kind in ("encode", "request") and row.events == events for row in rows):
        for variant in peer.encoders(events):
            state = peer.state(peer.encode_call(variant, user.events)())
            _compare_state(found, f"{variant}, {events:,} events", state, encoded, peer.exact)
            peer.forget()
    for row in rows:
        if row.kind in ("score", "cold") and row.events == events:
            for variant in peer.scorers(row.candidates):
                own = peer.scores(peer.score_call(variant, worker.state(events), user, row.candidates)())
                name = f"{variant}, {row.name}"
                found.compare("scores", name, own, scores[: row.candidates], peer.exact)


def _compare_state(found: Findings, name: str, state: State, expected: Encoded, exact: bool) -> None:
    """Keys and values of clusters that hold events; those of the others must be masked."""
    full = expected.full[:, None, None, :]
    found.compare("keys", name, np.where(full, state.keys, 0), np.where(full, expected.keys, 0), exact)
    values = np.swapaxes(state.values, 2, 3)
    found.compare("values", name, np.where(full, values, 0), np.where(full, expected.values.swapaxes(2, 3), 0), exact)
    if exact and not np.array_equal(state.mask[:, 0, 0] == 0, expected.full):
        found.failures.append(f"{name}: mask of empty clusters differs")
