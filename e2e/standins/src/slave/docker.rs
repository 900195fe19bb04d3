//! The `docker` program, called exactly as Mesos 0.28.1 calls it (`src/docker/docker.cpp @ 0.28.1`).
//!
//! Two callers with two environments: the slave itself (version, pull, inspect of images, clean-up) runs it in its
//! own environment; an executor starts with an **empty** one (`executorEnvironment(…, false)`), so there
//! `docker` is found in `/bin` and `/usr/bin` only and no `DOCKER_API_VERSION` reaches it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::container::Container;

/// How long the slave waits for `docker --version` (`DOCKER_VERSION_WAIT_TIMEOUT`).
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two looks at a container that is still starting (`DOCKER_INSPECT_DELAY`).
const INSPECT_DELAY: Duration = Duration::from_millis(500);

/// A version as Mesos' `Version::parse` accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Reads `Docker version 1.11.2, build b9f10c9`: the last word before the first comma, digits.digits.digits with
/// everything after a `-` dropped. `26.1.5+dfsg1` is an error, as in the original.
pub fn parse_version(output: &str) -> Result<Version, String> {
    let first = output.split(',').next().unwrap_or_default();
    let word = first.rsplit(' ').next().unwrap_or_default().trim_end();
    let plain = word.split('-').next().unwrap_or_default();
    let mut numbers = [0u32; 3];
    for (number, part) in numbers.iter_mut().zip(plain.split('.')) {
        *number = part.parse().map_err(|_| {
            format!(
                "Failed to parse docker version: Invalid version component: Failed to convert '{part}' to number"
            )
        })?;
    }
    let [major, minor, patch] = numbers;
    Ok(Version(major, minor, patch))
}

/// What an image inspection must show; the message is the original's.
pub fn check_image(inspect: &str) -> Result<(), String> {
    let images: Vec<Value> =
        serde_json::from_str(inspect).map_err(|error| format!("Failed to parse JSON: {error}"))?;
    let [image] = images.as_slice() else {
        return Err("Failed to find image".to_owned());
    };
    for key in ["Entrypoint", "Env"] {
        if image
            .get("ContainerConfig")
            .and_then(|config| config.get(key))
            .is_none()
        {
            return Err(format!(
                "Unable to create image: Unable to find 'ContainerConfig.{key}'"
            ));
        }
    }
    Ok(())
}

/// The docker program at one socket, called by the slave itself.
#[derive(Debug, Clone)]
pub struct Docker {
    program: String,
    socket: String,
}

impl Docker {
    /// `MESOS_DOCKER` and `MESOS_DOCKER_SOCKET`.
    pub fn new(program: impl Into<String>, socket: &str) -> Self {
        Self {
            program: program.into(),
            socket: format!("unix://{socket}"),
        }
    }

    fn text(&self, arguments: &[&str]) -> String {
        format!("{} -H {} {}", self.program, self.socket, arguments.join(" "))
    }

    async fn output(&self, arguments: &[&str], home: Option<&Path>) -> Result<Output, String> {
        let mut command = Command::new(&self.program);
        command
            .arg("-H")
            .arg(&self.socket)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(home) = home {
            // So that a .dockercfg among the task's files is found.
            command.env("HOME", home);
        }
        command
            .output()
            .await
            .map_err(|error| format!("Failed to execute '{}': {error}", self.text(arguments)))
    }

    async fn checked(&self, arguments: &[&str], home: Option<&Path>) -> Result<String, String> {
        let output = self.output(arguments, home).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(failure(&self.text(arguments), &output))
    }

    /// `docker --version`, at least 1.0.0.
    pub async fn validate_version(&self) -> Result<(), String> {
        let arguments = ["--version"];
        let output = tokio::time::timeout(VERSION_TIMEOUT, self.output(&arguments, None))
            .await
            .map_err(|_| "Timed out getting docker version".to_owned())?
            .map_err(|error| format!("Failed to get docker version: {error}"))?;
        if !output.status.success() {
            return Err(format!(
                "Failed to get docker version: Failed to execute '{}': {}",
                self.text(&arguments),
                describe(output.status)
            ));
        }
        let version = parse_version(&String::from_utf8_lossy(&output.stdout))
            .map_err(|error| format!("Failed to get docker version: {error}"))?;
        if version < Version(1, 0, 0) {
            return Err(format!(
                "Insufficient version '{version}' of Docker. Please upgrade to >=' 1.0.0'"
            ));
        }
        Ok(())
    }

    /// Names of all containers, stopped ones too, that begin with `prefix`. Fails when the socket does not answer.
    pub async fn containers(&self, prefix: &str) -> Result<Vec<String>, String> {
        let listing = self.checked(&["ps", "-a"], None).await?;
        Ok(listing
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().last())
            .filter(|name| name.starts_with(prefix))
            .map(str::to_owned)
            .collect())
    }

    /// Makes sure that the image is here and that Mesos could read it.
    pub async fn pull(&self, image: &str, force: bool, sandbox: &Path) -> Result<(), String> {
        let last = image.rsplit('/').next().unwrap_or(image);
        let tagged = if last.contains(':') {
            image.to_owned()
        } else {
            format!("{image}:latest")
        };
        if !force {
            let output = self.output(&["inspect", &tagged], None).await?;
            if output.status.success() {
                return check_image(&String::from_utf8_lossy(&output.stdout));
            }
        }
        self.checked(&["pull", &tagged], Some(sandbox)).await?;
        check_image(&self.checked(&["inspect", &tagged], None).await?)
    }

    /// `docker stop -t 0`, then `docker rm -v`: what recovery does to containers it does not know.
    pub async fn stop_and_remove(&self, name: &str) -> Result<(), String> {
        let stopped = self
            .output(&["stop", "-t", "0", name], None)
            .await?
            .status
            .success();
        let rm: &[&str] = if stopped {
            &["rm", "-v", name]
        } else {
            &["rm", "-f", "-v", name]
        };
        self.checked(rm, None).await.map(drop)
    }

    /// `docker rm -f -v`, `docker_remove_delay` after the end of a container.
    pub async fn remove(&self, name: &str) -> Result<(), String> {
        self.checked(&["rm", "-f", "-v", name], None).await.map(drop)
    }

    /// The same program as an executor sees it.
    pub fn for_executor(&self, environment: BTreeMap<String, String>) -> ExecutorDocker {
        ExecutorDocker {
            docker: self.clone(),
            environment,
        }
    }
}

