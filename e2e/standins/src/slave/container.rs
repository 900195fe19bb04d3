//! A container as `docker run` is told of it (`docker.cpp @ 0.28.1:441-646`).

use std::collections::BTreeMap;
use std::path::Path;

/// `CPU_SHARES_PER_CPU` and `MIN_CPU_SHARES`.
const SHARES_PER_CPU: f64 = 1024.0;
const MIN_SHARES: u64 = 2;
/// `MIN_MEMORY`: no container gets less than 32 MB.
const MIN_MEMORY: u64 = 32 * 1024 * 1024;

/// A container to run.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// `mesos-<slaveId>.<containerId>`.
    pub name: String,
    /// The image.
    pub image: String,
    /// `bridge` or `host`.
    pub network: String,
    /// The task's share of CPUs and of memory (MB).
    pub cpus: f64,
    /// Megabytes.
    pub mem: f64,
    /// Host ports the task was given from the slave's `ports` resource: closed ranges.
    pub ports: Vec<(u16, u16)>,
    /// Host port, container port, protocol.
    pub mappings: Vec<(u16, u16, Option<String>)>,
    /// Environment of the task.
    pub env: BTreeMap<String, String>,
    /// Host path, container path, mode (`rw` or `ro`).
    pub volumes: Vec<(String, String, String)>,
    /// Further `docker run` options.
    pub parameters: Vec<(String, String)>,
    /// `--privileged`.
    pub privileged: bool,
    /// A shell command, which replaces the image's entrypoint.
    pub shell: Option<String>,
    /// Arguments for the image's entrypoint.
    pub args: Vec<String>,
}

impl Container {
    /// The arguments of `docker run` in the original's order.
    pub fn arguments(&self, sandbox: &Path, mapped: &str) -> Result<Vec<String>, String> {
        let mut argv = vec!["run".to_owned()];
        if self.privileged {
            argv.push("--privileged".to_owned());
        }
        argv.extend(["--cpu-shares".to_owned(), cpu_shares(self.cpus).to_string()]);
        argv.extend(["--memory".to_owned(), memory_bytes(self.mem).to_string()]);
        for (key, value) in &self.env {
            argv.extend(["-e".to_owned(), format!("{key}={value}")]);
        }
        argv.extend(["-e".to_owned(), format!("MESOS_SANDBOX={mapped}")]);
        argv.extend(["-e".to_owned(), format!("MESOS_CONTAINER_NAME={}", self.name)]);
        for (host, container, mode) in &self.volumes {
            // A relative host path lies in the sandbox.
            let host = sandbox.join(host);
            argv.extend(["-v".to_owned(), format!("{}:{container}:{mode}", host.display())]);
        }
        argv.extend(["-v".to_owned(), format!("{}:{mapped}", sandbox.display())]);
        argv.extend(["--net".to_owned(), self.network.clone()]);
        for (key, value) in &self.parameters {
            argv.push(format!("--{key}={value}"));
        }
        if !self.mappings.is_empty() && self.network != "bridge" {
            return Err("Port mappings are only supported for bridge network".to_owned());
        }
        for (host, container, protocol) in &self.mappings {
            if !self
                .ports
                .iter()
                .any(|(start, end)| (start..=end).contains(&host))
            {
                return Err(format!("Port [{host}] not included in resources"));
            }
            let suffix = protocol
                .as_ref()
                .map(|name| format!("/{}", name.to_lowercase()))
                .unwrap_or_default();
            argv.extend(["-p".to_owned(), format!("{host}:{container}{suffix}")]);
        }
        if self.shell.is_some() {
            argv.extend(["--entrypoint".to_owned(), "/bin/sh".to_owned()]);
        }
        argv.extend(["--name".to_owned(), self.name.clone(), self.image.clone()]);
        match &self.shell {
            Some(command) => argv.extend(["-c".to_owned(), command.clone()]),
            None => argv.extend(self.args.iter().cloned()),
        }
        Ok(argv)
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // as the original's integer casts
fn cpu_shares(cpus: f64) -> u64 {
    ((SHARES_PER_CPU * cpus) as u64).max(MIN_SHARES)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn memory_bytes(megabytes: f64) -> u64 {
    ((megabytes * 1024.0 * 1024.0) as u64).max(MIN_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Container {
        Container {
            name: "mesos-S0.c".to_owned(),
            image: "nginx".to_owned(),
            network: "bridge".to_owned(),
            cpus: 0.1,
            mem: 16.0,
            ports: vec![(31000, 31000)],
            mappings: vec![(31000, 80, Some("TCP".to_owned()))],
            env: BTreeMap::from([("PORT0".to_owned(), "31000".to_owned())]),
            ..Container::default()
        }
    }

    #[test]
    fn docker_run_has_the_original_order() {
        let argv = container()
            .arguments(Path::new("/sandboxes/c"), "/mnt/mesos/sandbox")
            .unwrap();
        assert_eq!(
            argv.join(" "),
            "run --cpu-shares 102 --memory 33554432 -e PORT0=31000 -e MESOS_SANDBOX=/mnt/mesos/sandbox \
             -e MESOS_CONTAINER_NAME=mesos-S0.c -v /sandboxes/c:/mnt/mesos/sandbox --net bridge \
             -p 31000:80/tcp --name mesos-S0.c nginx"
        );
    }

    #[test]
    fn ports_must_come_from_the_task_s_resources() {
        let mut stray = container();
        stray.ports = vec![(31001, 31009)];
        assert_eq!(
            stray.arguments(Path::new("/s"), "/m"),
            Err("Port [31000] not included in resources".to_owned())
        );
        let mut host = container();
        host.network = "host".to_owned();
        assert!(host.arguments(Path::new("/s"), "/m").is_err());
    }

    #[test]
    fn a_shell_command_replaces_the_entrypoint() {
        let shell = Container {
            shell: Some("sleep 9".to_owned()),
            ..container()
        };
        let argv = shell.arguments(Path::new("/s"), "/m").unwrap().join(" ");
        assert!(
            argv.ends_with("--entrypoint /bin/sh --name mesos-S0.c nginx -c sleep 9"),
            "{argv}"
        );
    }
}
