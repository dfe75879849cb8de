# Steps that demo.sh and test.sh share: packages, the release build, the Python environment. Sourced, not run; the
# caller has set -euo pipefail and stands in the repository's root. Each step is quick when nothing changed.

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi

say() { printf '%s\n' "${bold}$*${plain}"; }

# run_quietly LOG COMMAND...: output goes to the log, which is shown when the command fails.
run_quietly() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "failed: $* (all of its output: $log)" >&2
        return 1
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "neither root nor sudo here; please run as root: $*" >&2
        return 1
    fi
}

# need_packages NAME...: installs what is missing with apt, on Debian and Ubuntu; elsewhere names it.
need_packages() {
    local missing=() name native arch
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian or Ubuntu: please install the equivalents of: $*" >&2
        return 0
    fi
    native=$(dpkg --print-architecture)
    for name in "$@"; do
        case $name in *:*) arch=${name##*:} ;; *) arch=$native ;; esac
        dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "$name" 2>/dev/null |
            grep -qxE "($arch|all) installed" || missing+=("$name")
    done
    [ ${#missing[@]} = 0 ] && return 0
    say "Installing packages: ${missing[*]}"
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        echo "neither root nor sudo here; please run: apt-get update && apt-get install ${missing[*]}" >&2
        return 1
    fi
    if [ -n "$(dpkg --audit)" ]; then # an installation was interrupted
        run_quietly build/log/dpkg as_root dpkg --configure -a
    fi
    run_quietly build/log/apt-update as_root apt-get update
    run_quietly build/log/apt-install as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"
}

# build_preset NAME [CMAKE OPTION...]: configures and builds into build/NAME.
build_preset() {
    local preset=$1
    shift
    run_quietly "build/log/configure-$preset" cmake --preset "$preset" "$@"
    run_quietly "build/log/build-$preset" cmake --build "build/$preset"
}

# python_environment: build/venv with the converter in it and the vqrank command beside it; vqrank-train too, which
# without PyTorch says how to get it.
python_environment() {
    local stamp=build/venv/.converter
    if [ ! -x build/venv/bin/pip ]; then # pip comes last, so one that was interrupted is made anew
        run_quietly build/log/venv python3 -m venv --clear build/venv
    fi
    if [ ! -e "$stamp" ] || [ converter/pyproject.toml -nt "$stamp" ] || [ schema/model.fbs -nt "$stamp" ] ||
        [ ! -x build/venv/bin/vqrank-convert ]; then
        say "Installing the converter into build/venv"
        run_quietly build/log/pip-converter build/venv/bin/pip install --editable ./converter
        if [ ! -x build/venv/bin/vqrank-train ]; then
            run_quietly build/log/pip-train build/venv/bin/pip install --no-deps --editable ./training
        fi
        touch "$stamp"
    fi
    ln -sf ../../release/bin/vqrank build/venv/bin/vqrank
}

build_packages=(build-essential cmake ninja-build pkg-config flatbuffers-compiler libflatbuffers-dev libsleef-dev
    libjansson-dev libpopt-dev libxxhash-dev python3 python3-venv xz-utils)
