#!/bin/sh
# link_errors.sh ROOT CC PROCESSOR library-flag...
# The list of kernels makes forgetting impossible: with one more line in it, the build fails to link until the kernel
# has a reference and a check, and names what is missing; and a kernel whose parameters drift does not compile.
. "$(dirname "$0")/common.sh"
root=$1 cc=$2 processor=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $processor in
x86_64 | AMD64) ref_flags='-mavx2 -mfma' ;; # what SLEEF's scalar functions are declared for
*) ref_flags= ;;
esac

# An overlay, found before the repository: the list with one more kernel, and a build with one ISA.
mkdir -p "$work/simd"
{
    cat "$root/simd/kernels.def"
    echo 'VQR_KERNEL(forgotten_f32, void, (float *y, size_t n))'
} > "$work/simd/kernels.def"
echo 'VQR_ISA(ref)' > "$work/vqr_isas.def"

# simd.h and others include the list as "simd/kernels.def", which is looked for along -I.
flags="-std=c11 -O0 -D_GNU_SOURCE -I$work -I$root"
for source in "$root"/simd/cpu.c "$root"/simd/dispatch.c "$root"/simd/ref/*.c "$root"/tests/check.c \
    "$root"/tests/check_*.c; do
    case $source in */check_sleef.c) continue ;; esac # a program of its own
    name=$(echo "${source#"$root"/}" | tr / _)
    # shellcheck disable=SC2086 # flags are words
    "$cc" $flags $ref_flags -c "$source" -o "$work/$name.o" || { problem "$source does not compile"; finish; }
done

link() # object...: prints what is undefined
{
    "$cc" -o "$work/check" "$work"/simd_*.o "$work"/tests_*.o "$@" > "$work/log" 2>&1 && echo linked && return
    grep -o "undefined reference to .*" "$work/log" | grep -o '[a-z0-9_]*forgotten[a-z0-9_]*' | sort -u | tr '\n' ' '
}

expect() # what, got, wanted
{
    [ "$2" = "$3" ] || problem "$1: expected '$3', got '$2': $(head -5 "$work/log")"
}

echo '#include "simd/ref/ref.h"
void FN(forgotten_f32)(float *y, size_t n) { (void)y; (void)n; }' > "$work/reference.c"
echo '#include "tests/check.h"
bool check_forgotten_f32(vqr_forgotten_f32_fn *ref, vqr_forgotten_f32_fn *fn) { return ref == fn; }' > "$work/extra.c"
# shellcheck disable=SC2086
for source in reference extra; do
    "$cc" $flags $ref_flags -c "$work/$source.c" -o "$work/$source.o"
done
expect "neither reference nor check" "$(link "$@")" "check_forgotten_f32 vqr_forgotten_f32_ref "
expect "no reference" "$(link "$work/extra.o" "$@")" "vqr_forgotten_f32_ref "
expect "no check" "$(link "$work/reference.o" "$@")" "check_forgotten_f32 "
expect "both" "$(link "$work/extra.o" "$work/reference.o" "$@")" "linked"

sed '/VQR_KERNEL(relu_f32/s/size_t n/int n/' "$root/simd/kernels.def" > "$work/simd/kernels.def"
! cmp -s "$root/simd/kernels.def" "$work/simd/kernels.def" || problem "found no line of relu_f32 to change"
# shellcheck disable=SC2086
if "$cc" $flags $ref_flags -c "$root/simd/ref/activation.c" -o "$work/drift.o" 2> "$work/log"; then
    problem "a kernel with other parameters than the list's compiles"
elif ! grep -q "conflicting types.*relu_f32" "$work/log"; then
    problem "the compiler does not name the kernel that drifted: $(head -5 "$work/log")"
fi
finish
