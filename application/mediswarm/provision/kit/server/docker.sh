#!/usr/bin/env bash
# The server's whole interface: start it, stop it, ask it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR/../common source=docker_common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/docker_common.sh"

usage() {
    cat <<'TEXT'
usage: ./docker.sh MODE [OPTIONS]

modes
  --start_server      serve the federation, also after a restart of this machine
  --stop_server       stop; runs go on when the server is started again with the same --scratch_dir
  --status            say whether the server serves
  --logs              show what the server says; with --follow as it comes

options
  --scratch_dir DIR   the server's state: jobs, runs, models
  --shm_size SIZE     shared memory [default: 2g]
  --no_pull           never fetch the image
  --follow            with --logs
TEXT
}

MODE='' SCRATCH_DIR=''
while [[ $# -gt 0 ]]; do
    option=$1
    if [[ $option == --*=* ]]; then # --option=value
        option=${1%%=*}
        set -- "$option" "${1#*=}" "${@:2}"
    fi
    case $option in
        --scratch_dir) SCRATCH_DIR=$(value_of "$option" "$@"); shift ;;
        --shm_size) SHM_SIZE=$(value_of "$option" "$@"); shift ;;
        --no_pull) PULL=no ;;
        --follow) FOLLOW=--follow ;;
        --help | -h) usage; exit ;;
        --start_server | --stop_server | --status | --logs)
            [[ -z $MODE ]] || fail MS-U004 "$MODE and $option are two modes" "Give one mode."
            MODE=$option ;;
        *) fail MS-U004 "$option is no option of docker.sh" "See ./docker.sh --help." ;;
    esac
    shift
done

read_kit server
case $MODE in
    --start_server)
        ask SCRATCH_DIR --scratch_dir "directory for the server's state"
        ready
        if [[ -n $NETWORK ]]; then
            NETWORK_FLAGS+=(--network-alias "$SERVER") # reached in that network only: no port of the machine is taken
        else
            NETWORK_FLAGS+=(--publish "$PORT:$PORT")
            [[ -z $ADMIN_PORT || $ADMIN_PORT == "$PORT" ]] || NETWORK_FLAGS+=(--publish "$ADMIN_PORT:$ADMIN_PORT")
        fi
        FLAGS+=(--env MEDISWARM_WEIGHTS_DIR=/scratch/weights)
        start_node ;;
    --stop_server) require_engine; stop_node ;;
    --status) require_engine; node_status ;;
    --logs) require_engine; node_logs ;;
    *) usage >&2 && exit 2 ;;
esac
