# shellcheck shell=bash
# The programs of this repository. cargo knows itself what has changed.

need_cargo() {
    command -v cargo >/dev/null || fail "cargo is missing: Rust is needed (the version is in rust-toolchain.toml)"
    need cc:gcc
}

# target_folder is where cargo builds to, which the environment can say too.
target_folder() {
    cd "$REPOSITORY" && cargo metadata --format-version 1 --no-deps | jq -r .target_directory
}

# The stand-ins resolve names as any C program does, so they are linked to the C library that their image has.
standin_program() {
    need_cargo
    step "build stand-ins" cargo_build testbed -p mesoscloud-standins
}

find_standin() {
    STANDIN=$(target_folder)/testbed/mesoscloud-standin
}

# The operator's image has nothing but the operator, which is therefore linked statically. The target is named so that
# the flag does not reach what runs at build time.
# operator_program PROFILE: `release`, or, where it must be there soon, `testbed`, which takes more memory.
operator_program() {
    local profile=$1 target
    need_cargo
    target=$(cd "$REPOSITORY" && rustc -vV | sed -n 's/^host: //p')
    RUSTFLAGS="-C target-feature=+crt-static" step "build operator ($profile)" \
        cargo_build "$profile" --target "$target" -p mesoscloud-operator
    OPERATOR=$(target_folder)/$target/$profile/mesoscloud-operator
}

# cargo_build PROFILE ARGUMENT…
cargo_build() {
    cd "$REPOSITORY"
    cargo build --config "$TESTBED/profile.toml" --profile "$@"
}
