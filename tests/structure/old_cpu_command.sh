#!/bin/sh
# old_cpu_command.sh QEMU vqrank [argument...]
# On a processor without AVX the command refuses in one line, with exit status 2, and does not die of an instruction.
. "$(dirname "$0")/common.sh"
qemu=$1 command=$2
shift 2
[ -x "$qemu" ] || skip "there is no qemu-x86_64"
[ -x "$command" ] || skip "$command is not built"
for argument; do
    case $argument in
    */*) [ -e "$argument" ] || skip "$argument is not there" ;;
    esac
done
status=0
errors=$("$qemu" -cpu Nehalem "$command" "$@" 2>&1 >/dev/null </dev/null) || status=$?
echo "$errors"
[ "$status" -eq 2 ] || problem "exit status $status, expected 2"
[ "$(echo "$errors" | wc -l)" -eq 1 ] || problem "expected one line on standard error"
case $errors in
*AVX2*) ;;
*) problem "the line does not name what the processor lacks (AVX2)" ;;
esac
finish
