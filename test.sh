#!/usr/bin/env bash
# Installs what is missing, builds every configuration and runs every test; prints the time of each suite.
#
#   ./test.sh            everything but fuzz, whose corpora it replays, and mutations
#   ./test.sh SUITE...   some of: release clang sanitizers aarch64 python demo style, or fuzz, mutations
set -euo pipefail
cd "$(dirname "$0")"
. scripts/prepare.sh

all_suites=(style release clang sanitizers aarch64 python demo)
more_suites=(fuzz mutations) # on request only: the one tries other things in each run, the other tests the tests
suites=("${@:-${all_suites[@]}}")
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit 0
fi
for suite in "${suites[@]}"; do
    if [[ " ${all_suites[*]} ${more_suites[*]} " != *" $suite "* ]]; then
        echo "no suite is called $suite; there are: ${all_suites[*]} ${more_suites[*]}" >&2
        exit 2
    fi
done

test_packages=(clang clang-format binutils libcmocka-dev qemu-user)
arm_packages=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libsleef-dev:arm64 libjansson-dev:arm64 libpopt-dev:arm64
    libcmocka-dev:arm64)

# Whether this system cross-builds for arm64: the packages that such a build links against come from Debian's own
# archive; Ubuntu keeps them on another server, which its user has to add first.
can_cross_build() {
    [ "$(uname -m)" = x86_64 ] && { has_arm64 || grep -qi '^ID=debian' /etc/os-release; }
}

has_arm64() {
    dpkg --print-foreign-architectures | grep -qx arm64
}

prepare_arm() {
    if ! has_arm64; then
        as_root dpkg --add-architecture arm64
        run_quietly build/log/apt-update-arm64 as_root apt-get update
    fi
    need_packages "${arm_packages[@]}"
}

# torch_environment: the training package and the test tools, in the same environment as the converter.
torch_environment() {
    local stamp=build/venv/.training
    if [ ! -e "$stamp" ] || [ training/pyproject.toml -nt "$stamp" ]; then
        say "Installing PyTorch, the training package and test tools into build/venv"
        run_quietly build/log/pip-torch build/venv/bin/pip install torch==2.13.0
        run_quietly build/log/pip-training build/venv/bin/pip install --editable ./training pytest hypothesis ruff mypy
        touch "$stamp"
    fi
}

ctest_preset() {
    ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j 2
}

suite_style() {
    torch_environment
    build/venv/bin/ruff check converter training tests examples bench scripts
    (cd converter && ../build/venv/bin/mypy)
    (cd training && ../build/venv/bin/mypy)
    find schema simd runtime tools tests examples \( -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.hh' \) -print0 |
        xargs -0 clang-format --dry-run --Werror
}

suite_release() {
    ctest_preset release
}

suite_clang() {
    build_preset clang
    ctest_preset clang
}

suite_sanitizers() {
    build_preset dev
    ctest_preset dev
    torch_environment
    VQRANK_BUILD=$PWD/build/dev build/venv/bin/python -m pytest -q tests/python/test_command*.py
}

# A taste of fuzzing: that the targets build with libFuzzer, and 20 seconds of each from the committed corpora, which
# the other suites only replay. What is found stays in build/fuzz/found.
suite_fuzz() {
    need_packages "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
    run_quietly build/log/configure-fuzz cmake --preset fuzz
    run_quietly build/log/build-fuzz cmake --build build/fuzz --target fuzz
    local target corpus taken=build/fuzz/taken
    mkdir -p build/fuzz/found
    for corpus in tests/fuzz/corpus/*; do
        target=$(basename "$corpus")
        rm -rf "$taken" && mkdir "$taken"
        run_quietly "build/log/fuzz-$target" "build/fuzz/tests/fuzz/fuzz_$target" -max_total_time=20 -timeout=20 \
            -artifact_prefix="build/fuzz/found/$target-" "$taken" "$corpus"
    done
    rm -rf "$taken"
}

# Breaks the specification's lines one by one: the tests named in tests/mutations/mutations.toml must notice each.
suite_mutations() {
    torch_environment
    build/venv/bin/python scripts/mutate.py
}

suite_aarch64() {
    prepare_arm
    build_preset aarch64
    ctest_preset aarch64
}

suite_python() {
    torch_environment
    build/venv/bin/python -m pytest -q tests/python
}

suite_demo() {
    ./demo.sh
}

need_packages "${build_packages[@]}" "${test_packages[@]}"
build_preset release -DVQRANK_TESTS=ON -DVQRANK_WERROR=ON
python_environment

times=()
for suite in "${suites[@]}"; do
    if [ "$suite" = aarch64 ] && ! can_cross_build; then
        times+=("aarch64      not run: no arm64 packages in this system's archive")
        continue
    fi
    say "== $suite"
    start=$SECONDS
    "suite_$suite"
    times+=("$(printf '%-12s %4d s' "$suite" $((SECONDS - start)))")
done

say "All passed:"
printf '  %s\n' "${times[@]}" "$(printf '%-12s %4d s' total $SECONDS)"
