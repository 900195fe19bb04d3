# shellcheck shell=bash
# Work in the background of a script, which ends with the script.

BESIDE=()
trap end_beside EXIT

# Each in a process group of its own, so that it can be ended with all that it started.
beside() {
    set -m
    "$@" &
    set +m
    BESIDE+=($!)
}

wait_beside() {
    local job
    for job in "${BESIDE[@]}"; do
        wait "$job"
    done
    BESIDE=()
}

end_beside() {
    local job
    for job in "${BESIDE[@]}"; do
        kill -- "-$job" 2>/dev/null || true
    done
}
