#!/bin/sh
# Installs the package and its jobs into /opt/mediswarm and lists what the image holds. Runs in a build stage,
# which has a pip of its own in /opt/pip.
#
#   install_package.sh SOURCE
set -eu
/opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --disable-pip-version-check --no-cache-dir \
    --no-index --no-deps --no-build-isolation --target /opt/mediswarm "$1"
cp -r "$1/application/jobs" /opt/mediswarm/jobs
mkdir -p /usr/share/mediswarm
mediswarm image sbom >/usr/share/mediswarm/sbom.cdx.json
mediswarm image licenses --json >/usr/share/mediswarm/licenses.json
