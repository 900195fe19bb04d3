//! One task's executor: `mesos-docker-executor` or `mesos-executor` @ 0.28.1, from launch to the last update.
//!
//! The originals are children of the slave and end with it; so do these. The containers they started do not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};

use super::container::Container;
use super::docker::{Docker, describe};
use crate::wire::TaskInfo;

/// A killed command gets SIGTERM, and SIGKILL after this (`launcher/executor.cpp @ 0.28.1`).
const ESCALATION: Duration = Duration::from_secs(3);

/// What a task does.
#[derive(Debug, Clone)]
pub enum Work {
    /// Runs a container.
    Container {
        /// The container.
        container: Box<Container>,
        /// Pull even if the image is present.
        force_pull: bool,
    },
    /// Runs a command in the sandbox.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Environment of the task.
        env: BTreeMap<String, String>,
    },
}

impl Work {
    /// What the executor of `task` does; `name` is the container's.
    pub fn of(task: &TaskInfo, name: &str) -> Self {
        let command = &task.command;
        let Some(wanted) = &task.container else {
            let argv = match &command.shell {
                Some(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
                None => command.arguments.clone(),
            };
            return Self::Command {
                argv,
                env: command.environment.clone(),
            };
        };
        let mappings = wanted.port_mappings.iter();
        let container = Container {
            name: name.to_owned(),
            image: wanted.image.clone(),
            network: wanted.network.to_lowercase(),
            cpus: task.resources.cpus,
            mem: task.resources.mem,
            ports: task.resources.ports.clone(),
            mappings: mappings
                .map(|mapping| {
                    (
                        mapping.host_port,
                        mapping.container_port,
                        Some(mapping.protocol.clone()),
                    )
                })
                .collect(),
            env: command.environment.clone(),
            volumes: wanted
                .volumes
                .iter()
                .map(|(inside, host, mode)| (host.clone(), inside.clone(), mode.to_lowercase()))
                .collect(),
            parameters: wanted.parameters.clone(),
            privileged: wanted.privileged,
            shell: command.shell.clone(),
            args: command.arguments.clone(),
        };
        Self::Container {
            container: Box::new(container),
            force_pull: wanted.force_pull_image,
        }
    }
}

/// How the slave runs its executors.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The docker program.
    pub docker: Docker,
    /// `MESOS_HOSTNAME`.
    pub hostname: String,
    /// `MESOS_SANDBOX_DIRECTORY`: where a container sees its sandbox.
    pub mapped: String,
    /// `MESOS_DOCKER_STOP_TIMEOUT`.
    pub stop_timeout: Duration,
    /// `MESOS_EXECUTOR_REGISTRATION_TIMEOUT`: pulling the image counts.
    pub registration_timeout: Duration,
    /// What executors of containers get instead of the slave's own environment.
    pub environment: BTreeMap<String, String>,
}

/// How a task ended, or that it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `TASK_RUNNING`, `TASK_FAILED` …
    pub state: &'static str,
    /// The original's words.
    pub message: String,
}

fn report(state: &'static str, message: impl Into<String>) -> Report {
    Report {
        state,
        message: message.into(),
    }
}

/// Runs one task to its end; the last report is a terminal one. `kill` turns true when the task shall end.
pub async fn execute(
    settings: Settings,
    task: String,
    work: Work,
    sandbox: PathBuf,
    mut kill: watch::Receiver<bool>,
    reports: mpsc::UnboundedSender<Report>,
) {
    let last = match work {
        Work::Container {
            container,
            force_pull,
        } => {
            let pull = settings.docker.pull(&container.image, force_pull, &sandbox);
            tokio::select! {
                pulled = tokio::time::timeout(settings.registration_timeout, pull) => match pulled {
                    Ok(Ok(())) => run_container(&settings, &task, &container, &sandbox, kill, &reports).await,
                    Ok(Err(error)) => report("TASK_FAILED", format!("Failed to launch container: {error}")),
                    Err(_) => report("TASK_FAILED", format!(
                        "Executor did not register within {:?}", settings.registration_timeout)),
                },
                () = wanted(&mut kill) => report("TASK_KILLED", "Unregistered executor"),
            }
        }
        Work::Command { argv, env } => {
            run_command(&settings, &task, &argv, env, &sandbox, kill, &reports).await
        }
    };
    // The slave is gone only when the process is.
    let _ = reports.send(last);
}

