# shellcheck shell=bash
# The images that a cloud consists of, under the names that the operator has as defaults. ZooKeeper and HAProxy are
# the real ones; for Mesos and Marathon, which no package registry carries, the stand-ins of e2e/standins take their names.

ZOOKEEPER_IMAGE=mesoscloud/zookeeper:$ZOOKEEPER_VERSION-centos-7
ZOOKEEPER_CURRENT_IMAGE=zookeeper:$ZOOKEEPER_CURRENT_VERSION
MASTER_IMAGE=mesoscloud/mesos-master:$MESOS_VERSION-centos-7
SLAVE_IMAGE=mesoscloud/mesos-slave:$MESOS_VERSION-centos-7
MARATHON_IMAGE=mesoscloud/marathon:$MARATHON_VERSION-centos-7
HAPROXY_IMAGE=haproxy:$HAPROXY_VERSION
# Runs on the machine's Docker, not in the cluster.
TESTAPP_IMAGE=mesoscloud/testapp:1

real_images() {
    local base
    need mvn:maven
    base_image
    base=$(image_key testbed/base:1)
    image testbed/jre:1 "$(image_inputs jre "$base")" fill_jre
    zookeeper_image "$ZOOKEEPER_IMAGE" "$ZOOKEEPER_VERSION"
    zookeeper_image "$ZOOKEEPER_CURRENT_IMAGE" "$ZOOKEEPER_CURRENT_VERSION"
    image "$HAPROXY_IMAGE" "$(image_inputs haproxy "$base" "$HAPROXY_VERSION")" fill_haproxy --build-arg "VERSION=$HAPROXY_VERSION"
    image testbed/busybox:1 "$(image_inputs busybox "$base")" fill_busybox
    testapp_image testbed/busybox:1
}

zookeeper_image() {
    local VERSION=$2
    image "$1" "$(image_inputs zookeeper "$(image_key testbed/jre:1)" "$VERSION")" fill_zookeeper --build-arg "VERSION=$VERSION"
}

testapp_image() {
    image "$TESTAPP_IMAGE" "$(image_inputs testapp "$1")" fill_testapp --build-arg "BASE=$1"
}

standin_images() {
    local program init
    program=$(sha256sum <"$STANDIN")
    image testbed/init:1 "$(image_inputs init "$(image_key testbed/base:1)")" fill_init
    init=$(image_key testbed/init:1)
    image "$MASTER_IMAGE" "$(image_inputs mesos-master "$init" "$program")" fill_mesos_master --build-arg "VERSION=$MESOS_VERSION"
    image "$SLAVE_IMAGE" "$(image_inputs mesos-slave "$init" "$program")" fill_mesos_slave --build-arg "VERSION=$MESOS_VERSION"
    image "$MARATHON_IMAGE" "$(image_inputs marathon "$init" "$program")" fill_marathon --build-arg "VERSION=$MARATHON_VERSION"
}

# For those who have a registry.
pull_images() {
    local image
    for image in $(cloud_images); do
        docker image inspect "$image" &>/dev/null || step "pull $image" docker pull "$image"
    done
    testapp_image busybox
}

cloud_images() {
    echo "$ZOOKEEPER_IMAGE" "$MASTER_IMAGE" "$SLAVE_IMAGE" "$MARATHON_IMAGE" "$HAPROXY_IMAGE" "$ZOOKEEPER_CURRENT_IMAGE"
}

fill_jre() {
    cp -r "$TESTBED/images/jre/." "$1"
    layer "$1/layer" openjdk-21-jre-headless
}

fill_zookeeper() {
    cp -r "$TESTBED/images/zookeeper/." "$1"
    mvn -B -q -f "$1/maven/${VERSION%.*}.xml" "-Dzookeeper.version=$VERSION" dependency:copy-dependencies \
        "-DoutputDirectory=$1/lib" -DincludeScope=runtime
    ls "$1/lib"
}

fill_haproxy() {
    cp -r "$TESTBED/images/haproxy/." "$1"
    layer "$1/layer" haproxy
}

fill_busybox() {
    cp -r "$TESTBED/images/busybox/." "$1"
    unpack "$1/layer" busybox-static
    cp "$1/layer/usr/bin/busybox" "$1"
}

fill_testapp() {
    cp -r "$TESTBED/images/testapp/." "$1"
}

fill_init() {
    cp -r "$TESTBED/images/init/." "$1"
    layer "$1/layer" dumb-init
}

fill_mesos_master() {
    cp -r "$TESTBED/images/mesos-master/." "$STANDIN" "$1"
}

fill_mesos_slave() {
    cp -r "$TESTBED/images/mesos-slave/." "$STANDIN" "$1"
    layer "$1/layer" docker-cli
}

fill_marathon() {
    cp -r "$TESTBED/images/marathon/." "$STANDIN" "$1"
}
