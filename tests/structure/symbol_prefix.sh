#!/bin/sh
# symbol_prefix.sh NM libvqrank.a libvqrank.so vqrank.h
# Nothing of ours collides with an application's names: every global symbol of the static library starts with vqr_
# (instances of inline C++ functions excepted: the linker merges those, and their names carry our namespaces or
# FlatBuffers'; so are AddressSanitizer's marks), and the shared library exports exactly the functions that the public header declares.
. "$(dirname "$0")/common.sh"
nm=$1 static=$2 shared=$3 header=$4

strays=$("$nm" -g --defined-only "$static" | awk '
    NF == 3 && $3 !~ /^(__odr_asan\.)?vqr_/ && !($2 ~ /^[WVu]$/ && $3 ~ /^_Z.*(flatbuffers|vqrank_)/) { print $3 }')
for symbol in $strays; do
    problem "$static defines $symbol, which does not start with vqr_"
done

declared=$(grep -v '^ *[*/]' "$header" | tr '\n' ' ' | tr ';' '\n' | grep VQR_API | grep -o 'vqr_[a-z0-9_]* *(' |
    tr -d ' (' | sort -u)
exported=$("$nm" -D -g --defined-only "$shared" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort -u)
for symbol in $exported; do
    echo "$declared" | grep -qx "$symbol" || problem "$shared exports $symbol, which $header does not declare"
done
for symbol in $declared; do
    echo "$exported" | grep -qx "$symbol" || problem "$header declares $symbol, which $shared does not export"
done
[ -n "$declared" ] || problem "found no declarations in $header"
finish
