#!/bin/sh
# Runs a command with the credentials of this container.
set -eu
. /opt/credentials.sh
exec "$@"
