"""Which loops of which kernels are looked at, each told by what it does: no addresses, no hand-copied assembly."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from loops import Loop, disassemble, innermost_loops, reachable
from work import Work, work_of

Found = tuple[Loop, Work]
Choice = Callable[[list[Found]], Found | None]

KERNELS = Path(__file__).resolve().parents[2] / "simd/kernels.def"
# Multiply-adds that an exponential takes at least for each number that it stores: a polynomial and a reduction. Other
# loops that store have one or two.
EXPONENTIAL = 7


def _most(loops: list[Found], key: Callable[[Work], int], keep: Callable[[Found], bool]) -> Found | None:
    kept = [found for found in loops if keep(found) and key(found[1]) > 0]
    return max(kept, key=lambda found: (key(found[1]), -found[1].instructions), default=None)


def _full_tile(products: Callable[[Work], int]) -> Choice:
    """The tile with the most products."""
    return lambda loops: _most(loops, products, lambda found: True)


def _one_row(products: Callable[[Work], int]) -> Choice:
    """The widest of the tiles with the fewest rows."""

    def choose(loops: list[Found]) -> Found | None:
        rows = [w.broadcasts for _, w in loops if products(w) > 0 and w.broadcasts > 0]
        return _most(loops, products, lambda found: found[1].broadcasts == min(rows, default=0))

    return choose


def _stored_bytes(found: Found) -> int:
    """Bytes that a pass stores, room on the stack left out."""
    loop, work = found
    on_stack = (work_of(Loop("", 0, (i,))) for i in loop.instructions if re.search(r"\[sp|\(%r[sb]p\b", i.text))
    return work.stored_bytes - sum(w.stored_bytes for w in on_stack)


def _exponential(found: Found) -> bool:
    numbers, multiply_adds = _stored_bytes(found) // 4, found[1].fma_flops // 2
    return numbers > 0 and multiply_adds >= EXPONENTIAL * numbers


def _exponentials(loops: list[Found]) -> Found | None:
    return _most(loops, _fma, _exponential)


def _within(name: str, choice: Choice) -> Choice:
    return lambda loops: choice([found for found in loops if re.search(name, found[0].function)])


def _fma(work: Work) -> int:
    return work.fma_flops


def _int8(work: Work) -> int:
    return work.int8_ops


def _stored(work: Work) -> int:
    return work.stored_bytes


def _flops(work: Work) -> int:
    return work.flops


def _maxima(loops: list[Found]) -> Found | None:
    return _most(loops, _flops, lambda f: f[1].fma_flops > 0 < f[1].stored_bytes and not _exponential(f))


def _values(loops: list[Found]) -> Found | None:
    return _most(loops, _fma, lambda f: not _exponential(f))


def _magnitude(loops: list[Found]) -> Found | None:
    return _most(loops, _fma, lambda f: not f[1].stored_bytes + f[1].broadcasts)


def _steps(loops: list[Found]) -> Found | None:
    return _most(loops, _flops, lambda f: f[1].stored_bytes > 0 and not f[1].fma_flops)


def _stores(loops: list[Found]) -> Found | None:
    return _most(loops, _stored, lambda found: True)


@dataclass(frozen=True)
class Hot:
    """One loop: of a kernel, in a family's object; `unit` the bytes of an element that it stores or, negative, loads,
    0 for products."""

    kernel: str
    family: str
    name: str
    choose: Choice
    unit: int = 0


HOT = (
    Hot("gemm_f32", "gemm", "full tile", _full_tile(_fma)),
    Hot("gemm_f32", "gemm", "one row", _one_row(_fma)),
    Hot("quantize_f32", "quantize", "full tile", _full_tile(_fma)),
    Hot("quantize_f32", "quantize", "one row", _one_row(_fma)),
    Hot("gemm_i8", "int8", "full tile", _full_tile(_int8)),
    Hot("gemm_i8", "int8", "one row", _one_row(_int8)),
    Hot("quantize_i8", "int8", "full tile", _full_tile(_int8)),
    Hot("quantize_i8", "int8", "one row", _one_row(_int8)),
    Hot("to_int8_f32", "int8", "magnitude", _magnitude, -4),
    Hot("to_int8_f32", "int8", "steps", _steps, 1),
    Hot("softmax_attention_f32", "attention", "maxima", _within("softmax_rows", _maxima), 4),
    Hot("softmax_attention_f32", "attention", "exp and sums", _within("softmax_rows", _exponentials), 4),
    Hot("softmax_attention_f32", "attention", "values", _within("softmax_heads", _values)),
    Hot("silu_f32", "activation", "silu", _exponentials, 4),
    Hot("exp_f32", "activation", "exp", _exponentials, 4),
    Hot("accumulate_f32", "quantize", "add", _stores, 8),
    Hot("embed_f32", "embed", "copy", _stores, 4),
)


def elements(hot: Hot, loop: Loop, work: Work) -> int:
    """Elements of one pass: numbers that it makes, or reads where it makes none. Room on the stack does not count."""
    if not hot.unit:
        return 0
    return _stored_bytes((loop, work)) // hot.unit if hot.unit > 0 else work.loaded_bytes // -hot.unit


@cache
def kernel_names() -> frozenset[str]:
    """The kernels that the library has."""
    return frozenset(re.findall(r"^VQR_KERNEL\((\w+)", KERNELS.read_text(), re.MULTILINE))


def find_hot(objdump: str, build: Path, tier: str) -> Iterator[tuple[Hot, Loop, Work]]:
    """The loops of a tier's own kernels; what the tier inherits from a weaker one is left out. Loops that call
    something are no candidates: llvm-mca would take the call for one instruction."""
    objects = build / f"simd/CMakeFiles/vqrank_simd_{tier}.dir/{tier}"
    if not (objects / "table.c.o").exists():
        raise ValueError(f"{objects}: expected objects, found none; cmake --preset {build.name}, then build it")
    for hot in HOT:
        if hot.kernel not in kernel_names():
            raise ValueError(f"hot.py: expected a kernel of {KERNELS.name}, found {hot.kernel}; name the one it became")
        binary, symbol = objects / f"{hot.family}.c.o", f"vqr_{hot.kernel}_{tier}"
        if not binary.exists() or symbol not in (functions := disassemble(objdump, binary)):
            continue
        loops = [loop for function in reachable(functions, symbol) for loop in innermost_loops(function)]
        chosen = hot.choose([(loop, work_of(loop)) for loop in loops if not loop.calls])
        if chosen is None:
            raise ValueError(f"{symbol}: expected a loop '{hot.name}', found none in {binary}")
        yield hot, *chosen
