# shellcheck shell=bash
# The Docker engine: the one that answers, or else Debian's, unpacked into the cache and started from there.

export DOCKER_BUILDKIT=0 # The classic builder needs nothing beside the engine.
DOCKERD_PID=$CACHE/dockerd.pid
NETWORK=kind
# Containers see the machine at this address, whatever else the machine's networks look like.
GATEWAY=172.30.0.1
SUBNET=172.30.0.0/16

docker_answers() {
    timeout 20 docker version --format '{{.Server.Version}}' &>/dev/null
}

docker_up() {
    command -v docker >/dev/null || docker_client
    docker_answers || locked docker start_docker
    docker network inspect "$NETWORK" &>/dev/null || locked docker create_network
    docker network inspect -f '{{range .IPAM.Config}}{{.Gateway}} {{end}}' "$NETWORK" | grep -qw "$GATEWAY" ||
        fail "the docker network \"$NETWORK\" exists, but not with the gateway $GATEWAY: remove it (docker network rm $NETWORK)"
}

create_network() {
    docker network inspect "$NETWORK" &>/dev/null ||
        docker network create -d bridge --subnet "$SUBNET" --gateway "$GATEWAY" "$NETWORK" >/dev/null
}

docker_client() {
    artifact docker-cli "$(key "$DEBIAN_SUITE" "$(declare -f make_docker_cli)")" make_docker_cli
    offer "$(made docker-cli)/usr/bin/docker"
}

make_docker_cli() {
    unpack "$1" docker-cli
}

start_docker() {
    ! docker_answers || return 0
    [[ $(id -u) == 0 ]] || fail "no Docker engine answers, and only root can start one: start yours"
    need iptables:iptables ip:iproute2
    # A running engine needs the folder it was started from, so it is looked at only now.
    end_docker
    artifact docker-engine "$(key "$DEBIAN_SUITE" "$(declare -f make_engine)")" make_engine
    forget_dead /var/run/docker.pid dockerd
    forget_dead /var/run/docker/containerd/containerd.pid containerd
    step "start dockerd" launch_docker "$(made docker-engine)"
}

# The suite's engine runs --privileged also where CAP_SYS_RESOURCE is missing (Debian 12's does not),
# and on an older libc. Its runc does not, so that one is the machine's own.
make_engine() {
    unpack "$1" docker.io containerd tini
    local debs=$1.debs
    mkdir -p "$debs"
    (cd "$debs" && { apt-get download runc || { apt-get update && apt-get download runc; }; })
    unpack_debs "$1" "$debs"/*.deb
    rm -rf "$debs"
}

# A pid file left by a killed daemon stops the next one when the number belongs to some other process by now.
forget_dead() {
    local file=$1 program=$2
    [[ $(cat "/proc/$(cat "$file" 2>/dev/null)/comm" 2>/dev/null) == "$program" ]] || rm -f "$file"
}

launch_docker() {
    local engine=$1 i
    # Several kubelets' worth of programs watch files in one kernel.
    (($(cat /proc/sys/fs/inotify/max_user_instances) >= 512)) || echo 512 >/proc/sys/fs/inotify/max_user_instances || true
    (($(cat /proc/sys/fs/inotify/max_user_watches) >= 524288)) || echo 524288 >/proc/sys/fs/inotify/max_user_watches || true
    PATH=$engine/usr/sbin:$engine/usr/bin:$PATH:/usr/sbin:/sbin \
        detached "$engine/usr/sbin/dockerd" --pidfile /var/run/docker.pid >"$LOGS/dockerd.log" 2>&1
    for ((i = 0; i < 120; i++)); do
        if docker_answers; then
            cp /var/run/docker.pid "$DOCKERD_PID"
            return 0
        fi
        sleep 0.5
    done
    cat "$LOGS/dockerd.log"
    return 1
}

# Starts a program that outlives this run: in a session of its own, with none of our files (open ones hold locks).
detached() {
    (
        local fd
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            ((fd <= 2)) || exec {fd}>&-
        done
        exec setsid "$@"
    ) &
}

# Ends the dockerd that we started, and no other: the process must still be the program from our cache.
# A dead one that nobody has collected has no command line any more.
end_docker() {
    local pid i
    pid=$(cat "$DOCKERD_PID" 2>/dev/null) || return 0
    if is_our_dockerd "$pid"; then
        say "stop dockerd (pid $pid)"
        kill "$pid"
        for ((i = 0; i < 60; i++)); do
            is_our_dockerd "$pid" || break
            sleep 0.5
        done
        ! is_our_dockerd "$pid" || kill -9 "$pid"
    fi
    rm -f "$DOCKERD_PID"
}

is_our_dockerd() {
    tr '\0' ' ' <"/proc/$1/cmdline" | grep -q "^$CACHE/docker-engine-.*/dockerd "
} 2>/dev/null
