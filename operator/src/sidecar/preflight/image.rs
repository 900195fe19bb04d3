//! What the slave's own image must have.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::docker_wrapper::ApiVersion;
use super::failure::Failure;

/// Where programs are, for a process without PATH.
const PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];
/// Time for a program to tell its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where `program` is in the image.
pub fn find(program: &str) -> Option<PathBuf> {
    PATH.into_iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.is_file())
}

/// Mesos 0.28 looks at /sbin/init before it reads its flags, and aborts where there is none.
///
/// # Errors
/// When there is none.
pub fn has_init(root: &Path) -> Result<(), Failure> {
    if root.join("sbin/init").exists() {
        return Ok(());
    }
    Err(Failure::new(
        "NoSbinInit",
        "the slave's image has no /sbin/init, and Mesos 0.28 aborts without: Assertion `isError()' failed",
        "use an image that has one; an empty file is enough",
    ))
}

/// The slave's program starts at all. The seed's third trouble is a library that it lacks.
///
/// # Errors
/// When the dynamic loader cannot start it. That there is no program of this name is not looked into: images
/// may call it differently.
pub async fn starts(program: &Path) -> Result<(), Failure> {
    // Without its settings, which would make it look for files that are not written yet.
    let Some(output) = run(Command::new(program)
        .arg("--version")
        .env_clear()
        .env("PATH", PATH.join(":")))
    .await
    else {
        return Ok(());
    };
    let said = String::from_utf8_lossy(&output.stderr);
    match said
        .lines()
        .find(|line| line.contains("error while loading shared libraries"))
    {
        Some(line) => Err(Failure::new(
            "MissingLibrary",
            line.trim(),
            "use an image that has the library, or mount it from the node by spec.slaves.extraMounts",
        )),
        None => Ok(()),
    }
}

/// The newest API that the image's Docker client speaks.
///
/// # Errors
/// When there is no client, or it does not tell.
pub async fn client_api(docker: Option<&Path>, socket: &Path) -> Result<ApiVersion, Failure> {
    let none = |why: String| {
        Failure::new(
            "NoDockerClient",
            why,
            "use a slave image with a Docker client, or set spec.slaves.containerizers to [mesos]",
        )
    };
    let docker = docker.ok_or_else(|| none("the slave's image has no docker program".to_owned()))?;
    let mut command = Command::new(docker);
    command.arg("-H").arg(format!("unix://{}", socket.display()));
    command
        .args(["version", "--format", "{{.Client.APIVersion}}"])
        .env_clear()
        .env("PATH", PATH.join(":"));
    let output = run(&mut command)
        .await
        .ok_or_else(|| none(format!("{} cannot be run", docker.display())))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ApiVersion::parse(said.lines().next().unwrap_or_default())
        .ok_or_else(|| none(format!("{} does not tell which API it speaks", docker.display())))
}

async fn run(command: &mut Command) -> Option<Output> {
    timeout(PATIENCE, command.kill_on_drop(true).output())
        .await
        .ok()?
        .ok()
}

/// Whether `/proc/mounts` shows a cgroup v1 hierarchy with the `cpu` subsystem, without which Mesos' Docker
/// containerizer does not start (Mesos 0.28.1, docker.cpp:111–121; the same in every later version).
///
/// # Errors
/// When there is none.
pub fn has_cgroup_v1_cpu(mounts: &str) -> Result<(), Failure> {
    let is_cpu = |line: &str| {
        let columns: Vec<_> = line.split(' ').collect();
        columns.get(2) == Some(&"cgroup") && columns.get(3).is_some_and(|o| o.split(',').any(|o| o == "cpu"))
    };
    if mounts.lines().any(is_cpu) {
        return Ok(());
    }
    Err(Failure::new(
        "NoCgroupV1Cpu",
        "the node has no cgroup v1 hierarchy for cpu, and Mesos' Docker containerizer cannot start without",
        "set spec.slaves.containerizers to [mesos], or select nodes that boot with cgroup v1",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_v1_cpu_hierarchy_counts() {
        for (mounts, expected) in [
            ("cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n", true),
            (
                "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n",
                true,
            ),
            (
                "cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0\n",
                false,
            ),
            ("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", false),
            ("", false),
        ] {
            assert_eq!(has_cgroup_v1_cpu(mounts).is_ok(), expected, "{mounts}");
        }
    }

    #[tokio::test]
    async fn a_missing_library_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("mesos-slave");
        let text = "#!/bin/sh\necho 'mesos-slave: error while loading shared libraries: libsvn.so.1' >&2\nexit 127\n";
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let failure = starts(&program).await.unwrap_err();
        assert_eq!(failure.reason, "MissingLibrary");
        assert!(failure.message.contains("libsvn.so.1"));
        assert!(starts(Path::new("/bin/true")).await.is_ok());
    }

    #[test]
    fn an_image_without_init_is_named() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(has_init(root.path()).unwrap_err().reason, "NoSbinInit");
        std::fs::create_dir(root.path().join("sbin")).unwrap();
        std::fs::write(root.path().join("sbin/init"), "").unwrap();
        assert!(has_init(root.path()).is_ok());
    }
}
