#!/usr/bin/env bash
# Takes what libFuzzer found into the committed corpus, smallest first, as far as it reaches something new and fits:
#
#   tests/fuzz/merge.sh TARGET FOUND [BYTES]     FOUND: a folder of inputs; BYTES: of all that is taken, 40000
#
# Seeds (seed-*) and inputs that showed a fault (found-*) stay; what an earlier merge took is chosen anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$1 found=$2 budget=${3:-40000}
corpus=tests/fuzz/corpus/$target
merged=$(mktemp -d) log=build/fuzz/merge-$target.log
trap 'rm -rf "$merged"' EXIT

if ! "build/fuzz/tests/fuzz/fuzz_$target" -set_cover_merge=1 -max_len=20000 "$merged" "$corpus" "$found" 2>"$log"; then
    echo "merge.sh: fuzz_$target failed, see $log" >&2
    exit 1
fi
find "$corpus" -type f ! -name 'seed-*' ! -name 'found-*' ! -name 'converted-*' -delete
for file in "$corpus"/*; do # already there under a name of its own
    rm -f "$merged/$(sha1sum <"$file" | cut -d' ' -f1)"
done
# Not a pipe into the loop: one that ends early would break it, and pipefail the script.
smallest_first=$(find "$merged" -type f -printf '%s %p\n' | sort -n)
while read -r size path && [ -n "$path" ] && [ $((budget -= size)) -ge 0 ]; do
    cp "$path" "$corpus/"
done <<<"$smallest_first"
echo "$target: $(find "$corpus" -type f | wc -l) files, $(cat "$corpus"/* | wc -c) bytes"
