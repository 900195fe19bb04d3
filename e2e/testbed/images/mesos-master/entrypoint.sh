#!/bin/sh
# With a SECRET, the master asks frameworks and slaves for it.
set -eu
if [ -n "${SECRET:-}" ]; then
    export MESOS_AUTHENTICATE=true MESOS_AUTHENTICATE_SLAVES=true MESOS_CREDENTIALS=/tmp/credentials
    (umask 077 && echo "${PRINCIPAL:-root} $SECRET" >/tmp/credentials)
fi
exec "$@"
