# shellcheck shell=bash
# Programs from the Go module proxy: Kubernetes itself, CoreDNS, kind and the volume provisioner. And Debian's etcd.

KUBERNETES_PROGRAMS=(kubeadm kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy)

need_go() {
    local version
    command -v go >/dev/null || fail "go is missing: Go 1.25 or newer is needed (Debian 12's golang is too old)"
    version=$(go env GOVERSION)
    [[ $(printf '%s\n' go1.25 "$version" | sort -V | head -1) == go1.25 ]] || fail "this is $version, but Go 1.25 or newer is needed"
    command -v jq >/dev/null || need jq:jq
}

kubernetes_key() {
    key "$KUBERNETES_VERSION" "$(key_of_folder "$TESTBED/kubernetes")" "$(declare -f make_kubernetes)"
}

kubernetes_programs() {
    artifact kubernetes "$(kubernetes_key)" make_kubernetes
}

make_kubernetes() {
    # kubeadm refuses to work with half a version, so all of it is stamped, in both places that have one.
    local part minor=${KUBERNETES_VERSION#v1.} package stamp=""
    part=$(realpath "$1")
    minor=${minor%%.*}
    cd "$TESTBED/kubernetes"
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        stamp+=" -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitVersion=$KUBERNETES_VERSION"
        stamp+=" -X $package.gitCommit=$KUBERNETES_VERSION -X $package.gitTreeState=archive"
        stamp+=" -X $package.buildDate=$(go list -m -f '{{.Time.Format "2006-01-02T15:04:05Z"}}' k8s.io/kubernetes)"
    done
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w $stamp" -o "$part/" "${KUBERNETES_PROGRAMS[@]/#/k8s.io/kubernetes/cmd/}"
}

coredns_program() {
    artifact coredns "$(key "$(key_of_folder "$TESTBED/coredns")" "$(declare -f make_coredns)")" make_coredns
}

make_coredns() {
    local part
    part=$(realpath "$1")
    cd "$TESTBED/coredns"
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$part/coredns" .
}

kind_program() {
    artifact kind "$(key "$KIND_VERSION" "$(declare -f make_kind)")" make_kind
    offer "$(made kind)/kind"
}

make_kind() {
    GOBIN=$(realpath "$1") CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" "sigs.k8s.io/kind@$KIND_VERSION"
}

local_path_provisioner_program() {
    artifact local-path-provisioner "$(key "$LOCAL_PATH_PROVISIONER_VERSION" "$(declare -f make_local_path_provisioner)")" make_local_path_provisioner
}

make_local_path_provisioner() {
    GOBIN=$(realpath "$1") CGO_ENABLED=0 go install -trimpath -ldflags "-s -w" \
        "github.com/rancher/local-path-provisioner@$LOCAL_PATH_PROVISIONER_VERSION"
}

etcd_program() {
    artifact etcd "$(key "$DEBIAN_SUITE" "$ETCD_VERSION" "$(declare -f make_etcd)")" make_etcd
}

make_etcd() {
    unpack "$1" "etcd-server=$ETCD_VERSION"
}

# The folder of a module in the Go tool's own cache.
module_folder() {
    go mod download -json "$1" | jq -r .Dir
}
