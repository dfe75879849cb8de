#!/bin/sh
# headers_alone.sh ROOT CC CXX
# Each header compiles when it is all that a file includes, and twice: C headers as C11, those with namespaces as
# C++17, the public one as both, from its own include directory alone. Headers in simd/generic and the ISAs' vec.h are
# texts to be included after one another, and declare.h and ref.h a list under a name: those are left out.
. "$(dirname "$0")/common.sh"
root=$1 cc=$2 cxx=$3
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

compile() # language, standard, include directories, header
{
    compiler=$cc
    [ "$1" = c ] || compiler=$cxx
    printf '#include "%s"\n#include "%s"\ntypedef int not_empty;\n' "$4" "$4" > "$work/alone.$1"
    # shellcheck disable=SC2086 # directories are words
    "$compiler" -std="$2" -Wall -Wextra -Wpedantic -Wundef -Werror -fsyntax-only $3 "$work/alone.$1" ||
        problem "$4 does not compile alone as $2"
}

count=0
for header in $(find schema simd runtime -name '*.h' | grep -v -e '^simd/.*/' -e simd/declare.h | sort); do
    count=$((count + 1))
    if grep -q '^namespace' "$header"; then
        compile cc c++17 "-I. -Iruntime/include" "$header"
    else
        compile c c11 "-I. -Iruntime/include" "$header"
    fi
done
[ "$count" -ge 4 ] || problem "found only $count headers"
compile c c11 -Iruntime/include vqrank/vqrank.h
compile cc c++17 -Iruntime/include vqrank/vqrank.h
finish
