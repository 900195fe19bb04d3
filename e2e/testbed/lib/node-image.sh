# shellcheck shell=bash
# A kind node image without a registry: Debian with kind's own files, Kubernetes and the images that kubeadm wants.

NODE_PACKAGES=systemd,dbus,containerd,runc,containernetworking-plugins,conntrack,iptables,nftables,iproute2,ethtool,\
util-linux,mount,kmod,pigz,ca-certificates,curl,jq,procps,socat,hostname,libc-bin

node_rootfs() {
    rootfs_image node-rootfs minbase "$NODE_PACKAGES"
}

# node_image sets NODE_IMAGE. Its tag is the hash of all that went into it.
node_image() {
    local files bare_key preloaded_key names
    need cc:gcc
    files=$(module_folder "sigs.k8s.io/kind@$KIND_VERSION")/images/base/files
    names=$(kubeadm_images)

    base_image
    node_rootfs
    kubernetes_images "$names"
    bare_key=$(key "$(image_key testbed/node-rootfs:1)" "$KIND_VERSION" "$(kubernetes_key)" "$(key_of_folder "$TESTBED/images/node")" \
        "$(declare -f fill_node)" "$names")
    image testbed/node-bare:1 "$bare_key" fill_node

    mapfile -t PRELOADED < <(printf '%s\n' "$names" "$LOCAL_PATH_PROVISIONER" testbed/base:1)
    preloaded_key=$(key "$bare_key" "$(docker image inspect -f '{{.Id}}' "${PRELOADED[@]}")" "$(declare -f preload)")
    NODE_IMAGE=testbed/node:$preloaded_key
    docker image inspect "$NODE_IMAGE" &>/dev/null || locked node-image make_node_image
}

make_node_image() {
    docker image inspect "$NODE_IMAGE" &>/dev/null || step "image $NODE_IMAGE" preload
    # Earlier ones, unless a cluster still runs from them.
    docker images --format '{{.Repository}}:{{.Tag}}' testbed/node | grep -vxF "$NODE_IMAGE" | xargs -r docker rmi &>/dev/null || true
}

# The names under which kubeadm looks for its images; etcd's with the version that Debian has.
kubeadm_images() {
    "$(made kubernetes)"/kubeadm config images list --kubernetes-version "$KUBERNETES_VERSION" 2>/dev/null |
        sed "s|/etcd:.*|/etcd:$ETCD_VERSION|"
}

kubernetes_images() {
    local name program kubernetes
    kubernetes=$(kubernetes_key)
    for name in $1; do
        program=${name##*/}
        program=${program%:*}
        case $program in
        kube-proxy) image "$name" "$(image_inputs kube-proxy "$kubernetes" "$(image_key testbed/base:1)")" fill_kube_proxy ;;
        kube-*) image "$name" "$(image_inputs kube-program "$kubernetes")" fill_kube_program --build-arg "PROGRAM=$program" ;;
        coredns)
            [[ $name == *":$COREDNS_VERSION" ]] || fail "Kubernetes $KUBERNETES_VERSION wants $name, versions.env says $COREDNS_VERSION"
            image "$name" "$(image_inputs coredns "$(made coredns)")" fill_coredns
            ;;
        etcd) image "$name" "$(image_inputs etcd "$ETCD_VERSION" "$(image_key testbed/base:1)")" fill_etcd ;;
        pause) image "$name" "$(image_inputs pause "$kubernetes")" fill_pause ;;
        *) fail "kubeadm wants $name, and nothing here makes it" ;;
        esac
    done
    LOCAL_PATH_PROVISIONER=testbed/local-path-provisioner:$LOCAL_PATH_PROVISIONER_VERSION
    image "$LOCAL_PATH_PROVISIONER" "$(image_inputs local-path-provisioner "$LOCAL_PATH_PROVISIONER_VERSION")" fill_local_path_provisioner
}

fill_kube_program() {
    cp -r "$TESTBED/images/kube-program/." "$(made kubernetes)/$program" "$1"
}

fill_kube_proxy() {
    cp -r "$TESTBED/images/kube-proxy/." "$(made kubernetes)"/kube-proxy "$1"
    layer "$1/layer" iptables nftables conntrack kmod
}

fill_coredns() {
    cp -r "$TESTBED/images/coredns/." "$(made coredns)/coredns" "$1"
}

fill_etcd() {
    cp -r "$TESTBED/images/etcd/." "$1"
    layer "$1/layer" "etcd-server=$ETCD_VERSION"
}

# The real one: its source comes with Kubernetes' module.
fill_pause() {
    cp -r "$TESTBED/images/pause/." "$1"
    cc -Os -static -s -o "$1/pause" "$(module_folder "k8s.io/kubernetes@$KUBERNETES_VERSION")/build/pause/linux/pause.c"
}

fill_local_path_provisioner() {
    cp -r "$TESTBED/images/local-path-provisioner/." "$(made local-path-provisioner)/local-path-provisioner" "$1"
}

fill_node() {
    local context=$1 pause
    cp -r "$TESTBED/images/node/." "$context"
    cp "$(made kubernetes)"/{kubeadm,kubelet,kubectl} "$context"
    # The module cache is read-only and knows no executables.
    cp -r --no-preserve=mode "$files" "$context/kind-files"
    chmod +x "$context"/kind-files/usr/local/bin/* "$context"/kind-files/kind/bin/*
    # restrict_oom_score_adj: where CAP_SYS_RESOURCE is missing, no pod ever starts otherwise.
    # The hook that base_runtime_spec brings is for machines with a product name in their firmware.
    pause=$(grep /pause: <<<"$names")
    sed -i -e '/base_runtime_spec/d' -e 's/restrict_oom_score_adj = .*/restrict_oom_score_adj = true/' \
        -e "s|sandbox_image = .*|sandbox_image = \"$pause\"|" "$context/kind-files/etc/containerd/config.toml"
    # The provisioner's own manifest, made the default class of the name that kind gives it.
    sed -e "s|image: rancher/.*|image: $LOCAL_PATH_PROVISIONER|" -e "s|image: busybox|image: testbed/base:1|" \
        -e 's|/opt/local-path|/var/local-path|' \
        -e 's|^  name: local-path$|  name: standard\n  annotations: {storageclass.kubernetes.io/is-default-class: "true"}|' \
        "$(module_folder "github.com/rancher/local-path-provisioner@$LOCAL_PATH_PROVISIONER_VERSION")/deploy/local-path-storage.yaml" \
        >"$context/default-storage.yaml"
    echo -n "$KUBERNETES_VERSION" >"$context/version"
}

# Imports the images into the containerd of a running node and keeps the result as an image.
# Unpacking is left to the cluster: overlay snapshots cannot be committed inside Docker's own overlay.
preload() {
    local node
    node=$(docker run -d --security-opt seccomp=unconfined --entrypoint sleep testbed/node-bare:1 infinity)
    # shellcheck disable=SC2064 # this very container
    trap "docker rm -f $node >/dev/null" EXIT
    docker exec -d "$node" containerd
    docker exec "$node" sh -c 'for i in $(seq 60); do ctr version >/dev/null 2>&1 && exit; sleep 0.5; done; exit 1'
    docker save "${PRELOADED[@]}" | docker exec -i "$node" ctr -n k8s.io images import --all-platforms --no-unpack --digests -
    docker exec "$node" ctr -n k8s.io images list -q
    docker exec "$node" pkill containerd
    docker exec "$node" sh -c 'while pgrep containerd >/dev/null; do sleep 0.2; done'
    docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' --change 'CMD []' "$node" "$NODE_IMAGE"
}
