//! `preflight`: prepares a slave's pod before the slave starts, and says why it cannot start if it cannot.

mod docker_wrapper;
pub(super) mod engine;
mod failure;
mod hostname;
mod identity;
mod image;
mod registered;

use std::fs;
use std::future::pending;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rustix::process::{Pid, Signal};
use thiserror::Error;

use self::engine::Engine;
use self::failure::Failure;

/// Name under which the program is installed in the run folder.
const PROGRAM: &str = "mesoscloud-operator";

/// What `preflight` is asked to do.
#[derive(Debug, Subcommand)]
pub enum Preflight {
    /// Copies this program to where the slave's own image can run it.
    Install {
        /// The folder.
        #[arg(long)]
        to: PathBuf,
    },
    /// Checks node and image, writes what the slave needs, removes what its previous life left behind.
    Check(Check),
    /// Succeeds when the slave is registered with a master.
    Registered {
        /// The slave's address.
        #[arg(long, env = "MESOS_IP")]
        ip: Ipv4Addr,
        /// The slave's port.
        #[arg(long, env = "MESOS_PORT")]
        port: u16,
    },
    /// Asks the slave, the first process of the container that this runs in, to leave for good, and waits for it.
    Leave,
}

/// Options of `preflight check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Folder shared with the slave.
    #[arg(long, env = "MESOSCLOUD_RUN_DIR")]
    run_dir: PathBuf,
    /// The slave's work folder.
    #[arg(long, env = "MESOS_WORK_DIR")]
    work_dir: PathBuf,
    /// The slave's containerizers.
    #[arg(long, env = "MESOS_CONTAINERIZERS", value_delimiter = ',')]
    containerizers: Vec<String>,
    /// Docker's socket.
    #[arg(long, env = "MESOSCLOUD_DOCKER_SOCKET")]
    docker_socket: PathBuf,
    /// Address of the node.
    #[arg(long, env = "MESOSCLOUD_NODE_IP")]
    node_ip: Ipv4Addr,
    /// The slave's port.
    #[arg(long, env = "MESOS_PORT")]
    port: u16,
    /// What the slave offers.
    #[arg(long, env = "MESOS_RESOURCES")]
    resources: String,
    /// What tells it from other slaves.
    #[arg(long, env = "MESOS_ATTRIBUTES", default_value = "")]
    attributes: String,
    /// The slave's hostname, when it is not to be found out.
    #[arg(long, env = "MESOSCLOUD_HOSTNAME")]
    hostname: Option<String>,
    /// Where a failure is left for the operator.
    #[arg(long, default_value = "/dev/termination-log")]
    termination_log: PathBuf,
}

/// Why preflight did not succeed.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("failed to use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The slave cannot start here.
    #[error("{0}")]
    Unfit(String),
    /// The slave is not registered.
    #[error("not registered with a master")]
    NotRegistered,
    /// The slave could not be asked to leave.
    #[error("failed to ask the slave to leave: {0}")]
    Leave(io::Error),
}

/// Does what it is asked to.
///
/// # Errors
/// When the slave cannot start, or is not registered.
pub async fn run(command: Preflight) -> Result<(), Error> {
    match command {
        Preflight::Install { to } => install(&to),
        Preflight::Check(options) => {
            let failures = check(&options).await;
            let Some(first) = failures.first() else {
                return Ok(());
            };
            let report = serde_json::to_vec(first).unwrap_or_default();
            write(&options.termination_log, &report)?;
            let all: Vec<_> = failures
                .iter()
                .map(|f| format!("{}: {} {}", f.reason, f.message, f.remedy))
                .collect();
            Err(Error::Unfit(all.join("\n")))
        }
        Preflight::Registered { ip, port } => {
            if registered::is_registered(&format!("{ip}:{port}")).await {
                Ok(())
            } else {
                Err(Error::NotRegistered)
            }
        }
        Preflight::Leave => leave().await,
    }
}

/// At SIGUSR1 the slave says goodbye to the master, which forgets it at once instead of after 75 s, ends its
/// executors and then itself (Mesos 0.28.1, src/slave/slave.cpp:178-188, 689-743), and with it this container.
async fn leave() -> Result<(), Error> {
    rustix::process::kill_process(Pid::INIT, Signal::USR1).map_err(|e| Error::Leave(e.into()))?;
    pending().await
}

fn install(to: &Path) -> Result<(), Error> {
    let file = |path: &Path, source| Error::File {
        path: path.to_owned(),
        source,
    };
    let own = std::env::current_exe().map_err(|e| file(Path::new("the running program"), e))?;
    let copy = to.join(PROGRAM);
    fs::copy(&own, &copy).map_err(|e| file(&copy, e))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).map_err(|e| file(&copy, e))
}

