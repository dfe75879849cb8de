#!/bin/sh
# baseline_isa.sh OBJDUMP PROCESSOR object...
# Code that runs before the processor is known, or around the kernels, uses nothing that the weakest processor of the
# architecture lacks: on x86-64 no VEX or EVEX instruction and no wide register, on AArch64 no SVE and none of the
# dot-product and matrix extensions.
. "$(dirname "$0")/common.sh"
objdump=$1 processor=$2
shift 2
case $processor in
x86_64 | AMD64)
    # Column 2 is the instruction. Those with v that are not VEX are for hypervisors and segments.
    newer='$2 ~ /^ *\{?v/ && $2 !~ /^ *(verr|verw|vm[a-z]+) / || $2 ~ /%[yz]mm|%k[0-7]/'
    ;;
aarch64 | arm64)
    newer='$2 ~ /^(ptrue|whilel|[su]dot|usdot|[su]mmla|usmmla|bf(dot|mmla|mlal|cvt)|ld1rq)/ || $3 ~ /(^|[^a-z0-9])z[0-9]+\.[bhsd]/'
    ;;
*)
    skip "no list of newer instructions for $processor"
    ;;
esac
[ $# -gt 0 ] || problem "no objects were given"
for object; do
    found=$("$objdump" -d --no-show-raw-insn "$object" | awk -F '\t' "$newer"' { print; if (++n == 3) exit }')
    [ -z "$found" ] || problem "$object: newer than the baseline of $processor:
$found"
done
finish
