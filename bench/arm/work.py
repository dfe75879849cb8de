"""What the instructions of a loop do: products, flops, bytes stored, broadcasts, spills. From mnemonics and operands
of AArch64 and of x86 in AT&T syntax."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from loops import Instruction, Loop

_X86_BITS = {"x": 128, "y": 256, "z": 512}
_ARM_LANES = re.compile(r"v\d+\.(\d+)([bhsd])")
_ARM_BITS = {"b": 8, "h": 16, "s": 32, "d": 64}
_ARM_REGISTER_BYTES = {"b": 1, "h": 2, "s": 4, "d": 8, "q": 16, "w": 4, "x": 8}


@dataclass(frozen=True)
class Work:
    """Of one pass through a loop. An fp32 multiply-add is two flops, an int8 product with its addition two ops."""

    instructions: int
    flops: int
    fma_flops: int
    int8_ops: int
    stored_bytes: int
    loaded_bytes: int
    broadcasts: int  # scalars of a that meet vectors of b: the rows of a tile
    spills: int  # vector registers that go to the stack or come from it

    @property
    def products(self) -> int:
        return self.fma_flops + self.int8_ops


def _x86_lanes(operands: str, bits: int) -> int:
    widths = [_X86_BITS[r] for r in re.findall(r"%([xyz])mm\d+", operands)]
    return max(widths, default=0) // bits


def _x86_flops(name: str, operands: str) -> tuple[int, int]:
    if not re.search(r"[ps][sd]$", name):
        return 0, 0
    bits = 64 if name.endswith("d") else 32
    lanes = _x86_lanes(operands, bits) if name[-2] == "p" else 1
    if re.match(r"v(fn?m(add|sub))", name):
        return 2 * lanes, 2 * lanes
    return (lanes, 0) if re.match(r"v(add|sub|mul|div|max|min|sqrt)[ps]", name) else (0, 0)


def _x86_int8(name: str, operands: str) -> int:
    if re.match(r"vpdpbusds?$", name) or name == "vpmaddubsw":
        return 2 * _x86_lanes(operands, 8)
    return 2 * _x86_lanes(operands, 16) if name == "vpmaddwd" else 0


def _arm_flops(name: str, operands: str) -> tuple[int, int]:
    shape = _ARM_LANES.search(operands)
    lanes = int(shape[1]) if shape else 1
    if name in ("fmla", "fmls", "fmadd", "fmsub", "fnmadd", "fnmsub"):
        return 2 * lanes, 2 * lanes
    return (lanes, 0) if name in ("fadd", "fsub", "fmul", "fdiv", "fmax", "fmin", "fsqrt") else (0, 0)


def _arm_int8(name: str, operands: str) -> int:
    per_instruction = {"sdot": 32, "usdot": 32, "udot": 32, "smmla": 64}
    if name in per_instruction:
        return per_instruction[name]
    if name.rstrip("2") in ("smull", "smlal") and re.search(r"v\d+\.8h", operands):
        return 16
    return 0


def _x86_memory(name: str, operands: str) -> tuple[int, int]:
    """Bytes (loaded, stored)."""
    if "(" not in operands or name.startswith(("lea", "prefetch", "nop")):
        return 0, 0
    if name.startswith(("vpmovsx", "vpmovzx")):
        parts = {"bw": 2, "bd": 4, "bq": 8, "wd": 2, "wq": 4, "dq": 2}[name[-2:]]
        return _x86_lanes(operands, 8) // parts, 0
    stores = operands.rstrip().endswith(")") and not name.startswith(("cmp", "test", "vcomi", "vucomi"))
    if re.match(r"vpmov(us|s)?[dwq][bwd]$", name) and stores:
        parts = {"db": 4, "wb": 2, "dw": 2, "qd": 2}[name[-2:]]
        return 0, _x86_lanes(operands, 8) // parts
    size = _x86_lanes(operands, 8) or 8
    if "{1to" in operands or name in ("vbroadcastss", "vpbroadcastd") or name.endswith("ss"):
        size = 4
    elif name in ("vbroadcastsd", "vpbroadcastq", "vmovq", "vmovlps", "vmovhps") or name.endswith("sd"):
        size = 8
    return (0, size) if stores else (size, 0)


def _arm_memory(name: str, operands: str) -> tuple[int, int]:
    """Bytes (loaded, stored)."""
    if not re.match(r"(ld|st)", name) or "[" not in operands:
        return 0, 0
    registers = operands.split("[")[0]
    if name == "ldrsw":
        size = 4
    elif shape := _ARM_LANES.findall(registers):
        size = sum(int(n) * _ARM_BITS[b] // 8 for n, b in shape)
        size = _ARM_BITS[shape[0][1]] // 8 if name == "ld1r" else size
    elif lane := re.search(r"v\d+\.([bhsd])\s*\}\[", operands):
        size = _ARM_BITS[lane[1]] // 8
    else:
        size = sum(_ARM_REGISTER_BYTES[r] for r in re.findall(r"\b([bhsdqwx])\d+", registers))
    return (size, 0) if name.startswith("ld") else (0, size)


def _broadcasts(instructions: Sequence[Instruction]) -> int:
    """Loads of single numbers into vector registers."""
    count = 0
    for i in instructions:
        words = i.text.split(None, 1)
        operands = words[1] if len(words) > 1 else ""
        arm = words[0] == "ld1r" or (words[0] == "ldr" and operands.startswith("s") and "[sp" not in operands)
        x86 = "{1to" in operands or (words[0] in ("vbroadcastss", "vpbroadcastd") and "(" in operands)
        count += arm or (x86 and "(%rip)" not in operands)
    return count


def _spill(name: str, operands: str) -> int:
    arm = re.findall(r"\bq\d+", operands.split("[")[0]) if re.match(r"(ld|st)[rp]", name) and "[sp" in operands else []
    x86 = bool(re.search(r"\(%rsp\)", operands) and re.search(r"%[xyz]mm", operands))
    return len(arm) + int(x86)


def work_of(loop: Loop) -> Work:
    """Counts what one pass does."""
    arm = not any("%" in i.text for i in loop.instructions)
    flops = fma = int8 = loaded = stored = spills = 0
    for i in loop.instructions:
        words = i.text.split(None, 1)
        name, operands = words[0], words[1] if len(words) > 1 else ""
        all_flops, of_fma = (_arm_flops if arm else _x86_flops)(name, operands)
        read, written = (_arm_memory if arm else _x86_memory)(name, operands)
        flops, fma, loaded, stored = flops + all_flops, fma + of_fma, loaded + read, stored + written
        int8 += (_arm_int8 if arm else _x86_int8)(name, operands)
        spills += _spill(name, operands)
    return Work(len(loop.instructions), flops, fma, int8, stored, loaded, _broadcasts(loop.instructions), spills)
