# shellcheck shell=bash
# What the docker.sh of every role shares: the kit's settings, the image, how a container is started.
# Sourced by docker.sh. Nothing here is evaluated as code but these functions.

KIT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

FEDERATION='' NAME='' ROLE='' SERVER='' PORT='' ADMIN_PORT='' IMAGE='' IMAGE_DIGEST='' NETWORK=''
PULL=yes SHM_SIZE=2g FOLLOW=''

# fail CODE MESSAGE HINT: end as the `mediswarm` command would (docs/errors.md)
fail() {
    printf 'error[%s] %s\n  hint: %s\n' "$1" "$2" "$3" >&2
    case $1 in
        MS-U*) exit 2 ;;
        MS-H* | MS-N022) exit 10 ;;
        MS-K*) exit 12 ;;
        MS-N023 | MS-N024 | MS-N025) exit 13 ;;
        *) exit 14 ;;
    esac
}

say() { printf '%s\n' "$*" >&2; }

# kit.env holds KEY=VALUE lines written by `mediswarm provision`. It is read, not sourced.
read_kit() {
    local line key value
    [[ -r $KIT/kit.env && -r $KIT/kit.json ]] ||
        fail MS-K001 "$KIT: kit.env or kit.json cannot be read" \
            "Unpack the kit's archive again, whole, with the account that runs docker.sh."
    while IFS= read -r line || [[ -n $line ]]; do
        key=${line%%=*} value=${line#*=}
        value=${value#\'} value=${value%\'}
        case $key in
            FEDERATION | NAME | ROLE | SERVER | PORT | ADMIN_PORT | IMAGE | IMAGE_DIGEST | NETWORK)
                printf -v "$key" '%s' "$value" ;;
        esac
    done <"$KIT/kit.env"
    [[ $ROLE == "$1" && -n $NAME && -n $IMAGE ]] ||
        fail MS-K026 "$KIT: this docker.sh is for a $1, and the kit is for '$ROLE'" \
            "Unpack the kit's archive again, whole, into an empty folder."
    CONTAINER="mediswarm-${FEDERATION//[^A-Za-z0-9_.-]/_}-${NAME//[^A-Za-z0-9_.-]/_}"
    local key_file
    for key_file in "$KIT"/startup/*.key; do
        [[ ! -e $key_file || -r $key_file ]] ||
            fail MS-K024 "$key_file: this account cannot read the private key" \
                "Run docker.sh with the account that unpacked the kit."
    done
}

# value_of OPTION "$@": the value in `--option value`, or an error
value_of() {
    [[ $# -ge 3 && $3 != --* && -n $3 ]] ||
        fail MS-U004 "$1 needs a value" "Write: $1 VALUE. See docker.sh --help."
    printf '%s' "$3"
}

# ask VARIABLE OPTION QUESTION: fill in a missing value from the terminal, or fail without one
ask() {
    [[ -z ${!1} ]] || return 0
    local answer=''
    if [[ -t 0 && -t 2 ]]; then
        read -r -e -p "$3: " answer || true
    fi
    [[ -n $answer ]] || fail MS-U004 "$2 is missing" "Add: $2 VALUE ($3)."
    printf -v "$1" '%s' "$answer"
}

# absolute_folder PATH: as the kernel knows it, without links
absolute_folder() {
    (cd -- "$1" 2>/dev/null && pwd -P) ||
        fail MS-U001 "$1: this account cannot enter the directory" "Choose another, or ask for access to it."
}

# within INNER OUTER: whether INNER is OUTER or lies in it; both as absolute_folder gives them
within() { [[ ${1%/}/ == "${2%/}/"* ]]; }

# keep_apart PATH: an error if what is written in PATH could reach the data or the kit
keep_apart() {
    if [[ -n ${DATA_DIR:-} ]] && within "$1" "$DATA_DIR"; then
        fail MS-H011 "$SCRATCH_DIR lies in the data directory $DATA_DIR, which is only read" \
            "Choose a --scratch_dir elsewhere."
    fi
    if [[ -n ${DATA_DIR:-} ]] && within "$DATA_DIR" "$1"; then
        fail MS-H011 "the data directory $DATA_DIR lies in $SCRATCH_DIR, where the container may write" \
            "Choose a --scratch_dir of its own."
    fi
    if within "$KIT" "$1"; then
        fail MS-H011 "the kit lies in $SCRATCH_DIR, where the container may write" \
            "Choose a --scratch_dir of its own."
    fi
}

prepare_scratch() {
    local planned=$SCRATCH_DIR rest='' # where it will be: nothing is made in the data first
    while [[ ! -d $planned ]]; do
        rest=/$(basename -- "$planned")$rest
        planned=$(dirname -- "$planned")
    done
    planned=$(absolute_folder "$planned")
    keep_apart "$planned$rest"
    (umask 077 && mkdir -p -- "$SCRATCH_DIR") 2>/dev/null && [[ -d $SCRATCH_DIR ]] ||
        fail MS-H001 "$SCRATCH_DIR: the directory cannot be made" \
            "Choose a --scratch_dir that this account can write."
    SCRATCH_DIR=$(absolute_folder "$SCRATCH_DIR")
    keep_apart "$SCRATCH_DIR"
    [[ -w $SCRATCH_DIR ]] ||
        fail MS-H001 "$SCRATCH_DIR: this account cannot write there" \
            "Choose a --scratch_dir that this account can write."
}

# The container runs as whoever calls docker.sh. Root is not passed on: it becomes the image's own account,
# which then owns the scratch directory and the kit.
choose_account() {
    ACCOUNT="$(id -u):$(id -g)"
    if [[ $(id -u) == 0 ]]; then
        ACCOUNT=10001:10001
        [[ $(stat -c %u -- "$SCRATCH_DIR") == 10001 || -z $(ls -A -- "$SCRATCH_DIR") ]] ||
            fail MS-H001 "$SCRATCH_DIR holds files of another account, and root would take them away from it" \
                "Give an empty directory, run docker.sh as that account, or: chown -R $ACCOUNT '$SCRATCH_DIR'."
        chown -R -- "$ACCOUNT" "$SCRATCH_DIR" "$KIT"
    fi
}

require_engine() {
    command -v docker >/dev/null ||
        fail MS-N022 "there is no docker command on this machine" \
            "Install Docker Engine 20.10 or later."
    ENGINE_VERSION=$(docker version --format '{{.Server.Version}}' 2>/dev/null) ||
        fail MS-N022 "the Docker engine does not answer this account" \
            "Start it, and add this account to the group docker; then log in again."
    CGROUP_DRIVER=$(docker info --format '{{.CgroupDriver}}' 2>/dev/null) || CGROUP_DRIVER=unknown
}

# image_here REFERENCE: the digest by which the engine has it, if it is the kit's
image_here() {
    docker image inspect --format '{{.Id}}{{range .RepoDigests}} {{.}}{{end}}' -- "$1" 2>/dev/null
}

# Sets RUN_IMAGE to what is run: the kit's digest, whatever a tag may point to meanwhile.
require_image() {
    local repository=$IMAGE reference=$IMAGE known word
    [[ ${IMAGE##*/} != *[:@]* ]] || repository=${IMAGE%[:@]*}
    repository=${repository%@sha256}
    [[ -n $IMAGE_DIGEST || $IMAGE != *@sha256:* ]] || IMAGE_DIGEST=sha256:${IMAGE##*@sha256:}
    [[ -z $IMAGE_DIGEST ]] || reference=$repository@$IMAGE_DIGEST
    if ! image_here "$reference" >/dev/null && ! image_here "$IMAGE" >/dev/null && ! image_here "$IMAGE_DIGEST" >/dev/null; then
        [[ $PULL == yes ]] ||
            fail MS-N023 "$reference is not on this machine, and --no_pull forbids to fetch it" \
                "Load it with \`docker load\`, or leave out --no_pull."
        say "fetching $reference"
        docker pull --quiet -- "$reference" >/dev/null ||
            fail MS-N023 "$reference cannot be fetched" \
                "Log in to the registry (\`docker login\`), or load the image with \`docker load\`."
    fi
    if [[ -z $IMAGE_DIGEST ]]; then
        say "warning: this kit names its image by a tag only; nothing tells whether it is the one that was tested"
        RUN_IMAGE=$IMAGE
        IMAGE_DIGEST=$(docker image inspect --format '{{.Id}}' -- "$IMAGE") # what the record of a run names
        return
    fi
    for word in "$IMAGE_DIGEST" "$reference" "$IMAGE"; do
        for known in $(image_here "$word" || true); do
            if [[ $known == "$IMAGE_DIGEST" || $known == *"@$IMAGE_DIGEST" ]]; then
                RUN_IMAGE=$known
                return
            fi
        done
    done
    fail MS-N024 "$IMAGE on this machine is not the image of this kit, $IMAGE_DIGEST" \
        "Remove that image and let docker.sh fetch the right one, or ask the operator for a new kit."
}

