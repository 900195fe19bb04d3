//! HAProxy's two command sockets: the worker's, and the master's.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::cloud::haproxy::Server;

/// Time that HAProxy has for an answer. A reload of a few lines takes tens of milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The command sockets in HAProxy's folder.
#[derive(Clone, Debug)]
pub struct Sockets {
    dir: PathBuf,
}

/// What HAProxy knows of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// Whether it is given requests.
    pub up: bool,
    /// Whether it has been checked since the process started.
    pub checked: bool,
}

impl Sockets {
    /// The sockets below `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Process id of the worker that serves.
    ///
    /// # Errors
    /// When none answers.
    pub async fn worker(&self) -> io::Result<u32> {
        let info = self.admin("show info").await?;
        let pid = info
            .lines()
            .find_map(|line| line.strip_prefix("Pid: ")?.trim().parse().ok());
        pid.ok_or_else(|| io::Error::other(format!("show info answers {info:?}")))
    }

    /// Everything the worker knows of its servers, in the format of a state file.
    ///
    /// # Errors
    /// When the worker does not answer.
    pub async fn dump_servers(&self) -> io::Result<String> {
        self.admin("show servers state").await
    }

    /// What the worker knows of the servers of one backend, by name.
    ///
    /// # Errors
    /// When the worker does not answer.
    pub async fn servers(&self, backend: &str) -> io::Result<HashMap<String, ServerState>> {
        Ok(parse_servers(&self.admin("show servers state").await?, backend))
    }

    /// Says that a server is up or down, until a check finds otherwise.
    ///
    /// # Errors
    /// When the worker does not answer, or does not know the server.
    pub async fn set_health(&self, backend: &str, server: &str, up: bool) -> io::Result<()> {
        let health = if up { "up" } else { "down" };
        let answer = self
            .admin(&format!("set server {backend}/{server} health {health}"))
            .await?;
        // Silence is consent.
        if answer.trim().is_empty() {
            Ok(())
        } else {
            Err(io::Error::other(answer.trim().to_owned()))
        }
    }

    /// Loads the configuration file anew. `Err` of the inner result holds what HAProxy has against it.
    ///
    /// # Errors
    /// When the master does not answer.
    pub async fn reload(&self) -> io::Result<Result<(), String>> {
        let answer = ask(&self.dir.join("master.sock"), "reload").await?;
        Ok(if answer.contains("Success=1") {
            Ok(())
        } else {
            Err(answer.trim().to_owned())
        })
    }

    async fn admin(&self, command: &str) -> io::Result<String> {
        ask(&self.dir.join("admin.sock"), command).await
    }
}

async fn ask(socket: &Path, command: &str) -> io::Result<String> {
    let conversation = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(PATIENCE, conversation).await?
}

/// Reads `show servers state` (version 1, HAProxy management guide 9.3): column 2 is the backend, 4 the server,
/// 6 its state (2 is running), 12 the result of its last check (0 is none yet).
fn parse_servers(dump: &str, backend: &str) -> HashMap<String, ServerState> {
    let rows = dump
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|l| l.split(' ').collect::<Vec<_>>());
    rows.filter(|row| row.get(1) == Some(&backend))
        .filter_map(|row| {
            let (up, checked) = (*row.get(5)? == "2", *row.get(11)? != "0");
            Some(((*row.get(3)?).to_owned(), ServerState { up, checked }))
        })
        .collect()
}

/// Whether all of `servers` have been checked.
pub fn all_checked(servers: &[Server], states: &HashMap<String, ServerState>) -> bool {
    servers
        .iter()
        .all(|server| states.get(&server.name).is_some_and(|state| state.checked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_backends_servers_is_read() {
        let dump = "1\n# be_id be_name srv_id srv_name ...\n\
            4 mesos 1 master-1 10.96.0.2 2 0 1 1 22 15 3 2 6 0 0 0 - 5050 - 0 0 - - 0\n\
            4 mesos 2 master-0 10.96.0.1 0 0 1 1 0 1 0 0 6 0 0 0 - 5050 - 0 0 - - 0\n\
            5 other 1 master-2 10.96.0.1 2 0 1 1 0 1 0 0 6 0 0 0 - 5050 - 0 0 - - 0\n\n";
        let states = parse_servers(dump, "mesos");
        assert_eq!(states.len(), 2);
        assert_eq!(
            states["master-1"],
            ServerState {
                up: true,
                checked: true
            }
        );
        assert_eq!(
            states["master-0"],
            ServerState {
                up: false,
                checked: false
            }
        );
    }
}
