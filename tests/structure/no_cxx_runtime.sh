#!/bin/sh
# no_cxx_runtime.sh OBJDUMP libvqrank.so
# Whoever links the library gets SLEEF, libm and libc, and no C++ runtime.
. "$(dirname "$0")/common.sh"
objdump=$1 shared=$2
needed=$("$objdump" -p "$shared" | awk '$1 == "NEEDED" { print $2 }')
[ -n "$needed" ] || problem "$objdump lists nothing that $shared needs"
for library in $needed; do
    case $library in
    libsleef.so* | libm.so* | libc.so* | ld-linux*) ;;
    *) problem "$shared needs $library" ;;
    esac
done
finish
