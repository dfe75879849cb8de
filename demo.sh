#!/usr/bin/env bash
# Installs what is missing, builds, and ranks the files that real developers touch next, from a model and histories in
# examples/commits. Debian 12, Ubuntu 24.04 or newer; needs no PyTorch. Builds only what changed.
#
#   ./demo.sh [--developers N] [--moments N]      fewer developers, fewer moments of each
set -euo pipefail
cd "$(dirname "$0")"
. scripts/prepare.sh

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
arguments=("$@")
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --developers | --moments) [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { usage >&2 && exit 2; } ;;
    *) usage >&2 && exit 2 ;;
    esac
    shift 2
done

need_packages "${build_packages[@]}"
say "Building (build/release)"
# The tests need more packages; a folder that test.sh configured keeps them.
if [ -e build/release/CMakeCache.txt ]; then build_preset release; else build_preset release -DVQRANK_TESTS=OFF; fi
python_environment

demo=build/demo
model=$demo/commits.vqr
checkpoint=examples/commits/model.safetensors
mkdir -p "$demo"
if [ ! -e "$model" ] || [ "$checkpoint" -nt "$model" ] || [ schema/model.fbs -nt "$model" ]; then
    say "Converting the checkpoint, in int8 where it gains: vqrank-convert $checkpoint -o $model --preset mobile"
    build/venv/bin/vqrank-convert "$checkpoint" -o "$model" --preset mobile
fi

say "Self-test: this processor gives the bits that the model file says it must"
build/release/bin/vqrank selftest "$model"

say "Requests: real histories, and all files that the repository touched lately as candidates"
build/venv/bin/python examples/commits/make_requests.py "$demo" "${arguments[@]}"
xz --decompress --stdout examples/commits/items.csv.xz >"$demo/items.csv"

say "Three held-out moments; * marks files that the developer really touched next"
awk 'NR % 20 == 1 && n++ < 3' "$demo/requests.jsonl" >"$demo/three.jsonl"
build/release/bin/vqrank rank "$model" "$demo/three.jsonl" --top 10 \
    --names item="$demo/items.csv" --relevant "$demo/truth.jsonl"

say "All moments: vqrank score $model $demo/requests.jsonl"
build/release/bin/vqrank score "$model" "$demo/requests.jsonl" >"$demo/responses.jsonl"
build/venv/bin/python examples/commits/evaluate.py "$demo/responses.jsonl" "$demo"

say "Latency on this machine, one thread, median over every fourth moment"
awk 'NR % 4 == 1' "$demo/requests.jsonl" | build/release/bin/vqrank rank "$model" --top 1 |
    build/venv/bin/python examples/commits/latency.py
