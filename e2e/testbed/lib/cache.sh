# shellcheck shell=bash
# What takes long to make is made once. An artifact is a folder named after a hash of what it is made from;
# it appears under its final name only when it is complete, so an interrupted run leaves nothing half-made.

CACHE=${MESOSCLOUD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mesoscloud}
mkdir -p "$CACHE/locks"

# key TEXT… is a short hash of everything that decides how a thing turns out.
key() {
    printf '%s\0' "$@" | sha256sum | cut -c 1-12
}

# key_of_folder PATH is the same for a folder's files, with their names and modes.
key_of_folder() {
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$1" -cf - . | sha256sum | cut -c 1-12
}

# made NAME is where the artifact of that name is; there is only ever one.
made() {
    echo "$CACHE/$1"-????????????
}

# offer PROGRAM puts it into our PATH, and into everyone's if nothing there has its name.
offer() {
    local name=${1##*/}
    mkdir -p "$CACHE/bin"
    ln -sfn "$1" "$CACHE/bin/$name"
    if [[ ! -e /usr/local/bin/$name && -w /usr/local/bin ]] && ! PATH=${PATH#"$CACHE/bin:"} command -v "$name" >/dev/null; then
        ln -sfn "$CACHE/bin/$name" "/usr/local/bin/$name"
    fi
}

# locked NAME COMMAND… lets only one run at a time make NAME; a second one waits and then finds it made.
locked() {
    local name=$1
    shift
    local lock
    exec {lock}>"$CACHE/locks/${name//\//-}"
    flock "$lock"
    "$@"
    exec {lock}>&-
}

# artifact NAME KEY MAKE makes $CACHE/NAME-KEY by calling `MAKE FOLDER`, unless it is there.
artifact() {
    [[ -d $CACHE/$1-$2 ]] || locked "$1" make_artifact "$@"
}

make_artifact() {
    local name=$1 path=$CACHE/$1-$2 make=$3 part=$CACHE/$1.part
    [[ ! -d $path ]] || return 0
    rm -rf "$part"
    mkdir -p "$part"
    step "$name" "$make" "$part"
    rm -rf "$CACHE/$name"-????????????
    mv -T "$part" "$path"
}
