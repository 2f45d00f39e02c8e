#!/usr/bin/env bash
# A Docker engine on this machine, for CI and developers' test machines.
#
#   scripts/ci/engine.sh            installs what is missing (as root, on Debian and Ubuntu) and starts it
#
# Does nothing where an engine answers already. Exits 3 and says why where none can be had.
set -uo pipefail
export PATH="$PATH:/usr/sbin:/sbin"

readonly LOG="${TMPDIR:-/tmp}/mediswarm-dockerd.log"
readonly SECONDS_TO_START=60

none() {
    printf 'no Docker engine: %s\n' "$1" >&2
    exit 3
}

answers() {
    timeout 10 docker info >/dev/null 2>&1
}

install() {
    command -v apt-get >/dev/null || none "$1 is missing, and this machine has no apt-get to install it"
    printf 'installing %s\n' "$1" >&2
    { timeout 300 apt-get update && DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install \
        --yes --no-install-recommends "$1"; } >>"$LOG" 2>&1 || none "$1 cannot be installed, see $LOG"
}

answers && exit 0
[[ "$(id -u)" == 0 ]] || none "it does not answer, and only root can start it"
command -v dockerd >/dev/null || install docker.io
command -v debootstrap >/dev/null || install debootstrap

if ! pgrep -x dockerd >/dev/null; then
    # of its own session, and with no descriptor of ours: it outlives this script and holds no pipe open
    setsid dockerd >>"$LOG" 2>&1 </dev/null &
fi
for ((waited = 0; waited < SECONDS_TO_START; waited++)); do
    answers && exit 0
    sleep 1
done
tail -n 5 "$LOG" >&2
none "dockerd did not answer in $SECONDS_TO_START seconds, see $LOG"
