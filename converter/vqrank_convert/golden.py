"""The golden request: a request, its outputs in float64 computed here, and their bits as the library computes them.

The request is synthetic and depends on the checkpoint alone. Its events keep clear of near ties between codewords: an
event stays only if its float64 margin exceeds twice what float32 arithmetic may move a score by, in every codebook. So
do the vectors that quantizers turn into codes, what hashes turn into bits, and candidates: by their own hashes and by
which events a sequence's heads choose for them.
"""

import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vqrank_convert import reference, reference_quantizers
from vqrank_convert.config import Config, FeatureConfig, TableConfig
from vqrank_convert.config_quantizers import QuantizerConfig
from vqrank_convert.config_search import SimHardConfig, TwinConfig
from vqrank_convert.errors import ConversionError, one_line, quote
from vqrank_convert.int8 import FP32, Int8Options
from vqrank_convert.reference_inputs import VALUE_LIMIT
from vqrank_convert.reference_layers import Array, Real

EVENTS = 40
# Where sequences choose among events: how many more than they keep, and the most that they keep of which that is done.
EVENTS_MORE = 20
TOP_MAX = 200
# Numbers that the events' vectors may have between them, and the events there are however long a vector is.
VECTOR_NUMBERS = 16384
EVENTS_MIN = 4
# Draws before a semantic id stays absent.
VECTOR_DRAWS = 20
# Draws of a candidate that is clear before it is left out.
CANDIDATE_DRAWS = 50
# Draws of an id that a table knows.
ID_DRAWS = 8
# The longest list of ids.
IDS_MAX = 5
# Draws of as many events as are wanted before the request makes do with those it has.
DRAWS = 10
TOLERANCE = 1e-5
# Runs in which what becomes int8 is shaken.
SHAKEN_RUNS = 4
TIMEOUT_SECONDS = 600
BASE_TIME = 1_700_000_000
SEED = 20_251_122
OVERFLOWS = (
    "golden request: expected finite outputs, found that the weights are so large that synthetic input overflows; "
    "check the checkpoint, or leave the golden request out with --no-golden"
)


@dataclass(frozen=True)
class Golden:
    """`request` as a line of JSON; `float64` row-major [candidates, outputs]; `bound`: what the library's float32
    result may differ by; `events`: how many the request has."""

    request: str
    float64: tuple[float, ...]
    bound: float
    events: int


def make(config: Config, tensors: Mapping[str, Any], int8: Int8Options = FP32) -> Golden:
    """Draws the request and computes its float64 outputs."""
    draw = _Draw(config, tensors, int8)
    wanted = _events(config)
    events: list[dict[str, Any]] = []
    for _ in range(DRAWS):
        drawn = [draw.event() for _ in range(wanted)]
        found = reference.quantize(config, tensors, drawn, int8)
        clear = np.all(found.margins >= 2 * found.bounds, axis=1).tolist()
        events += [event for event, keep in zip(drawn, clear, strict=True) if keep]
        if len(events) >= wanted:
            break
    fixed = {"user": draw.values("user"), "context": draw.values("context")}
    events, candidates = _choosing_clearly(config, draw, events[:wanted])
    request: dict[str, Any] = {
        "id": "golden",
        "time": draw.now(),
        **fixed,
        "events": events,
        "candidates": candidates,
    }
    outputs = _outputs(config, tensors, request, int8)
    if not all(math.isfinite(y) for y in outputs):
        raise ConversionError(OVERFLOWS)
    bound = _bound(config, tensors, request, int8, outputs)
    text = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
    return Golden(text, tuple(outputs), bound, len(request["events"]))


def _outputs(
    config: Config,
    tensors: Mapping[str, Any],
    request: dict[str, Any],
    int8: Int8Options,
    dtype: Real = np.float64,
    shaken: int | None = None,
) -> list[float]:
    return _flat(config, reference.score(config, tensors, request, dtype, int8, shaken).outputs)


def _bound(
    config: Config, tensors: Mapping[str, Any], request: dict[str, Any], int8: Int8Options, outputs: list[float]
) -> float:
    """What float32 may differ from `outputs` by. Computed once more in float32, the outputs show how far rounding moves
    them; four times that is the bound, as for any comparison of this project between float32 and float64. What is made
    int8 on the way is shaken besides, as float32 may fall on the other side of a step where none of these runs did."""

    def moved(own: list[float]) -> float:
        return max((abs(a - b) for a, b in zip(outputs, own, strict=True)), default=0.0)

    bounds = [4 * moved(_outputs(config, tensors, request, int8, np.float32))]
    if int8.weights == "int8" or int8.state == "int8":
        runs = (_outputs(config, tensors, request, int8, shaken=SEED + run) for run in range(SHAKEN_RUNS))
        bounds.append(2 * max(moved(own) for own in runs))
    return max([TOLERANCE, *(bound for bound in bounds if math.isfinite(bound))])


