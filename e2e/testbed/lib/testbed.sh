# shellcheck shell=bash disable=SC2034
# Everything that a script of the testbed needs.

TESTBED=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
REPOSITORY=$(cd "$TESTBED/../.." && pwd)

source "$TESTBED/versions.env"
source "$TESTBED/lib/cache.sh"
source "$TESTBED/lib/say.sh"
source "$TESTBED/lib/beside.sh"
source "$TESTBED/lib/debian.sh"
source "$TESTBED/lib/docker.sh"
source "$TESTBED/lib/programs.sh"
source "$TESTBED/lib/rust.sh"
source "$TESTBED/lib/images.sh"
source "$TESTBED/lib/node-image.sh"
source "$TESTBED/lib/workload-images.sh"
source "$TESTBED/lib/source.sh"
source "$TESTBED/lib/cluster.sh"
source "$TESTBED/lib/operator.sh"
export PATH=$CACHE/bin:$PATH
