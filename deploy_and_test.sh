#!/usr/bin/env bash
# The operator's one script. It makes what it needs (a virtual environment with
# locked dependencies) and does its work:
#
#   ./deploy_and_test.sh setup        the command line, as .venv/bin/mediswarm
#   ./deploy_and_test.sh demo [DIR]   three synthetic hospitals, alone and together, and a report
#   ./deploy_and_test.sh test         style, types, floors and all tests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    printf 'error: %s\n  hint: %s\n' "$1" "$2" >&2
    exit 1
}

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# The environment is made anew when a lock file or pyproject.toml changes.
make_environment() {
    local python="${PYTHON:-python3}" wanted
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        fail "Python 3.10 or newer is needed" "install it, or set PYTHON to one, for example PYTHON=python3.11"
    wanted="$(cat docker_config/requirements*.lock pyproject.toml | sha256sum)"
    [[ -f .venv/.complete && "$(cat .venv/.complete)" == "$wanted" ]] && return
    printf 'installing into .venv (a few minutes the first time)\n' >&2
    "$python" -m venv --clear .venv ||
        fail "the virtual environment could not be made" "on Debian and Ubuntu: apt-get install python3-venv"
    local torch others pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check)
    torch="$(mktemp -d)" others="$torch/others.lock"
    awk '/^[^ #]/ {torch = /^torch==/} torch' docker_config/requirements.lock >"$torch/torch.lock"
    awk '/^[^ #]/ {torch = /^torch==/} !torch' docker_config/requirements.lock >"$others"
    # with hashes at hand pip prefers an index's file; without, a CPU build that lies on this machine.
    # What it took is compared with the lock when it is installed.
    "${pip[@]}" download --no-deps --dest "$torch" "$(grep --only-matching '^torch==[^ ]*' "$torch/torch.lock")"
    "${pip[@]}" install --no-deps --require-hashes --no-index --find-links "$torch" --requirement "$torch/torch.lock"
    "${pip[@]}" install --no-deps --require-hashes --requirement "$others" \
        --requirement docker_config/requirements-dev.lock
    rm -rf "$torch"
    # torch's public build for Linux needs NVIDIA's libraries beside it, its CPU build does not
    if .venv/bin/python -c 'from importlib.metadata import requires; import sys
sys.exit(not any(name.startswith("nvidia") for name in requires("torch")))'; then
        "${pip[@]}" install --no-deps --require-hashes --requirement docker_config/requirements-cuda.lock
    fi
    "${pip[@]}" install --no-deps --no-build-isolation --editable .
    printf '%s' "$wanted" >.venv/.complete
}

run_tests() {
    export PATH="$PWD/.venv/bin:$PATH"
    ruff check .
    ruff format --check .
    mypy
    lint-imports
    # one thread for each process: sites share the cores
    export OMP_NUM_THREADS=1
    if (($#)); then
        pytest "$@"
        return
    fi
    pytest --numprocesses logical tests/unit
    pytest tests/integration tests/system  # each of these takes all cores
}

case "${1:-}" in
    setup)
        make_environment
        ;;
    demo)
        make_environment
        exec .venv/bin/mediswarm demo --out "${2:-demo}"
        ;;
    test)
        shift
        make_environment
        run_tests "$@"
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac
