#!/bin/sh
# old_cpu.sh QEMU check_kernels
# On a processor without AVX the checks end well, with every instruction set reported as not run: so nothing that runs
# before the choice of kernels uses instructions that the processor lacks.
. "$(dirname "$0")/common.sh"
qemu=$1 checks=$2
[ -x "$qemu" ] || skip "there is no qemu-x86_64"
status=0
output=$("$qemu" -cpu Nehalem "$checks" --quick 2>&1) || status=$?
echo "$output"
[ "$status" -eq 0 ] || problem "exit status $status"
echo "$output" | grep -q '^ref: not run: this processor lacks' || problem "ref is not reported as not run"
! echo "$output" | grep -v '^seed ' | grep -qv ': not run: this processor lacks' || problem "something did run"
finish
