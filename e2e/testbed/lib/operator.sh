# shellcheck shell=bash
# The operator: built, loaded and installed as far as that changes anything.

# operator_up PROFILE
operator_up() {
    local tag
    operator_program "$1"
    tag=$(key "$(sha256sum <"$OPERATOR")" "$(key_of_folder "$TESTBED/images/operator")")
    # A tag that says what is inside: a changed operator is a rollout, an unchanged one is none.
    image "mesoscloud-operator:$tag" "$tag" fill_operator
    load "mesoscloud-operator:$tag"
    kubectl kustomize "$REPOSITORY/manifests/operator" |
        sed "s/ image: mesoscloud-operator:.*/ image: mesoscloud-operator:$tag/" >"$CACHE/operator.yaml"
    step "install operator $tag" install_operator
}

fill_operator() {
    cp -r "$TESTBED/images/operator/." "$OPERATOR" "$1"
}

install_operator() {
    local kubectl=(kubectl --context "$CONTEXT")
    "${kubectl[@]}" apply --server-side --force-conflicts -f "$CACHE/operator.yaml"
    "${kubectl[@]}" wait --for=condition=Established --timeout=60s crd/mesosclouds.mesoscloud.io
    "${kubectl[@]}" -n mesoscloud-system rollout status --timeout=120s deployment/mesoscloud-operator || {
        "${kubectl[@]}" -n mesoscloud-system describe pods
        "${kubectl[@]}" -n mesoscloud-system logs deployment/mesoscloud-operator --tail 20
        return 1
    }
}
