#!/usr/bin/env bash
# A site's whole interface to the federation: each mode starts or asks one container.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR/../common source=docker_common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/docker_common.sh"

usage() {
    cat <<'TEXT'
usage: ./docker.sh MODE [OPTIONS]

modes
  --preflight_check   check this machine, the way to the server, the data, and train one epoch
  --dummy_training    train a small network on made-up data, alone
  --local_training    train a job on this site's data, alone
  --start_client      join the federation, and stay, also after a restart of this machine
  --stop_client       leave
  --status            say whether the server knows this site
  --logs              show what the client says; with --follow as it comes
  --list_licenses     list the software in the image and its licences
  --interactive       open a shell in the image

options
  --data_dir DIR      the site's data; only read
  --scratch_dir DIR   where the client keeps its state, caches and results; outside of --data_dir
  --GPU WHICH         none, all, or the index or UUID of a device
  --job JOB           the job to check or to train: a name, or a folder with job.yml
  --shm_size SIZE     shared memory for reading data in parallel [default: 2g]
  --no_pull           never fetch the image
  --follow            with --logs

Messages name these folders as the container sees them: /data, /scratch, and /kit for this one.
Set MEDISWARM_ACCEPT_JOBS to job hashes, separated by commas, to take part in these jobs only.
TEXT
}

MODE='' DATA_DIR='' SCRATCH_DIR='' GPU='' JOB=''
while [[ $# -gt 0 ]]; do
    option=$1
    if [[ $option == --*=* ]]; then # --option=value
        option=${1%%=*}
        set -- "$option" "${1#*=}" "${@:2}"
    fi
    case $option in
        --data_dir) DATA_DIR=$(value_of "$option" "$@"); shift ;;
        --scratch_dir) SCRATCH_DIR=$(value_of "$option" "$@"); shift ;;
        --GPU) GPU=$(value_of "$option" "$@"); shift ;;
        --job) JOB=$(value_of "$option" "$@"); shift ;;
        --shm_size) SHM_SIZE=$(value_of "$option" "$@"); shift ;;
        --no_pull) PULL=no ;;
        --follow) FOLLOW=--follow ;;
        --help | -h) usage; exit ;;
        --preflight_check | --dummy_training | --local_training | --start_client | --stop_client | \
            --status | --logs | --list_licenses | --interactive)
            [[ -z $MODE ]] || fail MS-U004 "$MODE and $option are two modes" "Give one mode."
            MODE=$option ;;
        *) fail MS-U004 "$option is no option of docker.sh" "See ./docker.sh --help." ;;
    esac
    shift
done
[[ -n $MODE ]] || { usage >&2 && exit 2; }

read_kit site
case $MODE in
    --stop_client) require_engine; stop_node; exit ;;
    --status) require_engine; node_status; exit ;;
    --logs) require_engine; node_logs; exit ;;
    --list_licenses)
        require_engine
        require_image
        exec docker run --rm --network none --read-only --cap-drop ALL --security-opt no-new-privileges \
            --no-healthcheck --tmpfs /tmp "$RUN_IMAGE" image licenses ;;
esac

# A GPU that is there and forgotten would make a run many times slower without a word.
if [[ -z $GPU && ! -e /proc/driver/nvidia/version ]]; then
    GPU=none
fi
ask GPU --GPU 'GPU to use: none, all, or a device'
GPU_FLAGS=() DEVICE=cuda
case $GPU in
    none) DEVICE=cpu ;;
    all) GPU_FLAGS=(--gpus all) ;;
    *[!A-Za-z0-9,=-]*) fail MS-U004 "--GPU '$GPU' names no device" "Use none, all, 0, 0,1 or a UUID." ;;
    *) GPU_FLAGS=(--gpus "\"device=${GPU#device=}\"") ;;
esac

case $MODE in
    --preflight_check | --local_training | --start_client)
        ask DATA_DIR --data_dir "directory with this site's data"
        [[ -d $DATA_DIR ]] ||
            fail MS-U001 "$DATA_DIR: there is no such directory" "Give the directory that holds the data."
        DATA_DIR=$(absolute_folder "$DATA_DIR") ;;
esac
ask SCRATCH_DIR --scratch_dir 'directory for state, caches and results'
[[ $MODE != --local_training ]] || ask JOB --job 'job to train'
ready

FLAGS+=("${GPU_FLAGS[@]}" --env "MEDISWARM_DEVICE=$DEVICE")
if [[ -n $DATA_DIR ]]; then
    FLAGS+=(--mount "$(bind "$DATA_DIR" /data readonly)" --env MEDISWARM_DATA_DIR=/data)
fi
if [[ -n ${MEDISWARM_ACCEPT_JOBS:-} ]]; then
    FLAGS+=(--env "MEDISWARM_ACCEPT_JOBS=$MEDISWARM_ACCEPT_JOBS")
fi
if [[ -d $JOB || -f $JOB ]]; then # the site's own folder, not a name
    [[ -d $JOB ]] || JOB=$(dirname -- "$JOB")
    FLAGS+=(--mount "$(bind "$(absolute_folder "$JOB")" "/jobs/$(basename -- "$(absolute_folder "$JOB")")" readonly)")
    JOB=/jobs/$(basename -- "$(absolute_folder "$JOB")")
fi
TERMINAL=()
if [[ -t 0 && -t 1 ]]; then TERMINAL=(--interactive --tty); fi
NOW=$(date -u +%Y%m%dT%H%M%SZ)

# once NETWORK_FLAGS... -- COMMAND...: run one command and give back its exit code
once() {
    local flags=()
    while [[ $1 != -- ]]; do flags+=("$1") && shift; done
    shift
    docker_run --rm --no-healthcheck "${TERMINAL[@]}" "${FLAGS[@]}" "${flags[@]}" "$RUN_IMAGE" "$@"
}

case $MODE in
    --preflight_check)
        once "${NETWORK_FLAGS[@]}" --env "MEDISWARM_DOCKER_VERSION=$ENGINE_VERSION" \
            --env "MEDISWARM_CGROUP_DRIVER=$CGROUP_DRIVER" -- \
            preflight --kit /kit --data /data --scratch /scratch --device "$DEVICE" ${JOB:+--job "$JOB"} ;;
    --dummy_training)
        once --network none -- train "${JOB:-minimal_training_pytorch_cnn}" --site "$NAME" --device "$DEVICE" \
            --scratch /scratch --out "/scratch/local/dummy-$NOW" ;;
    --local_training)
        once --network none -- train "$JOB" --site "$NAME" --device "$DEVICE" --data /data \
            --scratch /scratch --out "/scratch/local/$(basename -- "$JOB")-$NOW" ;;
    --start_client) start_node ;;
    --interactive)
        [[ ${#TERMINAL[@]} -gt 0 ]] ||
            fail MS-U004 "--interactive needs a terminal" "Run it from a terminal."
        once "${NETWORK_FLAGS[@]}" --entrypoint bash -- ;;
esac