/// Everything that is in the way, the most fundamental first; nothing if the slave can start.
async fn check(options: &Check) -> Vec<Failure> {
    let mut failures = Vec::new();
    if let Some(slave) = image::find("mesos-slave") {
        failures.extend(image::starts(&slave).await.err());
    }
    failures.extend(image::has_init(Path::new("/")).err());
    failures.extend(writable(&options.work_dir).err());
    let mut gateway = None;
    if options.containerizers.iter().any(|c| c == "docker") {
        failures
            .extend(image::has_cgroup_v1_cpu(&fs::read_to_string("/proc/mounts").unwrap_or_default()).err());
        match prepare_docker(options).await {
            Ok(found) => gateway = found,
            Err(failure) => failures.push(failure),
        }
    }
    let hostname = options.hostname.clone().unwrap_or_else(|| {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let own = hostname::own_addresses(&read("/proc/net/fib_trie"));
        let default = hostname::default_gateway(&read("/proc/net/route"));
        hostname::task_host(options.node_ip, gateway, &own, default).to_string()
    });
    println!("tasks are reached at {hostname}");
    failures.extend(put(&options.run_dir.join("hostname"), hostname.as_bytes()).err());
    if failures.is_empty() {
        failures.extend(take_up(options, &hostname).err());
    }
    failures
}

/// Only when everything else is in order: whoever cannot start must not forget who he was.
fn take_up(options: &Check, hostname: &str) -> Result<(), Failure> {
    let Check {
        node_ip,
        port,
        resources,
        attributes,
        ..
    } = options;
    let identity = format!("{hostname} {node_ip}:{port} {resources} [{attributes}]");
    let former = identity::take_up(&options.work_dir, &identity).map_err(|e| {
        Failure::new(
            "PreflightFailed",
            format!("{}: {e}", options.work_dir.display()),
            "see the log",
        )
    })?;
    if let Some(former) = former {
        println!("this was the slave {former}; it registers as a new one: {identity}");
    }
    Ok(())
}

/// Writes the wrapper and removes the ghosts of the slave's previous life. Returns the gateway of Docker's own
/// network.
async fn prepare_docker(options: &Check) -> Result<Option<Ipv4Addr>, Failure> {
    let engine = Engine::connect(&options.docker_socket).await?;
    let docker = image::find("docker");
    let client = image::client_api(docker.as_deref(), &options.docker_socket).await?;
    let api = docker_wrapper::common_api(engine.oldest, engine.newest, client)?;
    let text = docker_wrapper::wrapper(&docker.unwrap_or_default().to_string_lossy(), api);
    let wrapper = options.run_dir.join("docker");
    put(&wrapper, text.as_bytes())?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).map_err(|e| {
        Failure::new(
            "PreflightFailed",
            format!("{}: {e}", wrapper.display()),
            "see the log",
        )
    })?;
    // The guard has done it, unless the machine lost power.
    match engine.remove_tasks(&slave_ids(&options.work_dir), None).await {
        Ok(removed) => removed
            .iter()
            .for_each(|name| println!("removed {name}, left by this slave's previous life")),
        Err(error) => eprintln!("containers of this slave's previous life could not be removed: {error}"),
    }
    Ok(engine.gateway().await)
}

/// The ids that the slave has had with this work folder.
pub(super) fn slave_ids(work_dir: &Path) -> Vec<String> {
    let slaves = fs::read_dir(work_dir.join("meta/slaves"));
    let names = slaves
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name != "latest")
        .collect()
}

fn writable(work_dir: &Path) -> Result<(), Failure> {
    let probe = work_dir.join(".preflight");
    fs::write(&probe, "")
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|e| {
            Failure::new(
                "WorkDirNotWritable",
                format!(
                    "the slave cannot write to its work folder {}: {e}",
                    work_dir.display()
                ),
                "free or repair the node's disk, or set spec.slaves.workDir when the cloud is created",
            )
        })
}

fn put(path: &Path, content: &[u8]) -> Result<(), Failure> {
    write(path, content).map_err(|e| Failure::new("PreflightFailed", e.to_string(), "see the pod's events"))
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    fs::write(path, content).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_the_folders_of_the_slaves() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(slave_ids(dir.path()), [""; 0]);
        let slaves = dir.path().join("meta/slaves");
        fs::create_dir_all(slaves.join("20261123-S1")).unwrap();
        std::os::unix::fs::symlink(slaves.join("20261123-S1"), slaves.join("latest")).unwrap();
        assert_eq!(slave_ids(dir.path()), ["20261123-S1"]);
    }
}