/// The docker program in the environment of an executor.
#[derive(Debug, Clone)]
pub struct ExecutorDocker {
    docker: Docker,
    environment: BTreeMap<String, String>,
}

impl ExecutorDocker {
    /// Where `execvp` finds a program without a PATH.
    fn program(&self) -> Result<PathBuf, String> {
        let program = &self.docker.program;
        if program.contains('/') {
            return Ok(PathBuf::from(program));
        }
        ["/bin", "/usr/bin"]
            .iter()
            .map(|folder| Path::new(folder).join(program))
            .find(|path| path.is_file())
            .ok_or_else(|| format!("Failed to os::execvpe on path '{program}': No such file or directory"))
    }

    fn command(&self, arguments: &[String]) -> Result<Command, String> {
        let mut command = Command::new(self.program()?);
        command
            .env_clear()
            .envs(&self.environment)
            .arg("-H")
            .arg(&self.docker.socket)
            .args(arguments)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Starts `docker run` in the foreground with the sandbox's stdout and stderr.
    pub fn run(
        &self,
        container: &Container,
        sandbox: &Path,
        mapped: &str,
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<Child, String> {
        let arguments = container.arguments(sandbox, mapped)?;
        let mut command = self.command(&arguments)?;
        // An executor has a session of its own, so a signal to the slave's group does not reach it
        // (containerizer/docker.cpp @ 0.28.1, `setup`).
        command
            .env("HOME", sandbox)
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0);
        command
            .spawn()
            .map_err(|error| format!("Failed to os::execvpe on path '{}': {error}", self.docker.program))
    }

    /// Waits until the container has been started: only then is the task TASK_RUNNING.
    pub async fn started(&self, name: &str) -> Result<(), String> {
        loop {
            let mut command = self.command(&["inspect".to_owned(), name.to_owned()])?;
            let output = command
                .kill_on_drop(true)
                .output()
                .await
                .map_err(|error| error.to_string())?;
            if output.status.success() && is_started(&output.stdout)? {
                return Ok(());
            }
            tokio::time::sleep(INSPECT_DELAY).await;
        }
    }

    /// `docker stop -t <seconds>`; the container stays, stopped.
    pub async fn stop(&self, name: &str, timeout: Duration) -> Result<(), String> {
        let arguments = [
            "stop".to_owned(),
            "-t".to_owned(),
            timeout.as_secs().to_string(),
            name.to_owned(),
        ];
        let output = self
            .command(&arguments)?
            .output()
            .await
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let text: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Err(failure(&self.docker.text(&text), &output))
    }
}

fn is_started(inspect: &[u8]) -> Result<bool, String> {
    let containers: Vec<Value> = serde_json::from_slice(inspect)
        .map_err(|error| format!("Unable to create container: Failed to parse JSON: {error}"))?;
    let started = containers
        .first()
        .and_then(|container| container.pointer("/State/StartedAt"))
        .and_then(Value::as_str)
        .ok_or("Unable to create container: Unable to find StartedAt in State")?;
    Ok(started != "0001-01-01T00:00:00Z")
}

fn failure(command: &str, output: &Output) -> String {
    format!(
        "Failed to '{command}': exit status = {} stderr = {}",
        describe(output.status),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// An exit status in the original's words (`WSTRINGIFY`).
pub fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("terminated with signal {signal}"),
        (None, None) => "unknown exit status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_as_in_mesos() {
        for (text, expected) in [
            ("Docker version 1.11.2, build b9f10c9\n", Version(1, 11, 2)),
            ("Docker version 20.10.5-ce, build 1\n", Version(20, 10, 5)),
            ("Docker version 28.2.2, build e6534b4\n", Version(28, 2, 2)),
        ] {
            assert_eq!(parse_version(text), Ok(expected), "{text}");
        }
        for text in ["Docker version 26.1.5+dfsg1, build a72d7cd\n", "garbage", ""] {
            assert!(parse_version(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_without_container_config_is_refused() {
        let old = r#"[{"Id":"x","ContainerConfig":{"Entrypoint":null,"Env":null}}]"#;
        let new = r#"[{"Id":"x","Config":{"Entrypoint":null,"Env":null}}]"#;
        assert_eq!(check_image(old), Ok(()));
        assert_eq!(
            check_image(new),
            Err("Unable to create image: Unable to find 'ContainerConfig.Entrypoint'".to_owned())
        );
    }

    #[test]
    fn a_container_is_started_when_docker_says_so() {
        assert_eq!(
            is_started(br#"[{"State":{"StartedAt":"0001-01-01T00:00:00Z"}}]"#),
            Ok(false)
        );
        assert_eq!(
            is_started(br#"[{"State":{"StartedAt":"2026-01-01T00:00:00Z"}}]"#),
            Ok(true)
        );
    }
}
