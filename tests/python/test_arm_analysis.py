"""What bench/arm reads out of disassemblies: loops, the way round them, and what a pass does. No LLVM needed."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/arm"))

import loops
from work import Work, work_of

# An outer loop from 4; in it one from 8 that leaves out a rare part (14, 18) and calls a function of a library.
ARM = """
0000000000000000 <kernel>:
       0:      	mov	x1, #0x0                // =0
       4:      	mov	x2, #0x0                // =0
       8:      	ldp	q0, q1, [x0, #0x20]
       c:      	ld1r	{ v2.4s }, [x3], #4
      10:      	cbz	x4, 0x1c <kernel+0x1c>
      14:      	fadd	v3.4s, v3.4s, v0.4s
      18:      	fadd	v3.4s, v3.4s, v1.4s
      1c:      	fmla	v4.4s, v2.4s, v0.4s
      20:      	fmla	v5.4s, v1.4s, v2.s[0]
      24:      	stp	q4, q5, [sp, #0x10]
      28:      	bl	0x28 <kernel+0x28>
		0000000000000028:  R_AARCH64_CALL26	exponential
      2c:      	b.ne	0x8 <kernel+0x8>
      30:      	cmp	x1, x5
      34:      	b.lo	0x4 <kernel+0x4>
      38:      	b	0x50 <helper>

0000000000000050 <helper>:
      50:      	sdot	v0.4s, v1.16b, v2.4b[0]
      54:      	smmla	v0.4s, v1.16b, v2.16b
      58:      	smlal2	v0.8h, v1.16b, v2.16b
      5c:      	cbnz	x0, 0x50 <helper>
      60:      	ret
"""

X86 = """
0000000000000000 <kernel>:
       0:      	vbroadcastss	(%rax), %zmm0
       6:      	vfmadd231ps	(%rdx,%rcx), %zmm0, %zmm1 # zmm1 = (zmm0 * mem) + zmm1
       c:      	vfmadd231ps	(%rax){1to16}, %zmm2, %zmm3
      10:      	vpdpbusd	%zmm4, %zmm5, %zmm6
      14:      	vpmovdb	%zmm6, (%rdi)
      18:      	vmovups	%ymm3, 0x20(%rsp)
      1c:      	addq	$0x40, %rdx
      20:      	jne	0x0 <kernel>
      22:      	retq
"""


def only_loop(text: str, function: str = "kernel") -> loops.Loop:
    found = loops.innermost_loops(loops._parse(text.splitlines())[function])
    assert len(found) == 1
    return found[0]


def test_the_innermost_loop_and_the_shortest_way_round_it() -> None:
    loop = only_loop(ARM)
    assert [i.address for i in loop.instructions] == [0x8, 0xC, 0x10, 0x1C, 0x20, 0x24, 0x28, 0x2C]
    assert loop.calls == ("exponential",)


def test_what_a_pass_does_on_arm() -> None:
    expected = Work(
        8, flops=16, fma_flops=16, int8_ops=0, stored_bytes=32, loaded_bytes=36, broadcasts=1, spills=2, calls=1
    )
    assert work_of(only_loop(ARM)) == expected
    assert work_of(only_loop(ARM, "helper")).int8_ops == 32 + 64 + 16


def test_what_a_pass_does_on_x86() -> None:
    expected = Work(8, 64, 64, 128, stored_bytes=16 + 32, loaded_bytes=4 + 64 + 4, broadcasts=2, spills=1, calls=0)
    assert work_of(only_loop(X86)) == expected


def test_functions_of_the_same_object_that_are_jumped_to() -> None:
    functions = loops._parse(ARM.splitlines())
    assert [f.name for f in loops.reachable(functions, "kernel")] == ["kernel", "helper"]


def test_calls_become_what_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "disassemble", lambda *_: {"Sleef_exp": loops._parse(ARM.splitlines())["helper"]})
    spliced = loops.splice(only_loop(ARM.replace("exponential", "Sleef_exp")), "objdump", Path("libsleef.so"))
    assert [i.mnemonic for i in spliced.instructions][6:10] == ["sdot", "smmla", "smlal2", "cbnz"]
    text = loops.assembly(spliced.instructions)
    assert "cbnz x0, .Lhead" in text and "b.ne .Lhead" in text and "<" not in text
