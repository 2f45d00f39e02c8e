#!/usr/bin/env bash
# A base image made from Debian's packages, for machines that reach no image registry.
#
#   scripts/ci/base_image.sh [NAME]        default mediswarm/ci-base:bookworm
#
# Debian bookworm with Python 3.11 and certificates, as the public slim image has them. Production images
# are built on a public base by digest instead. Does nothing where the image is there already.
set -euo pipefail

readonly NAME="${1:-mediswarm/ci-base:bookworm}"

docker image inspect "$NAME" >/dev/null 2>&1 && exit 0
[[ "$(id -u)" == 0 ]] || { printf 'error: debootstrap needs root\n' >&2; exit 1; }

root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
if ! debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" >"$root.log" 2>&1
then
    tail -n 20 "$root.log" >&2
    exit 1
fi
rm "$root.log"
# what only the installation needed, and what names this machine
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/debootstrap \
    "$root"/usr/share/doc/*/changelog* "$root"/usr/share/man "$root"/etc/resolv.conf "$root"/etc/hostname \
    "$root"/etc/apt/sources.list "$root"/usr/share/locale
tar --create --numeric-owner --directory "$root" . | docker import --change 'CMD ["python3"]' - "$NAME" >/dev/null
