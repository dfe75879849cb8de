"""The processors that are predicted, the scheduling models that LLVM has for them, and their peaks.

Peaks are per cycle, of 128-bit instructions on Arm and of 512-bit ones on x86: for Arm's cores what the pipes of LLVM's
models allow, which follow Arm's software optimisation guides; for Apple's performance core what Dougall Johnson
measured (dougallj.github.io/applecpu); for Zen 4 what this project measured. Beside them the report shows what llvm-mca
makes of independent instructions of each kind. Widths are the makers' public descriptions. Shares are of the stated
peak.
"""

from dataclasses import dataclass

MULTIPLY_ADD, PRODUCT_SUM, MATRIX = "multiply-add", "dot product", "matrix product"
LONG_MULTIPLY, PAIRS = "long multiply", "pairs of 16 bits"


@dataclass(frozen=True)
class Core:
    """One processor; `peak` is instructions a cycle by kind, `vector_units` prefixes of the model's vector pipes."""

    key: str
    title: str
    triple: str
    cpu: str  # llvm-mca's -mcpu
    model: str  # which scheduling model that is
    tiers: tuple[str, ...]
    peak: dict[str, float]
    vector_units: tuple[str, ...]
    width: int  # instructions a cycle that decoding or renaming lets through; LLVM's models of Arm's cores set no limit
    ports: "Ports | None" = None


@dataclass(frozen=True)
class Ports:
    """What a core can do in one cycle, where LLVM has no model of its own for it."""

    vector: int
    loads: int
    stores: int
    multiply_add_latency: int


ARM = "aarch64-linux-gnu"


def _neoverse(key: str, title: str, pipes: tuple[str, ...], vectors: int, width: int) -> Core:
    """A Neoverse that has i8mm and a model of its own: `vectors` vector pipes that all multiply, long multiplies on
    two."""
    return Core(
        key,
        title,
        ARM,
        title.lower().replace(" ", "-"),
        "its own",
        ("neon", "neondot", "i8mm"),
        {MULTIPLY_ADD: vectors, PRODUCT_SUM: vectors, MATRIX: vectors, LONG_MULTIPLY: 2},
        pipes,
        width,
    )


CORES = (
    _neoverse("v1", "Neoverse V1", ("V1UnitV",), 4, 8),
    _neoverse("n2", "Neoverse N2", ("N2UnitV",), 2, 5),
    Core(
        "a76",
        "Cortex-A76",
        ARM,
        "neoverse-n1",
        "Neoverse N1, its server twin: LLVM gives Cortex-A76 the model of Cortex-A57",
        ("neon", "neondot"),
        {MULTIPLY_ADD: 2, PRODUCT_SUM: 2, LONG_MULTIPLY: 1},
        ("N1UnitV",),
        4,
    ),
    Core(
        "m1",
        "Apple M1",
        ARM,
        "apple-m1",
        "Cyclone of 2013, which LLVM gives every Apple core",
        ("neon", "neondot"),
        {MULTIPLY_ADD: 4, PRODUCT_SUM: 4, LONG_MULTIPLY: 4},
        ("CyUnitV",),
        8,
        ports=Ports(vector=4, loads=3, stores=2, multiply_add_latency=4),
    ),
    Core(
        "zen4",
        "AMD Zen 4",
        "x86_64-linux-gnu",
        "znver4",
        "its own",
        ("avx2", "avx512", "avx512vnni"),
        {MULTIPLY_ADD: 1, PRODUCT_SUM: 1, PAIRS: 1},
        ("Zn4FP0", "Zn4FP1", "Zn4FP2", "Zn4FP3"),
        6,
    ),
)

# What an instruction of a kind does: flops or int8 operations of one, and texts that take turns, into register {0}.
# Long multiplies are half smull and half smlal, as the kernel has them.
KINDS: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {
    (ARM, MULTIPLY_ADD): (8, ("fmla v{0}.4s, v30.4s, v31.4s",)),
    (ARM, PRODUCT_SUM): (32, ("sdot v{0}.4s, v30.16b, v31.16b",)),
    (ARM, MATRIX): (64, ("smmla v{0}.4s, v30.16b, v31.16b",)),
    (ARM, LONG_MULTIPLY): (16, ("smull v{0}.8h, v30.8b, v31.8b", "smlal v{0}.8h, v30.8b, v31.8b")),
    ("x86_64-linux-gnu", MULTIPLY_ADD): (32, ("vfmadd231ps %zmm30, %zmm31, %zmm{0}",)),
    ("x86_64-linux-gnu", PAIRS): (64, ("vpmaddwd %zmm30, %zmm31, %zmm{0}",)),
    ("x86_64-linux-gnu", PRODUCT_SUM): (128, ("vpdpbusd %zmm30, %zmm31, %zmm{0}",)),
}
INDEPENDENT = 24  # accumulators of a peak's block: enough to hide every latency in LLVM's models

# The instructions that carry int8 products, by mnemonic.
INT8_KIND = {
    "smull": LONG_MULTIPLY,
    "sdot": PRODUCT_SUM,
    "smmla": MATRIX,
    "vpmaddwd": PAIRS,
    "vpdpbusd": PRODUCT_SUM,
}


def peak_per_cycle(core: Core, kind: str) -> float:
    """Flops or int8 operations a cycle."""
    return core.peak[kind] * KINDS[core.triple, kind][0]
