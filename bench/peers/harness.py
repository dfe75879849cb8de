"""The parent: starts workers, lets one at a time work, and makes medians, quartiles and ratios of what they answer."""

import contextlib
import dataclasses
import hashlib
import json
import os
import select
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from contestants import BY_NAME, ONE_THREAD, Contestant
from rows import Row
from tqdm import tqdm

HERE = Path(__file__).parent
BASE = "vqrank"
# Code that peers' exports come from, beside their own and workload.py.
EXPORTERS = {
    "vqrank_peer": [],
    "onnxruntime_peer": ["onnx_graphs", "torch_modules", "export_plain"],
    "openvino_peer": ["onnx_graphs"],
    "mnn_peer": ["onnx_graphs"],
    "torch_peer": ["torch_modules"],
    "executorch_peer": ["torch_modules"],
    "litert_peer": ["litert_export"],
    "ncnn_peer": [],
}


class Places(NamedTuple):
    """build: build/peers; models: exports of one workload; checkpoint: its weights; log: what workers print."""

    build: Path
    models: Path
    checkpoint: Path
    log: Path


def exports_folder(models: Path, module: str) -> Path:
    """Where a peer's exports are kept: by a digest of the code that they come from, so that none is out of date."""
    digest = hashlib.sha256()
    for source in (module, "workload", *EXPORTERS[module]):
        digest.update((HERE / f"{source}.py").read_bytes())
    return models / f"{module}-{digest.hexdigest()[:12]}"


class WorkerError(Exception):
    """What a worker could not do, in the runtime's words."""


