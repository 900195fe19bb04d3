//! The program that Mesos is given as its `docker`.
//!
//! Mesos 0.28.1 cannot use today's Docker as it is: executors are started without PATH and without
//! DOCKER_API_VERSION, the answers of API 1.45 lack a field it needs (`ContainerConfig`), and it cannot parse
//! a version such as `26.1.5+dfsg1`.

use super::failure::Failure;

/// The newest API whose answers still have `ContainerConfig`.
const NEWEST_FOR_MESOS: ApiVersion = ApiVersion(1, 44);

/// A version of Docker's API, such as 1.44.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(u32, u32);

impl ApiVersion {
    /// Reads `1.44`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The newest API that the engine (`oldest` to `newest`), the slave's client and Mesos have in common.
///
/// # Errors
/// When there is none.
pub fn common_api(oldest: ApiVersion, newest: ApiVersion, client: ApiVersion) -> Result<ApiVersion, Failure> {
    let common = newest.min(client).min(NEWEST_FOR_MESOS);
    if common >= oldest {
        return Ok(common);
    }
    Err(Failure::new(
        "DockerApiMismatch",
        format!(
            "the node's Docker speaks API {oldest} to {newest}, the slave's client up to {client}, \
             and Mesos 0.28 up to {NEWEST_FOR_MESOS}: they have none in common"
        ),
        "use a slave image with a Docker client that the engine accepts, or an engine that still speaks 1.44",
    ))
}

/// The wrapper around the client at `docker`.
pub fn wrapper(docker: &str, api: ApiVersion) -> String {
    format!(
        r#"#!/bin/sh
# Written by mesoscloud-operator preflight: what Mesos 0.28 needs to use this Docker.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
DOCKER_API_VERSION={api}
export PATH DOCKER_API_VERSION
case "$*" in
--version | "-H "*" --version")
    "{docker}" --version | sed 's/\([0-9]\{{1,\}}\.[0-9]\{{1,\}}\.[0-9]\{{1,\}}\)[^,]*/\1/'
    ;;
*)
    exec "{docker}" "$@"
    ;;
esac
"#
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    fn api(text: &str) -> ApiVersion {
        ApiVersion::parse(text).unwrap()
    }

    #[test]
    fn the_newest_common_api_is_taken() {
        for (oldest, newest, client, expected) in [
            ("1.24", "1.45", "1.51", Some("1.44")),
            ("1.12", "1.24", "1.51", Some("1.24")),
            ("1.24", "1.41", "1.40", Some("1.40")),
            ("1.24", "1.45", "1.23", None),
            ("1.44", "1.52", "1.51", Some("1.44")),
            ("1.46", "1.52", "1.51", None),
        ] {
            let common = common_api(api(oldest), api(newest), api(client));
            assert_eq!(
                common.as_ref().ok().map(ToString::to_string).as_deref(),
                expected,
                "{common:?}"
            );
        }
        assert_eq!(ApiVersion::parse("1.x"), None);
    }

    #[test]
    fn the_wrapper_cleans_the_version_and_passes_everything_else_on() {
        let dir = tempfile::tempdir().unwrap();
        let executable = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let docker = executable(
            "docker",
            "#!/bin/sh\n[ \"$1\" = --version ] && echo 'Docker version 26.1.5+dfsg1, build a72d7cd' && exit\n\
             echo \"$DOCKER_API_VERSION $# $*\"\n",
        );
        let wrapper = executable("wrapper", &wrapper(&docker, api("1.44")));
        let run = |args: &[&str]| {
            let output = Command::new(&wrapper).args(args).env_clear().output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(run(&["--version"]), "Docker version 26.1.5, build a72d7cd\n");
        assert_eq!(
            run(&["-H", "unix:///x", "--version"]),
            "Docker version 26.1.5, build a72d7cd\n"
        );
        assert_eq!(run(&["run", "a b", "--version"]), "1.44 3 run a b --version\n");
    }
}