def _events(config: Config) -> int:
    """How many events: more where sequences choose among them, fewer where they hold long vectors, as the request is
    part of the file's header."""
    wanted = EVENTS
    for sequence in config.sequences:
        if isinstance(sequence, TwinConfig):
            wanted = max(wanted, min(sequence.top, TOP_MAX) + EVENTS_MORE)
        elif isinstance(sequence, SimHardConfig):  # of three quarters of the events, as `_Draw.event` draws them
            wanted = max(wanted, min(sequence.top, TOP_MAX) * 3 // 2 + EVENTS_MORE)
    numbers = sum(feature.numbers for feature in config.groups["event"])
    return max(EVENTS_MIN, min(wanted, VECTOR_NUMBERS // max(numbers, 1)))


def _choosing_clearly(
    config: Config, draw: "_Draw", events: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The events, and candidates that are clear. Where heads that choose among the events leave none, there are no more
    events than each may keep, so that nothing is chosen."""
    tops = [sequence.top for sequence in config.sequences if isinstance(sequence, TwinConfig)]
    for own in (events, events[: min(tops)]) if tops else (events,):
        candidates = draw.candidates(own)
        if candidates:
            return own, candidates
    raise ConversionError(
        "golden request: expected a candidate whose hashes float32 rounding does not decide, found none in "
        f"{draw.tried} tried; check sdim.q and sdim.hash, or leave the golden request out with --no-golden"
    )


def _flat(config: Config, outputs: dict[str, list[float]]) -> list[float]:
    """Outputs by name -> row-major [candidates, outputs]."""
    columns = [outputs[name] for name in config.head.outputs]
    return [value for row in zip(*columns, strict=True) for value in row]


class _Draw:
    """Synthetic values. Only `random()` is used, the one method whose numbers Python promises to keep."""

    def __init__(self, config: Config, tensors: Mapping[str, Any], int8: Int8Options) -> None:
        self._config = config
        self._tensors = tensors
        self._random = random.Random(SEED).random
        self._time = BASE_TIME
        self._model = reference.Reference(config, tensors, int8=int8)
        self._searches = [s for s in config.sequences if isinstance(s, SimHardConfig)]
        # The id that most events have as the feature of that number that is matched.
        self._matched = {number: self._matching_id(number) for number in {s.event: None for s in self._searches}}
        self.tried = 0  # candidates

    def _below(self, n: int) -> int:
        return min(n - 1, int(self._random() * n))

    def now(self) -> int:
        """A time after every event so far."""
        return self._time + 1

    def event(self) -> dict[str, Any]:
        if self._below(3):  # every third event shares its time with the one before
            self._time += 1 + self._below(100_000)
        event = self.values("event", absent=0.1, unknown=0.1)
        for number, key in self._matched.items():
            if self._below(4):
                event[self._config.groups["event"][number].name] = key
        return event

    def _matching_id(self, feature: int) -> int | str | None:
        """An id that matches, which those of row 0 do not; None where none is found."""
        table = self._config.tables[str(self._config.groups["event"][feature].table)]
        drawn = (self._known(table) for _ in range(ID_DRAWS))
        return next((key for key in drawn if self._model.inputs.row(table, key)), None)

    def candidates(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Two of known ids, the first of them with those that most events have where sequences match events by them;
        one where about half of the ids are unknown; one with every feature absent. Of them those that are clear, each
        drawn until it is."""
        e = self._model.inputs.embed_all("event", events)
        matching = {self._config.groups["candidate"][s.candidate].name: self._matched[s.event] for s in self._searches}
        drawn = [
            self._clear_candidate(e, lambda: self.values("candidate") | matching),
            self._clear_candidate(e, lambda: self.values("candidate")),
            self._clear_candidate(e, lambda: self.values("candidate", unknown=0.5)),
            self._clear_candidate(e, dict, draws=1),
        ]
        return [candidate for candidate in drawn if candidate is not None]

    def _clear_candidate(
        self, e: Array, draw: Callable[[], dict[str, Any]], draws: int = CANDIDATE_DRAWS
    ) -> dict[str, Any] | None:
        """None where all that are drawn are near ties."""
        for _ in range(draws):
            candidate = draw()
            self.tried += 1
            if self._model.clear(e, self._model.inputs.embed_all("candidate", [candidate])).all():
                return candidate
        return None

    def values(self, group: str, absent: float = 0.0, unknown: float = 0.0) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for feature in self._config.groups[group]:
            if self._random() < absent:
                if self._below(2):
                    result[feature.name] = None
                continue
            result[feature.name] = self._value(feature, self._random() < unknown)
        return result

    def _value(self, feature: FeatureConfig, unknown: bool) -> Any:
        if feature.kind == "time":
            return self._time
        if feature.kind == "float":
            value = feature.mean + feature.std * (4 * self._random() - 2)
            return value if math.isfinite(value) else feature.mean
        if feature.kind == "vector":
            return [round(4 * self._random() - 2, 3) for _ in range(feature.width)]
        if feature.semantic is not None:
            return self._clear_vector(feature.semantic.quantizer)
        table = self._config.tables[str(feature.table)]
        if feature.kind == "ids":  # none, known and unknown ones, and some twice
            return [self._id(table, self._random() < 0.2) for _ in range(self._below(IDS_MAX + 1))]
        return self._id(table, unknown)

    def _clear_vector(self, quantizer: QuantizerConfig) -> list[float] | None:
        """A sum of one component per level, moved a little; None (absent) where all that are drawn are near ties."""
        means = self._tensors[f"{quantizer.prefix}.mean"]
        for _ in range(VECTOR_DRAWS):
            chosen = np.array([means[level][self._below(quantizer.codes)] for level in range(quantizer.levels)])
            noise = np.array([2 * self._random() - 1 for _ in range(quantizer.dim)])
            x = chosen.sum(axis=0) + noise * np.abs(chosen[-1]).mean() / 2
            x = np.clip(x, -VALUE_LIMIT, VALUE_LIMIT).astype(np.float32).astype(np.float64)
            if reference_quantizers.encode(quantizer, self._tensors, x[np.newaxis]).clear.all():
                return [float(f"{number:.9g}") for number in x]
        return None

    def _id(self, table: TableConfig, unknown: bool) -> int | str:
        return self._unknown(table) if unknown else self._known(table)

    def _known(self, table: TableConfig) -> int | str:
        if table.ids == "hash":  # every integer and every string is known
            number = self._below(2**63) - self._below(2**63)
            return number if self._below(2) else f"id \u2116 {number}"
        if table.ids == "direct":
            return self._below(table.rows)
        key = table.keys[self._below(len(table.keys))] if table.keys else ""
        # Not every JSON library takes U+0000 in a string; the golden request need not depend on that.
        return "" if isinstance(key, str) and "\0" in key else key

    def _unknown(self, table: TableConfig) -> int | str:
        if table.ids == "vocabulary":
            key = "unknown"
            while key in table.keys:
                key += "?"
            return key
        if table.ids == "hash":
            return self._known(table)
        return table.rows + self._below(1000) if self._below(2) else -1 - self._below(1000)


# ---- the library's bits ----


GOLDEN_BITS = "it computes the golden request's bits"


def find_vqrank(given: str | None, why: str = GOLDEN_BITS) -> Path:
    """The command vqrank: as given, else beside this Python, else on PATH. `why` it is needed."""
    name = "vqrank.exe" if os.name == "nt" else "vqrank"
    if given is not None:
        if shutil.which(given) is None:
            raise ConversionError(f"--vqrank: expected an executable, found {quote(given)} is none")
        return Path(str(shutil.which(given))).absolute()
    beside = Path(sys.executable).parent / name
    if os.access(beside, os.X_OK):
        return beside
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    without = ", or leave the golden request out with --no-golden" if why == GOLDEN_BITS else ""
    raise ConversionError(
        f"vqrank: expected this command beside Python or on PATH, as {why}, found none; "
        f"build it (./demo.sh), or give its place with --vqrank PATH{without}"
    )


def compute_bits(vqrank: Path, model: Path, config: Config, golden: Golden) -> tuple[int, ...]:
    """Runs `vqrank score --isa ref MODEL` on the request and checks the outputs against the float64 ones.

    Returns the bits of the float32 outputs, row-major [candidates, outputs]; they are printed as %.9g, which gives a
    float32 back exactly.
    """
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder) / "request.jsonl"
        request.write_text(golden.request + "\n", encoding="utf-8")
        command = [str(vqrank), "score", "--isa", "ref", str(model), str(request)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            raise ConversionError(f"{vqrank}: expected scores of the golden request, found {one_line(error)}") from None
    values = _parse_response(done.stdout, config, golden)
    if isinstance(values, str):
        said = one_line(done.stderr)[:400]
        raise ConversionError(
            f"{vqrank} score: expected scores of the golden request, found exit status {done.returncode}, {values}"
            + (f": {said}" if said else "")
        )
    result = np.array(values, np.float32)
    differences = np.abs(result.astype(np.float64) - np.array(golden.float64))
    worst = int(differences.argmax())
    if not differences[worst] <= golden.bound:
        candidate, output = divmod(worst, len(config.head.outputs))
        raise ConversionError(
            f"golden request: expected output {quote(config.head.outputs[output])} of candidate {candidate} within "
            f"{golden.bound:.3g} of {golden.float64[worst]:.9g} (float64), found {float(result[worst]):.9g} "
            f"by {vqrank}; nothing was written"
        )
    return tuple(int(bits) for bits in result.view(np.uint32))


def _parse_response(text: str, config: Config, golden: Golden) -> list[float] | str:
    """Row-major values of a response line, or what is wrong with it."""
    try:
        response = json.loads(text)
        if "error" in response and response["error"].get("code") == "overflow":
            raise ConversionError(OVERFLOWS)
        if "error" in response:
            return f"error {quote(response['error'])}"
        values = _flat(config, response["outputs"])
        if len(values) != len(golden.float64) or set(response["outputs"]) != set(config.head.outputs):
            return f"{len(values)} numbers where {len(golden.float64)} are due"
        if not all(isinstance(y, int | float) and math.isfinite(y) for y in values):
            return "numbers that are not finite"
        return values
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"output {quote(text[:60])}"
