# shellcheck shell=bash
# The kind cluster: there, whole and made from what is wanted now, or else made anew.

CLUSTER=mesoscloud
NODE=$CLUSTER-control-plane
CONTEXT=kind-$CLUSTER
WORK=/var/lib/mesoscloud
CLUSTER_MADE_FROM=$CACHE/cluster.key

# cluster_up CONFIG [IMAGE] leaves a whole cluster made from these.
cluster_up() {
    local config=$1 image=${2:-} key flaw
    key=$(key "$(cat "$config" "$TESTBED/audit-policy.yaml")" "$image")
    flaw=$(cluster_flaw "$key")
    if [[ -n $flaw ]]; then
        say "cluster $CLUSTER: $flaw"
        delete_cluster
        step "create cluster $CLUSTER" create_cluster "$config" ${image:+--image "$image"}
        echo "$(docker inspect -f '{{.Id}}' "$NODE") $key" >"$CLUSTER_MADE_FROM"
    fi
    keep_in
}

# What is sent to a pod that is gone, or to a Service while kube-proxy rewrites its rules, ends here as with other
# networks, and does not leave the machine, where somebody might answer. Each pod that is there has a route of its own;
# what is for a Service that is there has another destination by now.
keep_in() {
    local pods services chain
    pods=$(jq -r '.plugins[].ipam.ranges[]?[].subnet' "$TESTBED/images/node/10-ptp.conflist")
    docker exec "$NODE" ip route replace blackhole "$pods"
    services=$(docker exec "$NODE" \
        sed -n 's/.*--service-cluster-ip-range=//p' /etc/kubernetes/manifests/kube-apiserver.yaml)
    for chain in FORWARD OUTPUT; do
        docker exec "$NODE" sh -ec 'iptables -C "$@" 2>/dev/null || iptables -A "$@"' - \
            "$chain" -o eth0 -d "$services" -j DROP
    done
}

# Tells why there is no cluster that can be used as it is; nothing, when there is one.
cluster_flaw() {
    local node
    if ! node=$(docker inspect -f '{{.Id}} {{.State.Running}}' "$NODE" 2>/dev/null); then
        echo "there is none"
    elif [[ $node != *true ]]; then
        echo "its node does not run"
    elif [[ $(cat "$CLUSTER_MADE_FROM" 2>/dev/null) != "${node% *} $1" ]]; then
        echo "it is incomplete, or was made from something else"
    elif [[ $(timeout 20 docker exec "$NODE" stat -c %d:%i /var/run/docker.sock) != $(stat -Lc %d:%i /var/run/docker.sock) ]]; then
        # Docker makes a new socket at each start; the node still has the old one.
        echo "Docker was restarted under it"
    elif ! kind export kubeconfig -q --name "$CLUSTER" || ! api_ready; then
        echo "its API server does not answer"
    fi
}

api_ready() {
    docker exec "$NODE" timeout 30 kubectl --kubeconfig /etc/kubernetes/admin.conf get --raw /readyz
} &>/dev/null

create_cluster() {
    local config=$1
    shift
    # A proxy of this shell would be handed on to the node, which has no use for it.
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
    # Paths in the configuration are relative to the repository.
    cd "$REPOSITORY"
    kind create cluster --config "$config" --wait 3m --retain "$@" || {
        docker exec "$NODE" journalctl -n 60 --no-pager -u kubelet -u containerd
        return 1
    }
    # On a single node a second one saves nobody; what it reserves of two processors the tests' clouds need.
    docker exec "$NODE" kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system scale deployment coredns --replicas 1
}

# Deletes the cluster and what its clouds left on the machine: their tasks and the slaves' work.
delete_cluster() {
    rm -f "$CLUSTER_MADE_FROM"
    if docker inspect "$NODE" &>/dev/null; then
        step "delete cluster $CLUSTER" kind delete cluster --name "$CLUSTER"
    fi
    remove_tasks
    [[ ! -d $WORK ]] || find "$WORK" -mindepth 1 -delete || say "not all could be removed from $WORK"
}

# Mesos gives the containers of its tasks such names.
remove_tasks() {
    local tasks
    mapfile -t tasks < <(docker ps -aq --filter 'name=^/?mesos-')
    ((${#tasks[@]} == 0)) || step "remove ${#tasks[@]} containers of tasks" docker rm -fv "${tasks[@]}"
}

# The configuration for this machine, from the one at the top of the repository.
cluster_config() {
    # The slaves' pages also at the address that tasks and slaves go by, which exists because the network was made here.
    sed "/hostPort: 505[12]/ { p; s/127.0.0.1/$GATEWAY/ }" "$REPOSITORY/kind-config.yaml"
    [[ $1 == packages ]] || return 0
    # Our node image has its network configuration inside, and Debian's etcd.
    cat <<END
networking:
  disableDefaultCNI: true
kubeadmConfigPatchesJSON6902:
END
    local version
    for version in v1beta3 v1beta4; do
        cat <<END
- group: kubeadm.k8s.io
  version: $version
  kind: ClusterConfiguration
  patch: '[{"op": "add", "path": "/etcd", "value": {"local": {"imageTag": "$ETCD_VERSION"}}}]'
END
    done
}

# load IMAGE… puts images of the machine's Docker into the cluster, as far as it does not have them.
# The node itself keeps the record, so that it goes when the node goes.
load() {
    local image record missing=()
    # Of the lines about one name the last counts: a name may have moved on to another image and back.
    record=$(docker exec "$NODE" cat /kind/loaded 2>/dev/null | awk '{ last[$1] = $0 } END { for (name in last) print last[name] }' || true)
    for image in "$@"; do
        grep -qxF "$(identity "$image")" <<<"$record" || missing+=("$image")
    done
    ((${#missing[@]} == 0)) || step "load ${#missing[@]} of the images into the cluster" load_missing "${missing[@]}"
}

load_missing() {
    local image
    kind load docker-image --name "$CLUSTER" "$@"
    for image in "$@"; do
        identity "$image"
    done | docker exec -i "$NODE" sh -c 'cat >>/kind/loaded'
}

identity() {
    docker image inspect -f "$1 {{.Id}}" "$1"
}

# Everyone who looks at the cluster needs kubectl; the node has one of the right version.
kubectl_up() {
    command -v kubectl >/dev/null && return
    docker cp -q "$NODE:/usr/bin/kubectl" "$CACHE/kubectl"
    offer "$CACHE/kubectl"
}
