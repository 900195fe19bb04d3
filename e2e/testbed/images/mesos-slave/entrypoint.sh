#!/bin/sh
# With a SECRET, the slave shows it to the master.
set -eu
if [ -n "${SECRET:-}" ]; then
    export MESOS_CREDENTIAL=/tmp/credential
    (umask 077 && echo "${PRINCIPAL:-root} $SECRET" >/tmp/credential)
fi
exec "$@"