class WorkerProcess:
    """A worker, started; idle unless asked."""

    def __init__(self, contestant: Contestant, places: Places, core: int) -> None:
        self.name = contestant.name
        python = places.build / contestant.environment / "bin" / "python"
        folder = exports_folder(places.models, contestant.peer.split(".")[0])
        folder.mkdir(parents=True, exist_ok=True)
        cache = {"TORCHINDUCTOR_CACHE_DIR": str(places.build / "inductor")}
        with (places.log / f"{contestant.name.replace(' ', '-')}.log").open("a") as log:
            self.process = subprocess.Popen(
                [str(python), str(HERE / "worker.py"), contestant.name, str(places.checkpoint), "--build",
                 str(places.build), "--folder", str(folder), "--expected", str(places.models), "--core", str(core)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                env=os.environ | ONE_THREAD | cache | contestant.variables,
            )  # fmt: skip

    def ask(self, what: str, limit: float = 1200.0, **arguments: Any) -> Any:
        """Its answer to a command; raises what it says it could not do. limit: seconds."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"do": what} | arguments) + "\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], limit)
            line = self.process.stdout.readline() if ready else ""
        except BrokenPipeError:
            line, ready = "", [True]
        if not line:
            self.stop()
            why = f"ended with status {self.process.returncode}" if ready else f"no answer to {what} in {limit:g} s"
            raise WorkerError(why)
        reply = json.loads(line)
        if "error" in reply:
            raise WorkerError(reply["error"])
        return reply["ok"]

    def stop(self) -> None:
        if self.process.stdin and not self.process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclasses.dataclass
class Plan:
    """How long to measure. rounds: turns of everybody; slice: seconds of one; tune: of a variant; probes: fresh
    processes of each contestant."""

    rounds: int = 7
    slice: float = 0.06
    tune: float = 0.08
    probes: int = 2


def argument(row: Row) -> dict[str, Any]:
    return dataclasses.asdict(row)


class Race:
    """One workload's contestants."""

    def __init__(
        self, contestants: Sequence[Contestant], rows: list[Row], places: Places, core: int, plan: Plan
    ) -> None:
        self.rows, self.places, self.core, self.plan = rows, places, core, plan
        self.contestants = {contestant.name: contestant for contestant in contestants}
        self.workers: dict[str, WorkerProcess] = {}
        self.out: dict[str, str] = {}  # who dropped out, and why
        self.checks: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.tuned: dict[str, dict[str, dict[str, float]]] = {}  # row -> contestant -> variant -> ms
        self.best: dict[tuple[str, str], str] = {}  # row, contestant -> variant
        self.times: dict[str, dict[str, list[list[float]]]] = {}  # row -> contestant -> round -> samples
        self.idle: dict[str, float | None] = {}
        self.probes: dict[str, list[dict[str, Any]]] = {}

    def drop(self, name: str, why: str) -> None:
        self.out[name] = why
        print(f"{name}: out of {self.places.checkpoint.stem}: {why}", file=sys.stderr)
        worker = self.workers.pop(name, None)
        if worker is not None:
            worker.stop()

    def start(self) -> list[str]:
        """Starts and checks all; the failures of comparisons, by name."""
        failures = []
        for name, contestant in tqdm(
            self.contestants.items(), desc=f"{self.places.checkpoint.stem}: compare", disable=None
        ):
            self.workers[name] = WorkerProcess(contestant, self.places, self.core)
            try:
                self.versions[name] = self.workers[name].ask("describe")
                self.checks[name] = self.workers[name].ask(
                    "check", limit=2400, rows=[argument(row) for row in self.rows]
                )
                self.idle[name] = self.workers[name].ask("idle")
            except WorkerError as error:
                self.drop(name, str(error))
                continue
            failures += [f"{name}: {failure}" for failure in self.checks[name]["failures"]]
        return failures

    def _attempt(self, name: str, what: str, **arguments: Any) -> Any:
        """An answer, or None: who could not give one is out of the row, whose process ended is out of all."""
        if name not in self.workers:
            return None
        try:
            return self.workers[name].ask(what, **arguments)
        except WorkerError as error:
            row = Row(**arguments["row"])
            if self.workers[name].process.poll() is None:
                self.out[f"{name}, {row.name}"] = f"{what}: {error}"
                self.best.pop((row.name, name), None)
            else:
                self.drop(name, f"{row.name}: {what}: {error}")
            return None

    def tune(self) -> None:
        """Finds the best variant of everybody for every row."""
        for row in tqdm(self.rows, desc=f"{self.places.checkpoint.stem}: variants", disable=None):
            for name in list(self.workers):
                if row.kind == "cold":
                    warm = self.best.get((Row("score", 0, row.candidates).name, name))
                    if warm is not None:
                        self.best[row.name, name] = warm
                    continue
                hopeless = self._hopeless(row, name)
                found = self._attempt(name, "tune", row=argument(row), seconds=self.plan.tune, without=hopeless)
                if found:
                    self.tuned.setdefault(row.name, {})[name] = found
                    self.best[row.name, name] = min(found, key=lambda variant: found[variant])

    def _hopeless(self, row: Row, name: str) -> list[str]:
        """Variants that took twice as long as the best on a history a tenth as long: on this one they take seconds."""
        before = self.tuned.get(Row("encode", row.events // 10).name, {}).get(name, {})
        return [variant for variant, ms in before.items() if row.kind == "encode" and ms > 2 * min(before.values())]

    def run(self) -> None:
        """Everybody in turn, row by row, round by round; who begins changes."""
        rounds = tqdm(range(self.plan.rounds), desc=f"{self.places.checkpoint.stem}: rounds", disable=None)
        for turn in rounds:
            for row in self.rows:
                names = [name for name in self.workers if (row.name, name) in self.best]
                shift = turn % max(1, len(names))
                for name in names[shift:] + names[:shift]:
                    variant = self.best[row.name, name]
                    samples = self._attempt(
                        name, "time", row=argument(row), variant=variant, seconds=self.plan.slice, least=2
                    )
                    if samples:
                        self.times.setdefault(row.name, {}).setdefault(name, []).append(samples)

    def probe(self) -> None:
        """Fresh processes: opening and first calls."""
        events = min(1_000, max((row.events for row in self.rows if row.kind == "encode"), default=1_000))
        candidates = max([1, *(min(row.candidates, 100) for row in self.rows)])
        for _ in tqdm(range(self.plan.probes), desc=f"{self.places.checkpoint.stem}: fresh", disable=None):
            for name in list(self.workers):
                opener = self.best.get(("open", name))
                if opener is None or self.contestants[name].avx2:
                    continue
                fresh = WorkerProcess(self.contestants[name], self.places, self.core)
                try:
                    found = fresh.ask("probe", opener=opener, events=events, candidates=candidates)
                    self.probes.setdefault(name, []).append(found)
                except WorkerError as error:
                    self.out[f"{name}, in a fresh process"] = str(error)
                fresh.stop()

    def stop(self) -> None:
        for worker in self.workers.values():
            worker.stop()

    # ---- results ----

    def results(self) -> dict[str, Any]:
        rows = {row.name: self._row(row) for row in self.rows if row.name in self.times}
        probes = {
            name: {
                key: None if found[0][key] is None else statistics.median(probe[key] for probe in found)
                for key in found[0]
            }
            for name, found in self.probes.items()
        }
        return {
            "rows": rows, "variants": self.tuned, "checks": self.checks, "versions": self.versions,
            "idle_ms": self.idle, "fresh": probes, "out": self.out,
        }  # fmt: skip

    def _row(self, row: Row) -> dict[str, Any]:
        own = self.times[row.name]
        cells = {name: self._cell(row, name, own) for name in own}
        if row.kind == "request" and (times := self._round_times(row, BASE)):
            return {BASE: {"variant": "encode, then score", "ms": quartiles(times), "samples": len(times)}} | cells
        return cells

    def _cell(self, row: Row, name: str, own: dict[str, list[list[float]]]) -> dict[str, Any]:
        """Median and quartiles over all samples; ratios to vqrank are those of a round's medians."""
        pooled = np.concatenate([np.array(samples) for samples in own[name]])
        cell: dict[str, Any] = {"variant": self.best[row.name, name], "ms": quartiles(pooled), "samples": len(pooled)}
        for base in (name for name in BY_NAME if name.startswith(BASE)):
            if times := self._round_times(row, base):
                pairs = zip(own[name], times, strict=False)
                ratios = [statistics.median(samples) / other for samples, other in pairs]
                cell.setdefault("times", {})[base] = quartiles(ratios)
        return cell

    def _round_times(self, row: Row, name: str) -> list[float]:
        """Medians of the rounds. A request is what encoding and scoring take together, where those are two graphs."""
        if row.kind != "request":
            return [statistics.median(samples) for samples in self.times.get(row.name, {}).get(name, [])]
        parts = [Row("encode", row.events), Row("score", row.events, row.candidates)]
        return [sum(both) for both in zip(*(self._round_times(part, name) for part in parts), strict=False)]


def quartiles(values: Any) -> list[float]:
    """Lower quartile, median, upper quartile, with four digits."""
    return [float(f"{value:.4g}") for value in np.percentile(values, [25, 50, 75])]
