#!/bin/sh
# With a SECRET, Marathon shows it to the master.
set -eu
if [ -n "${SECRET:-}" ]; then
    export MARATHON_MESOS_AUTHENTICATION_PRINCIPAL="${MARATHON_MESOS_AUTHENTICATION_PRINCIPAL:-${PRINCIPAL:-root}}"
    export MARATHON_MESOS_AUTHENTICATION_SECRET_FILE=/tmp/secret
    (umask 077 && printf %s "$SECRET" >/tmp/secret)
fi
exec "$@"
