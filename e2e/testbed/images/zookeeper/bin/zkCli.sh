#!/bin/sh
# ZooKeeper's own command line client: zkCli.sh -server HOST:PORT [COMMAND…]
set -eu
# shellcheck disable=SC2086 # flags are separated by spaces
exec java \
    "-Dzookeeper.log.dir=${ZOO_LOG_DIR:-.}" "-Dzookeeper.root.logger=${ZOO_LOG4J_PROP:-INFO,CONSOLE}" \
    -cp "${ZOOCFGDIR:-/opt/zookeeper/conf}:/opt/zookeeper/lib/*" ${CLIENT_JVMFLAGS:-} ${JVMFLAGS:-} \
    org.apache.zookeeper.ZooKeeperMain "$@"
