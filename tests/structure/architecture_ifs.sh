#!/bin/sh
# architecture_ifs.sh ROOT
# Only simd/cpu.c asks the preprocessor which processor it is compiled for; all else is chosen by folder and by CMake.
. "$(dirname "$0")/common.sh"
cd "$1"
names='__x86_64|__amd64|__i[3-6]86|_M_X64|_M_IX86|_M_ARM|__aarch64|__arm|__ARM_|__SSE|__AVX|__FMA|__F16C|__BMI|__riscv'
names="$names|__powerpc|__wasm|__SVE|__VEC__"
found=$(grep -rnE "^ *# *(if|ifdef|ifndef|elif).*($names)" --include='*.c' --include='*.h' --include='*.cc' \
    --include='*.def' simd runtime schema tools tests | grep -v '^simd/cpu\.c:' || true)
[ -z "$found" ] || problem "$found"
grep -qE "^ *# *(if|ifdef|ifndef|elif).*($names)" simd/cpu.c || problem "simd/cpu.c has none: is the pattern right?"
finish