# bind SOURCE TARGET [readonly]: a --mount option, whatever characters the path holds
bind() {
    local source=${1//\"/\"\"}
    printf 'type=bind,"source=%s",target=%s%s' "$source" "$2" "${3:+,readonly}"
}

# Sets FLAGS: what holds for every container of ours.
container_flags() {
    FLAGS=(
        --user "$ACCOUNT" --read-only --cap-drop ALL --security-opt no-new-privileges
        --tmpfs "/tmp:rw,nosuid,nodev,size=2g,mode=1777,uid=${ACCOUNT%:*},gid=${ACCOUNT#*:}"
        --shm-size "$SHM_SIZE" --pids-limit 4096 --log-driver local
        --mount "$(bind "$KIT" /kit readonly)" --mount "$(bind "$SCRATCH_DIR" /scratch)"
        --env MEDISWARM_KIT=/kit --env MEDISWARM_SCRATCH_DIR=/scratch --env "MEDISWARM_IMAGE=$IMAGE_NAMED"
    )
}

# Sets NETWORK_FLAGS. Federations on one machine name a Docker network, in which the server has its name.
network_flags() {
    NETWORK_FLAGS=()
    [[ -n $NETWORK ]] || return 0
    docker network inspect -- "$NETWORK" >/dev/null 2>&1 || docker network create "$NETWORK" >/dev/null
    NETWORK_FLAGS=(--network "$NETWORK")
}

# ready ROLE: the kit, the engine, the image, the account and the flags
ready() {
    prepare_scratch
    require_engine
    require_image
    IMAGE_NAMED=$IMAGE${IMAGE_DIGEST:+@$IMAGE_DIGEST}
    [[ $IMAGE != *@sha256:* ]] || IMAGE_NAMED=$IMAGE
    choose_account
    container_flags
    network_flags
}

# running: whether the participant's long-running container is up
running() { [[ $(state_of_container) == running ]]; }

# state_of_container: running, restarting (it fails at once, again and again), exited, or nothing
state_of_container() { docker container inspect --format '{{.State.Status}}' "$CONTAINER" 2>/dev/null || true; }

# docker_run ARGUMENTS...: `docker run`; where the engine itself says no, what to do about it
docker_run() {
    local code=0
    docker run "$@" || code=$?
    [[ $code != 125 ]] ||
        fail MS-N025 "the Docker engine did not start the container; what it said stands above" \
            "If it is about the GPU: install the NVIDIA Container Toolkit, or use --GPU none."
    return "$code"
}

# start_node: start the long-running container, and say within 30 s how it is
start_node() {
    if running; then
        say "$CONTAINER is running already, with the options it was started with; stop it first to change them"
        return
    fi
    docker rm --force "$CONTAINER" >/dev/null 2>&1 || true
    docker_run --detach --name "$CONTAINER" --restart unless-stopped --stop-timeout 20 \
        "${FLAGS[@]}" "${NETWORK_FLAGS[@]}" "$RUN_IMAGE" \
        node run --kit /kit --scratch /scratch >/dev/null
    wait_for_node
}

wait_for_node() {
    local said='' until=$((SECONDS + 30))
    while ((SECONDS < until)); do
        running || break
        if said=$(docker exec "$CONTAINER" mediswarm node health --scratch /scratch 2>&1); then
            say "$said"
            return 0
        fi
        if [[ $said == *error\[MS-K* ]]; then
            say "$said"
            return 12
        fi
        sleep 1
    done
    running || fail MS-N009 "$CONTAINER does not stay up" "See \`docker.sh --logs\` for the reason; stop it, mend that, start it."
    say "$said"
    say "$CONTAINER is started and goes on trying; ask again with docker.sh --status"
}

stop_node() {
    if ! docker container inspect "$CONTAINER" >/dev/null 2>&1; then
        say "$CONTAINER is not there; nothing to stop"
        return 0
    fi
    docker stop --time 20 "$CONTAINER" >/dev/null
    docker rm "$CONTAINER" >/dev/null
    say "$CONTAINER is stopped"
}

node_status() {
    [[ $(state_of_container) != restarting ]] ||
        fail MS-N009 "$CONTAINER does not stay up" "See \`docker.sh --logs\` for the reason; stop it, mend that, start it."
    running ||
        fail MS-N009 "$CONTAINER is not running" "Start it; \`docker.sh --help\` says how."
    docker exec "$CONTAINER" mediswarm node status --scratch /scratch
    docker exec "$CONTAINER" mediswarm node health --scratch /scratch >/dev/null 2>&1 || return 14
}

node_logs() {
    docker container inspect "$CONTAINER" >/dev/null 2>&1 ||
        fail MS-N009 "$CONTAINER is not there" "Start it; \`docker.sh --help\` says how."
    docker logs --tail 500 ${FOLLOW:+"$FOLLOW"} "$CONTAINER"
}
