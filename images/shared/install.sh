#!/bin/sh
# Installs a hashed lock into /opt/kubetune: wheels only, compiled to bytecode, no cache left behind.
# What is there already at the pinned version stays in its layer. A pip.conf may come as the build secret `pip`.
set -eu
PIP_CONFIG_FILE=/run/secrets/pip PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
export PIP_CONFIG_FILE PIP_NO_CACHE_DIR PIP_DISABLE_PIP_VERSION_CHECK PIP_ROOT_USER_ACTION
umask 022
exec pip --quiet --python /opt/kubetune/bin/python install \
    --require-hashes --no-deps --only-binary :all: --compile --requirement "$1"
