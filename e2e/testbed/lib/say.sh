# shellcheck shell=bash
# What the testbed tells: one line per step with the seconds since the start, and the end of the log when a step fails.

LOGS=$CACHE/logs
mkdir -p "$LOGS"

say() {
    printf '[%4ds] %s\n' "$SECONDS" "$*"
}

fail() {
    printf '[%4ds] %s\n' "$SECONDS" "$*" >&2
    exit 1
}

# step WHAT COMMAND… runs a shell function or a program with its output in a log file.
# The subshell is not part of a condition, because `set -e` would be ignored inside it.
step() {
    local what=$1 log status began=$SECONDS
    shift
    log=$LOGS/$(tr -cs '[:alnum:].\n' - <<<"$what").log
    say "$what …"
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if ((status != 0)); then
        tail -n 40 "$log" >&2
        fail "$what failed after $((SECONDS - began)) s; the whole log: $log"
    fi
    if ((SECONDS - began > 2)); then
        say "$what: $((SECONDS - began)) s"
    fi
}
