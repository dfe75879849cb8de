#!/usr/bin/env bash
# Installs what is missing, builds every configuration and runs every test; prints the time of each suite.
#
#   ./test.sh            everything
#   ./test.sh SUITE...   some of: release clang sanitizers aarch64 python demo style
set -euo pipefail
cd "$(dirname "$0")"
. scripts/prepare.sh

all_suites=(style release clang sanitizers aarch64 python demo)
if [ $# -gt 0 ] && [[ $1 == -* ]]; then
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    exit 2
fi
suites=("${@:-${all_suites[@]}}")

test_packages=(clang clang-format binutils libcmocka-dev qemu-user)
arm_packages=(gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libsleef-dev:arm64 libjansson-dev:arm64 libpopt-dev:arm64
    libcmocka-dev:arm64)

# The arm64 packages that a cross build links against come from Debian's own archive; Ubuntu keeps them on another
# server, which its user has to add, so there the suite is left out unless they are installed.
prepare_arm() {
    [ "$(uname -m)" = x86_64 ] || return 1
    if ! dpkg --print-foreign-architectures | grep -qx arm64; then
        grep -qi '^ID=debian' /etc/os-release || return 1
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
        run_quietly build/log/pip-training build/venv/bin/pip install --editable ./training pytest ruff
        touch "$stamp"
    fi
}

ctest_preset() {
    ctest --test-dir "build/$1" --output-on-failure --no-tests=error -j 2
}

suite_style() {
    torch_environment
    build/venv/bin/ruff check converter training tests examples
    git ls-files '*.c' '*.h' '*.cc' | xargs clang-format --dry-run --Werror
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
}

suite_aarch64() {
    if ! prepare_arm; then
        say "aarch64: not run, its cross compiler and arm64 libraries are not to be had from this system's archive"
        return 0
    fi
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
build_preset release -DVQRANK_TESTS=ON
python_environment

times=()
for suite in "${suites[@]}"; do
    if ! declare -F "suite_$suite" >/dev/null; then
        echo "no suite is called $suite; there are: ${all_suites[*]}" >&2
        exit 2
    fi
    say "== $suite"
    start=$SECONDS
    "suite_$suite"
    times+=("$(printf '%-12s %4d s' "$suite" $((SECONDS - start)))")
done

say "All suites passed:"
printf '  %s\n' "${times[@]}" "$(printf '%-12s %4d s' total $SECONDS)"
