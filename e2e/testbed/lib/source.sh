# shellcheck shell=bash
# Where images come from: a container registry, or package registries.

# decide_source sets SOURCE. A cluster that is there keeps what it was made with.
decide_source() {
    SOURCE=${MESOSCLOUD_SOURCE:-auto}
    if [[ $SOURCE == auto ]] && docker inspect "$NODE" &>/dev/null; then
        SOURCE=$(cat "$CACHE/source" 2>/dev/null || echo auto)
    fi
    case $SOURCE in
    auto)
        if timeout 15 docker manifest inspect "$HAPROXY_IMAGE" &>/dev/null; then
            SOURCE=registry
            say "a container registry answers: images are pulled"
        else
            SOURCE=packages
            say "no container registry answers: everything is made from packages"
        fi
        ;;
    registry | packages) ;;
    *) fail "MESOSCLOUD_SOURCE is \"$SOURCE\": it can be auto, registry or packages" ;;
    esac
    echo "$SOURCE" >"$CACHE/source"
}

# Tells for every image of a cloud what it really is.
tell_images() {
    local image what
    for image in $(cloud_images); do
        what=$(docker image inspect -f '{{index .Config.Labels "io.mesoscloud.testbed"}}' "$image")
        say "  $image: ${what:-as published}"
    done
}
