"""What bench/arm reads out of disassemblies: loops, the way round them, and what a pass does; and that it still fits
the kernels. Only the last test needs LLVM."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench/arm"))

import hot
import loops
import measure
from mca import newest_tool
from work import Work, work_of

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("VQRANK_BUILD", ROOT / "build/release"))

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
    expected = Work(8, flops=16, fma_flops=16, int8_ops=0, stored_bytes=32, loaded_bytes=36, broadcasts=1, spills=2)
    assert work_of(only_loop(ARM)) == expected
    assert work_of(only_loop(ARM, "helper")).int8_ops == 32 + 64 + 16


def test_what_a_pass_does_on_x86() -> None:
    expected = Work(8, 64, 64, 128, stored_bytes=16 + 32, loaded_bytes=4 + 64 + 4, broadcasts=2, spills=1)
    assert work_of(only_loop(X86)) == expected


def test_functions_of_the_same_object_that_are_jumped_to() -> None:
    functions = loops._parse(ARM.splitlines())
    assert [f.name for f in loops.reachable(functions, "kernel")] == ["kernel", "helper"]


def test_jumps_of_the_text_for_llvm_go_to_a_label() -> None:
    text = loops.assembly(only_loop(ARM, "helper").instructions)
    assert "cbnz x0, .Lhead" in text and "smmla v0.4s, v1.16b, v2.16b" in text and "<" not in text


# Eight multiply-adds for the four numbers that it stores, beside the stack; and a loop with one for four.
EXPONENTIAL = "\n".join(
    [
        "0000000000000000 <kernel>:",
        *(f"      {4 * i:2x}:       fmla v{i}.4s, v30.4s, v31.4s" for i in range(8)),
        "      20:       str q0, [x0], #0x10",
        "      24:       str q1, [sp, #0x10]",
        "      28:       b.ne 0x0 <kernel>",
        "      2c:       fmla v9.4s, v30.4s, v31.4s",
        "      30:       str q9, [x1], #0x10",
        "      34:       b.ne 0x2c <kernel+0x2c>",
        "      38:       ret",
    ]
)


def test_an_exponential_is_told_by_its_multiply_adds_for_each_number() -> None:
    found = loops.innermost_loops(loops._parse(EXPONENTIAL.splitlines())["kernel"])
    exponential, plain = ((loop, work_of(loop)) for loop in found)
    assert hot._exponentials([plain, exponential]) == exponential
    assert hot._exponentials([plain]) is None
    assert hot._maxima([plain, exponential]) == plain


@pytest.mark.parametrize("name", ["measure.c", "count.c", "plugin.c"])
def test_the_c_programs_fit_the_library(name: str) -> None:
    includes = [f"-I{folder}" for folder in (ROOT, BUILD / "simd", ROOT / "runtime/include")]
    strict = ["-fsyntax-only", "-std=c11", "-Wall", "-Wextra", "-Werror"]
    command = [os.environ.get("CC", "cc"), *strict, *includes, str(ROOT / "bench/arm" / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_hot_kernel_is_one_of_the_library() -> None:
    assert {h.kernel for h in hot.HOT} <= hot.kernel_names()
    assert "softmax_attention_f32" in hot.kernel_names() and "fix_f32" not in hot.kernel_names()


def empty_build(folder: Path) -> Path:
    objects = folder / "simd/CMakeFiles/vqrank_simd_neon.dir/neon"
    objects.mkdir(parents=True)
    (objects / "table.c.o").touch()
    return folder


def test_a_hot_kernel_that_is_gone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot, "HOT", (hot.Hot("fix_f32", "quantize", "round", hot._stores, 4),))
    with pytest.raises(ValueError, match=r"expected a kernel of kernels\.def, found fix_f32"):
        list(hot.find_hot("objdump", empty_build(tmp_path), "neon"))


def test_a_build_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected objects, found none; cmake --preset aarch64"):
        list(hot.find_hot("objdump", tmp_path / "aarch64", "neon"))


def test_measured_loops_are_hot_loops(tmp_path: Path) -> None:
    program = tmp_path / "measure"
    program.write_text("#!/bin/sh\necho exp_f32,exp,1.5\necho exp_f32,gone,1.5\n")
    program.chmod(0o700)
    with pytest.raises(ValueError, match=r"found \[\('exp_f32', 'gone'\)\]"):
        measure.measured(program, "avx2", 1)


@pytest.mark.skipif(newest_tool("llvm-objdump") is None, reason="needs llvm-objdump, 17 or newer")
def test_every_hot_loop_is_found_in_the_build() -> None:
    found = {(h.kernel, h.name) for h, _, _ in hot.find_hot(newest_tool("llvm-objdump") or "", BUILD, "avx2")}
    assert found == {(h.kernel, h.name) for h in hot.HOT}
