# shellcheck shell=bash
# Images of the machine's Docker, each labelled with a hash of what it is made from and made again only when that changes.

KEY_LABEL=io.mesoscloud.testbed.key
BASE_PACKAGES=ca-certificates,curl,netcat-openbsd,procps

image_has() {
    [[ $(docker image inspect -f "{{index .Config.Labels \"$KEY_LABEL\"}}" "$1" 2>/dev/null) == "$2" ]]
}

image_key() {
    docker image inspect -f "{{index .Config.Labels \"$KEY_LABEL\"}}" "$1"
}

# image REFERENCE KEY FILL [BUILD OPTION…] builds an image of a folder that `FILL FOLDER` fills, Dockerfile included.
image() {
    image_has "$1" "$2" || locked "image-$1" make_image "$@"
}

make_image() {
    local reference=$1 key=$2 fill=$3 context=$CACHE/context-${1//[\/:]/-}
    shift 3
    ! image_has "$reference" "$key" || return 0
    rm -rf "$context"
    mkdir "$context"
    step "image $reference" build_image "$@"
    rm -rf "$context"
}

# shellcheck disable=SC2154 # called by make_image only
build_image() {
    "$fill" "$context"
    docker build --label "$KEY_LABEL=$key" -t "$reference" "$@" "$context"
}

# rootfs_image NAME VARIANT PACKAGES makes testbed/NAME:1 of a root file system.
rootfs_image() {
    local key
    key=$(key "$DEBIAN_SUITE" "$2" "$3" "$(declare -f rootfs import_rootfs)")
    image_has "testbed/$1:1" "$key" || locked "image-$1" make_rootfs_image "$key" "$@"
}

make_rootfs_image() {
    need mmdebstrap:mmdebstrap
    image_has "testbed/$2:1" "$1" || step "image testbed/$2:1" import_rootfs "$@"
}

# The name is given only when everything arrived: Docker takes a truncated stream for a small image.
import_rootfs() {
    rootfs "$3" "$4" | docker import --change "LABEL $KEY_LABEL=$1" - "testbed/$2:part"
    docker tag "testbed/$2:part" "testbed/$2:1"
    docker rmi "testbed/$2:part"
}

# The base of every image that is not a node: Debian with a shell, curl, nc and pkill.
base_image() {
    rootfs_image base essential "$BASE_PACKAGES"
}

# layer FOLDER PACKAGE… unpacks these packages and all they depend on, as far as the base does not have it.
# Nothing is run on installation; what a package would set up so, its Dockerfile does.
layer() {
    local folder=$1 debs=$1.debs
    shift
    refresh_suite
    mkdir -p "$debs/partial"
    docker run --rm testbed/base:1 cat /var/lib/dpkg/status >"$debs/status"
    suite_apt_beyond "$debs/status" -o "Dir::Cache::Archives=$debs" install --yes --download-only "$@"
    unpack_debs "$folder" "$debs"/*.deb
    rm -rf "$debs"
}

# image_inputs FOLDER TEXT… is the key of an image made by fill_FOLDER from images/FOLDER and whatever else is named.
image_inputs() {
    local folder=$1
    shift
    key "$(key_of_folder "$TESTBED/images/$folder")" "$(declare -f "fill_${folder//-/_}" layer)" "$@"
}
