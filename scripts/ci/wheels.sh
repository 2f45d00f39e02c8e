#!/usr/bin/env bash
# All wheels of the image's lock in one folder, for builds that download nothing.
#
#   scripts/ci/wheels.sh DIR        then: mediswarm image build NAME --wheels DIR
#
# pip fetches them here, with this machine's settings, and nothing of those enters an image. Where pip's
# sources offer torch's CPU build, that is taken, and no NVIDIA library. Does nothing where DIR is complete.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly DIR="${1:?usage: scripts/ci/wheels.sh DIR}" LOCKS=docker_config
readonly PYTHON="${PYTHON:-.venv/bin/python}"

fetch() {
    "$PYTHON" -m pip download --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --dest "$DIR" "$@"
}

mkdir -p "$DIR"
wanted="$(cat "$LOCKS"/requirements.lock "$LOCKS"/requirements-cuda.lock | sha256sum)"
[[ -f "$DIR/.complete" && "$(cat "$DIR/.complete")" == "$wanted" ]] && exit 0
rm -f "$DIR"/*.whl "$DIR"/*.tar.gz "$DIR/.complete"

# without its hashes, of which pip would prefer an index's; they are compared when it is installed
fetch "$(grep --only-matching '^torch==[^ ]*' "$LOCKS/requirements.lock")"
others="$(mktemp)"
trap 'rm -f "$others"' EXIT
awk '/^[^ #]/ {torch = /^torch==/} !torch' "$LOCKS/requirements.lock" >"$others"
fetch --require-hashes --requirement "$others"
compgen -G "$DIR/torch-*+cpu-*.whl" >/dev/null ||
    fetch --require-hashes --requirement "$LOCKS/requirements-cuda.lock"
printf '%s' "$wanted" >"$DIR/.complete"
