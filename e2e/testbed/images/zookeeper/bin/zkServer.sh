#!/bin/sh
# Starts a ZooKeeper server in the foreground, with the configuration in $ZOOCFGDIR.
set -eu
if [ "${1:-}" != start-foreground ]; then
    echo "usage: zkServer.sh start-foreground" >&2
    exit 2
fi
configuration=${ZOOCFGDIR:-/opt/zookeeper/conf}
if [ -f "$configuration/java.env" ]; then
    # shellcheck source=/dev/null
    . "$configuration/java.env"
fi
# shellcheck disable=SC2086 # flags are separated by spaces
exec java \
    "-Dzookeeper.log.dir=${ZOO_LOG_DIR:-.}" "-Dzookeeper.root.logger=${ZOO_LOG4J_PROP:-INFO,CONSOLE}" \
    -cp "$configuration:/opt/zookeeper/lib/*" ${SERVER_JVMFLAGS:-} ${JVMFLAGS:-} \
    org.apache.zookeeper.server.quorum.QuorumPeerMain "$configuration/${ZOOCFG:-zoo.cfg}"