async fn wanted(kill: &mut watch::Receiver<bool>) {
    if kill.wait_for(|wanted| *wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn log_file(sandbox: &Path, name: &str) -> std::io::Result<File> {
    File::options().create(true).append(true).open(sandbox.join(name))
}

fn say(sandbox: &Path, name: &str, text: &str) {
    let written = log_file(sandbox, name).and_then(|mut file| writeln!(file, "{text}"));
    if let Err(error) = written {
        tracing::info!("Cannot write to {name} of sandbox {}: {error}", sandbox.display());
    }
}

fn stdio(sandbox: &Path) -> std::io::Result<(Stdio, Stdio)> {
    Ok((
        log_file(sandbox, "stdout")?.into(),
        log_file(sandbox, "stderr")?.into(),
    ))
}

async fn run_container(
    settings: &Settings,
    task: &str,
    container: &Container,
    sandbox: &Path,
    mut kill: watch::Receiver<bool>,
    reports: &mpsc::UnboundedSender<Report>,
) -> Report {
    let docker = settings.docker.for_executor(settings.environment.clone());
    say(
        sandbox,
        "stdout",
        &format!(
            "Registered docker executor on {}\nStarting task {task}",
            settings.hostname
        ),
    );
    let started = stdio(sandbox)
        .map_err(|error| error.to_string())
        .and_then(|(stdout, stderr)| docker.run(container, sandbox, &settings.mapped, stdout, stderr));
    let mut client = match started {
        Ok(client) => client,
        Err(error) => {
            say(sandbox, "stderr", &format!("ABORT: {error}"));
            let message = format!("Docker container run error: {error}");
            return report("TASK_FAILED", message);
        }
    };
    let mut announced = false;
    loop {
        tokio::select! {
            status = client.wait() => return match status {
                Ok(status) if status.success() => report("TASK_FINISHED", ""),
                Ok(status) => report("TASK_FAILED", format!(
                    "Docker container run error: Container exited on error: {}", describe(status))),
                Err(error) => report("TASK_FAILED", format!("Docker container run error: {error}")),
            },
            Ok(()) = docker.started(&container.name), if !announced => {
                announced = true;
                let _ = reports.send(report("TASK_RUNNING", ""));
            }
            () = wanted(&mut kill) => {
                say(sandbox, "stdout", "Received killTask\nShutting down");
                // Docker may still be starting the container, so the client is killed and the daemon asked to stop
                // it. The container itself stays, stopped, for docker_remove_delay.
                let _ = client.kill().await;
                return match docker.stop(&container.name, settings.stop_timeout).await {
                    Ok(()) => report("TASK_KILLED", ""),
                    Err(error) => report("TASK_FAILED", format!(
                        "Unable to stop docker container, error: {error}")),
                };
            }
        }
    }
}

async fn run_command(
    settings: &Settings,
    task: &str,
    argv: &[String],
    mut env: BTreeMap<String, String>,
    sandbox: &Path,
    mut kill: watch::Receiver<bool>,
    reports: &mpsc::UnboundedSender<Report>,
) -> Report {
    say(
        sandbox,
        "stdout",
        &format!(
            "Registered executor on {}\nStarting task {task}",
            settings.hostname
        ),
    );
    env.insert("MESOS_SANDBOX".to_owned(), sandbox.display().to_string());
    let Some((program, arguments)) = argv.split_first() else {
        return report("TASK_FAILED", "Shell command is not specified");
    };
    let spawned = stdio(sandbox).and_then(|(stdout, stderr)| {
        // Unlike containers, commands inherit the slave's environment.
        Command::new(program)
            .args(arguments)
            .envs(&env)
            .current_dir(sandbox)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()
    });
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return report("TASK_FAILED", format!("Failed to execute '{program}': {error}")),
    };
    let _ = reports.send(report("TASK_RUNNING", ""));
    tokio::select! {
        status = child.wait() => match status {
            Ok(status) if status.success() => report("TASK_FINISHED", format!("Command {}", describe(status))),
            Ok(status) => report("TASK_FAILED", format!("Command {}", describe(status))),
            Err(error) => report("TASK_FAILED", error.to_string()),
        },
        () = wanted(&mut kill) => {
            say(sandbox, "stdout", "Shutting down");
            let status = end_group(&mut child).await;
            report("TASK_KILLED", format!("Command {status}"))
        }
    }
}

/// SIGTERM to the command's whole process group, SIGKILL when that is not enough.
async fn end_group(child: &mut Child) -> String {
    let Some(group) = child.id() else {
        return "ended".to_owned();
    };
    signal_group("TERM", group).await;
    if let Ok(Ok(status)) = tokio::time::timeout(ESCALATION, child.wait()).await {
        return describe(status);
    }
    signal_group("KILL", group).await;
    child
        .wait()
        .await
        .map_or_else(|error| error.to_string(), describe)
}

async fn signal_group(signal: &str, group: u32) {
    let line = format!("kill -{signal} -{group}");
    let _ = Command::new("/bin/sh")
        .arg("-c")
        .arg(line)
        .stderr(Stdio::null())
        .status()
        .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            docker: Docker::new("/nonexistent/docker", "/nonexistent.sock"),
            hostname: "h".to_owned(),
            mapped: "/mnt/mesos/sandbox".to_owned(),
            stop_timeout: Duration::ZERO,
            registration_timeout: Duration::from_secs(60),
            environment: BTreeMap::new(),
        }
    }

    fn command(line: &str) -> Work {
        let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
        Work::Command {
            argv,
            env: BTreeMap::from([("X".to_owned(), "y".to_owned())]),
        }
    }

    async fn all(work: Work, kill_when_running: bool) -> (Vec<Report>, String) {
        let sandbox = tempfile::tempdir().unwrap();
        let (kill, killed) = watch::channel(false);
        let (reports, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(execute(
            settings(),
            "t".to_owned(),
            work,
            sandbox.path().to_owned(),
            killed,
            reports,
        ));
        let mut all = Vec::new();
        while let Some(report) = seen.recv().await {
            if kill_when_running {
                kill.send_replace(true);
            }
            all.push(report);
        }
        (
            all,
            std::fs::read_to_string(sandbox.path().join("stdout")).unwrap_or_default(),
        )
    }

    #[tokio::test]
    async fn a_command_runs_in_its_sandbox() {
        let (reports, stdout) = all(command("echo $X; pwd; echo $MESOS_SANDBOX"), false).await;
        let states: Vec<_> = reports.iter().map(|report| report.state).collect();
        assert_eq!(states, ["TASK_RUNNING", "TASK_FINISHED"]);
        let lines: Vec<_> = stdout.lines().rev().take(3).collect();
        assert_eq!(lines[2], "y");
        assert_eq!(lines[0], lines[1]);
    }

    #[tokio::test]
    async fn failures_and_kills_are_told_apart() {
        let (reports, _) = all(command("exit 3"), false).await;
        assert_eq!(reports[1], report("TASK_FAILED", "Command exited with status 3"));
        let (reports, _) = all(command("sleep 60 & wait"), true).await;
        assert_eq!(
            reports[1],
            report("TASK_KILLED", "Command terminated with signal 15")
        );
    }

    #[tokio::test]
    async fn an_image_that_cannot_be_had_fails_the_task() {
        let container = Box::new(Container {
            image: "x".to_owned(),
            ..Container::default()
        });
        let (reports, _) = all(
            Work::Container {
                container,
                force_pull: false,
            },
            false,
        )
        .await;
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].state, "TASK_FAILED");
        assert!(
            reports[0]
                .message
                .starts_with("Failed to launch container: Failed to execute"),
            "{reports:?}"
        );
    }
}
