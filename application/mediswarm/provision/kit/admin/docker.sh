#!/usr/bin/env bash
# An operator's interface: every `mediswarm` command with this kit, in a container.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR/../common source=docker_common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/docker_common.sh"

usage() {
    cat <<'TEXT'
usage: ./docker.sh [OPTIONS] COMMAND [ARGUMENTS]
       ./docker.sh [OPTIONS] --start_supervisor | --stop_supervisor | --logs

commands             submit, status, logs, abort, resume, fetch, list and all others of `mediswarm`;
                     `./docker.sh submit --help` explains one
  --start_supervisor look after the runs, also after a restart of this machine; `submit` does this by itself
  --stop_supervisor  stop looking after them; they go on where they are when it is started again
  --logs             show what the supervisor says

options, before the command
  --scratch_dir DIR  the operator's state: all runs [default: ~/.local/state/mediswarm/FEDERATION]
  --work_dir DIR     job folders are read and results written here [default: the current directory]
  --no_pull          never fetch the image

Messages name these folders as the container sees them: /scratch, /work, and /kit for this one.
TEXT
}

MODE='' SCRATCH_DIR='' WORK_DIR=$PWD
while [[ $# -gt 0 ]]; do
    case $1 in
        --scratch_dir) SCRATCH_DIR=$(value_of "$1" "$@"); shift ;;
        --work_dir) WORK_DIR=$(value_of "$1" "$@"); shift ;;
        --no_pull) PULL=no ;;
        --help | -h) usage; exit ;;
        --start_supervisor | --stop_supervisor | --logs) MODE=$1 ;;
        --*) fail MS-U004 "$1 is no option of docker.sh" "See ./docker.sh --help." ;;
        *) break ;;
    esac
    shift
done
[[ -n $MODE || $# -gt 0 ]] || { usage >&2 && exit 2; }

read_kit admin
CONTAINER+=-supervisor
case $MODE in
    --stop_supervisor) require_engine; stop_node; exit ;;
    --logs) require_engine; node_logs; exit ;;
esac
SCRATCH_DIR=${SCRATCH_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/mediswarm/$FEDERATION}
[[ -d $WORK_DIR ]] ||
    fail MS-U001 "$WORK_DIR: there is no such directory" "Give an existing --work_dir."
WORK_DIR=$(absolute_folder "$WORK_DIR")
# The container sees one folder, and what it writes elsewhere is gone with it.
ARGUMENTS=()
for argument in "$@"; do
    argument=${argument/#"$WORK_DIR/"/} argument=${argument/#--out="$WORK_DIR/"/--out=}
    case $argument in
        /* | .. | ../* | --*=/* | --*=..*)
            fail MS-U004 "$argument lies outside of --work_dir, $WORK_DIR, the only folder that is seen here" \
                "Give a path below it, or another --work_dir." ;;
    esac
    ARGUMENTS+=("$argument")
done
ready
FLAGS+=(--env MEDISWARM_STATE_DIR=/scratch)

# The supervisor outlives the command that needs it, so it has a container of its own.
supervise() {
    ! running || return 0
    docker rm --force "$CONTAINER" >/dev/null 2>&1 || true
    docker_run --detach --name "$CONTAINER" --restart unless-stopped --stop-timeout 20 --no-healthcheck \
        "${FLAGS[@]}" "${NETWORK_FLAGS[@]}" "$RUN_IMAGE" supervise >/dev/null
}

if [[ $MODE == --start_supervisor ]]; then
    supervise
    say "$CONTAINER is running"
    exit
fi
case $1 in
    submit | resume | abort)
        [[ " $* " == *" --help "* ]] || supervise ;;
esac
TERMINAL=()
if [[ -t 0 && -t 1 ]]; then TERMINAL=(--interactive --tty); fi
docker_run --rm --no-healthcheck "${TERMINAL[@]}" "${FLAGS[@]}" "${NETWORK_FLAGS[@]}" \
    --mount "$(bind "$WORK_DIR" /work)" --workdir /work "$RUN_IMAGE" "${ARGUMENTS[@]}"
