//! What the original looks at before it starts, and its words when that is missing.

use std::path::{Path, PathBuf};

use super::docker::Docker;

/// Why the slave cannot start.
#[derive(Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The original runs into a failed assertion (`result.hpp:127`): SIGABRT.
    Abort(String),
    /// The original exits with status 1 and these words.
    Exit(String),
}

/// Where `proc/mounts` and `sbin/init` are looked for: `/`, or `STANDIN_ROOT` in tests, because a machine shows
/// only one of the cases.
pub fn root() -> PathBuf {
    std::env::var_os("STANDIN_ROOT").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

/// The checks in the original's order (`slave/main.cpp @ 0.28.1`): systemd's probe of `/sbin/init`, which comes
/// before any flag can help, then the Docker containerizer's own.
pub async fn check(root: &Path, containerizers: &[String], docker: &Docker) -> Result<(), Obstacle> {
    if root.join("sbin/init").canonicalize().is_err() {
        return Err(Obstacle::Abort(
            "mesos-slave: result.hpp:127: const string& Result<T>::error() const: Assertion `isError()' failed."
                .to_owned(),
        ));
    }
    if !containerizers.iter().any(|name| name == "docker") {
        return Ok(());
    }
    let mounts = std::fs::read_to_string(root.join("proc/mounts")).unwrap_or_default();
    if !has_cpu_hierarchy(&mounts) {
        return Err(containerizer(
            "Failed to find a mounted cgroups hierarchy for the 'cpu' subsystem; you probably need to mount \
             cgroups manually",
        ));
    }
    docker
        .validate_version()
        .await
        .map_err(|error| containerizer(&error))
}

fn containerizer(error: &str) -> Obstacle {
    Obstacle::Exit(format!(
        "Failed to create a containerizer: Could not create DockerContainerizer: Failed to create docker: {error}"
    ))
}

/// Whether a cgroup **v1** hierarchy with the `cpu` subsystem is mounted (`linux/cgroups.cpp @ 0.28.1:556-608`).
fn has_cpu_hierarchy(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some("cgroup")
            && fields
                .next()
                .is_some_and(|options| options.split(',').any(|option| option == "cpu"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cgroup_v1_with_cpu_counts() {
        assert!(has_cpu_hierarchy(
            "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0"
        ));
        assert!(!has_cpu_hierarchy(
            "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0"
        ));
        assert!(!has_cpu_hierarchy("cgroup2 /sys/fs/cgroup cgroup2 rw,cpu 0 0"));
        assert!(!has_cpu_hierarchy(""));
    }
}
