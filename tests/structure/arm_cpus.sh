#!/bin/sh
# arm_cpus.sh QEMU check_kernels
# On an Arm processor without dot products, and on one without int8 matrix products, the instruction sets that need them
# are reported as not run, and what is weaker works there; on one that has both nothing is left out.
. "$(dirname "$0")/common.sh"
qemu=$1 checks=$2
[ -x "$qemu" ] || skip "there is no qemu-aarch64"

# passes CPU argument...: the checks pass on this processor; prints and keeps what they say
passes()
{
    cpu=$1
    shift
    status=0
    output=$("$qemu" -cpu "$cpu" "$checks" --quick "$@" 2>&1) || status=$?
    printf '%s: %s\n%s\n' "$cpu" "$*" "$output"
    [ "$status" -eq 0 ] || problem "$cpu: exit status $status"
}

# leaves_out ISA...: just these were reported as not run
leaves_out()
{
    missing=$(echo "$output" | sed -n 's/^\([a-z0-9]*\): not run: this processor lacks.*/\1/p' | tr '\n' ' ')
    [ "$missing" = "$*${*:+ }" ] || problem "$cpu: not run: $missing, expected: $*"
}

passes cortex-a53 gemm_i8
leaves_out neondot i8mm
passes neoverse-n1 gemm_i8
leaves_out i8mm
passes max gemm_i8
leaves_out
passes cortex-a53 --isa neon # every kernel
passes neoverse-n1 --isa neondot
finish
