# shellcheck shell=bash
# Debian packages: what the machine itself needs, and what is taken from the suite that the images are made of.
# That suite is read through an apt configuration of its own; the machine's apt is left as it is.

APT=$CACHE/apt-$DEBIAN_SUITE
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# need PROGRAM:PACKAGE… installs the packages whose program is missing.
need() {
    local pair missing=()
    for pair in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    ((${#missing[@]} == 0)) || locked apt step "install ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
    [[ $(id -u) == 0 ]] || fail "missing: $*. Install them, or run this as root."
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "$@" || {
        apt-get update
        apt-get install -y --no-install-recommends "$@"
    }
}

# The mirror that this machine itself installs from.
mirror() {
    local found
    found=${MESOSCLOUD_DEBIAN_MIRROR:-$(machine_mirror)}
    # apt tells nothing about sources that it never read.
    [[ -n $found || ! -w /var/lib/apt/lists ]] || { apt-get update >&2 && found=$(machine_mirror); }
    [[ -n $found ]] || fail "no Debian mirror found in this machine's apt sources: name one in MESOSCLOUD_DEBIAN_MIRROR"
    echo "$found"
}

machine_mirror() {
    # shellcheck source=/dev/null
    source /etc/os-release
    # shellcheck disable=SC2016 # apt's own variables
    [[ $ID != debian ]] || apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v suite="$VERSION_CODENAME" '$1 == suite && $2 == "main" { print $3; exit }'
}

# apt for the images' suite. The second form pretends that the packages of a given status file are installed.
suite_apt() {
    suite_apt_beyond /dev/null "$@"
}

suite_apt_beyond() {
    local status=$1
    shift
    apt-get -o "Dir::Etc=$APT" -o "Dir::State=$APT/state" -o "Dir::State::Status=$status" -o "Dir::Cache=$APT/cache" \
        -o APT::Sandbox::User=root -o APT::Install-Recommends=false "$@"
}

# Reads the suite's lists again after a day: a mirror does not keep a package that has a newer version.
refresh_suite() {
    [[ -n $(find "$APT/fresh" -mmin -1440 2>/dev/null) ]] || locked apt-suite step "package lists of Debian $DEBIAN_SUITE" read_suite
}

read_suite() {
    mkdir -p "$APT/state/lists/partial" "$APT/cache/archives/partial"
    local mirror
    mirror=$(mirror)
    echo "deb [signed-by=$KEYRING] $mirror $DEBIAN_SUITE main" >"$APT/sources.list"
    suite_apt update
    touch "$APT/fresh"
}

# unpack FOLDER PACKAGE… unpacks just these packages of the suite, without installing them.
unpack() {
    local folder=$1 debs=$1.debs
    shift
    refresh_suite
    rm -rf "$debs"
    mkdir -p "$debs"
    (cd "$debs" && suite_apt download "$@")
    unpack_debs "$folder" "$debs"/*.deb
    rm -rf "$debs"
}

unpack_debs() {
    local folder=$1 deb
    shift
    mkdir -p "$folder"
    for deb in "$@"; do
        dpkg -x "$deb" "$folder"
        # Kept for what asks which version is inside.
        # shellcheck disable=SC2016 # dpkg's own variables
        dpkg-deb -W --showformat='${Package} ${Version}\n' "$deb" >>"$folder/.packages"
    done
}

# rootfs VARIANT PACKAGES writes a minimal root file system with these packages installed, without documentation.
# Man page folders stay: some packages' installation fails where they are missing.
rootfs() {
    local mirror
    mirror=$(mirror)
    mmdebstrap --variant="$1" --include="$2" \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --keyring="$KEYRING" "$DEBIAN_SUITE" - "$mirror"
}
