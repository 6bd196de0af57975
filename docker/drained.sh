#!/bin/sh
# Runs a command, and before it is stopped lets the studies that are driven on this machine drain.
set -u
"$@" &
command=$!
trap 'python /opt/drain.py; kill -TERM "$command"' TERM
# a signal ends `wait` before the command has ended
while wait "$command"; code=$?; kill -0 "$command" 2>/dev/null; do :; done
exit "$code"
