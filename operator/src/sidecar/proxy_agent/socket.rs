//! HAProxy's two command sockets: the worker's, and the master's.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Time that a worker has for its answer; it takes a millisecond.
const WORKER_PATIENCE: Duration = Duration::from_secs(2);
/// Time that the master has for a reload. A few lines take 0.1 to 0.5 s, an address in use 5 s.
const MASTER_PATIENCE: Duration = Duration::from_secs(15);

/// Why HAProxy could not be asked, or what it has against the question.
#[derive(Debug, Error)]
pub enum Error {
    /// Nobody is at the socket, or the conversation broke off.
    #[error("HAProxy's {socket} does not answer: {source}")]
    Silent {
        /// File name of the socket.
        socket: &'static str,
        /// What the kernel says, or that time ran out.
        source: io::Error,
    },
    /// It answers something else than expected.
    #[error("HAProxy answers {command:?} with {answer:?}")]
    Answer {
        /// The question.
        command: String,
        /// Its answer.
        answer: String,
    },
}

/// The worker that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its process id.
    pub pid: u32,
    /// Hash of the settings that it runs with; empty when they are not the operator's.
    pub settings: String,
}

/// What the worker knows of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// Whether it is given requests.
    pub up: bool,
    /// Whether it has been checked since the process started.
    pub checked: bool,
    /// `ip:port`.
    pub address: String,
}

/// What the worker knows of its servers.
#[derive(Clone, Debug, Default)]
pub struct States(HashMap<(String, String), ServerState>);

impl States {
    /// What it knows of one server, if it has it.
    pub fn of(&self, backend: &str, server: &str) -> Option<&ServerState> {
        self.0.get(&(backend.to_owned(), server.to_owned()))
    }

    /// Whether it has the server and gives it requests.
    pub fn is_up(&self, backend: &str, server: &str) -> bool {
        self.of(backend, server).is_some_and(|state| state.up)
    }

    /// Reads `show servers state` (version 1, HAProxy management guide 9.3). Columns from 0: 1 backend, 3 server,
    /// 4 address, 5 operational state (2 is running), 10 check status (0 and 1 are none yet), 18 port.
    fn parse(dump: &str) -> Self {
        let rows = dump.lines().filter(|line| !line.starts_with('#'));
        let rows = rows.map(|line| line.split(' ').collect::<Vec<_>>());
        Self(
            rows.filter_map(|row| {
                let state = ServerState {
                    up: *row.get(5)? == "2",
                    checked: row.get(10)?.parse::<u32>().ok()? > 1,
                    address: format!("{}:{}", row.get(4)?, row.get(18)?),
                };
                Some((((*row.get(1)?).to_owned(), (*row.get(3)?).to_owned()), state))
            })
            .collect(),
        )
    }
}

/// The command sockets in HAProxy's folder.
#[derive(Clone, Debug)]
pub struct Sockets {
    dir: PathBuf,
}

impl Sockets {
    /// The sockets below `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The worker that serves.
    ///
    /// # Errors
    /// When none answers.
    pub async fn worker(&self) -> Result<Worker, Error> {
        let command = "show info";
        let answer = self.ask_worker(command).await?;
        let field = |name| answer.lines().find_map(|line| line.strip_prefix(name));
        let Some(pid) = field("Pid: ").and_then(|pid| pid.trim().parse().ok()) else {
            return Err(Error::Answer {
                command: command.to_owned(),
                answer,
            });
        };
        Ok(Worker {
            pid,
            settings: field("description: ").unwrap_or_default().trim().to_owned(),
        })
    }

    /// What the worker knows of its servers.
    ///
    /// # Errors
    /// When none answers.
    pub async fn servers(&self) -> Result<States, Error> {
        Ok(States::parse(&self.ask_worker("show servers state").await?))
    }

    /// Says that a server is up or down, until a check finds otherwise.
    ///
    /// # Errors
    /// When the worker does not answer, or does not know the server.
    pub async fn set_health(&self, backend: &str, server: &str, up: bool) -> Result<(), Error> {
        let health = if up { "up" } else { "down" };
        let command = format!("set server {backend}/{server} health {health}");
        let answer = self.ask_worker(&command).await?;
        // Silence is consent.
        if answer.trim().is_empty() {
            Ok(())
        } else {
            Err(Error::Answer { command, answer })
        }
    }

    /// Loads the configuration file anew. `Err` of the inner result is what HAProxy has against it.
    ///
    /// # Errors
    /// When the master does not answer, and it is not known what it did.
    pub async fn reload(&self) -> Result<Result<(), String>, Error> {
        let answer = self.ask("master.sock", "reload", MASTER_PATIENCE).await?;
        match answer.split_once('\n') {
            Some(("Success=1", _)) => Ok(Ok(())),
            Some(("Success=0", log)) => Ok(Err(complaints(log))),
            _ => Err(Error::Answer {
                command: "reload".to_owned(),
                answer,
            }),
        }
    }

    async fn ask_worker(&self, command: &str) -> Result<String, Error> {
        self.ask("admin.sock", command, WORKER_PATIENCE).await
    }

    async fn ask(&self, socket: &'static str, command: &str, patience: Duration) -> Result<String, Error> {
        let conversation = async {
            let mut stream = UnixStream::connect(self.dir.join(socket)).await?;
            stream.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        let answer = timeout(patience, conversation).await;
        answer
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| Error::Silent { socket, source })
    }
}

/// The alerts of a start-up log, without their prefixes; all of it if there are none.
fn complaints(log: &str) -> String {
    let alerts = log.lines().filter(|line| line.starts_with("[ALERT]"));
    let alerts: Vec<_> = alerts
        .map(|line| line.split_once(" : ").map_or(line, |(_, alert)| alert))
        .collect();
    if alerts.is_empty() {
        log.trim().to_owned()
    } else {
        alerts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_servers_is_read() {
        let states = States::parse(
            "1\n# be_id be_name srv_id srv_name ...\n\
            4 mesos 1 master-1 10.96.0.2 2 0 1 1 22 15 3 1 6 0 0 0 - 5050 - 0 0 - - 0\n\
            4 mesos 2 master-0 10.96.0.1 0 0 1 1 0 1 0 0 6 0 0 0 - 5050 - 0 0 - - 0\n\
            4 mesos 3 master-2 10.96.0.3 0 0 1 1 0 17 0 0 6 0 0 0 - 5050 - 0 0 - - 0\n\n",
        );
        assert!(states.is_up("mesos", "master-1") && !states.is_up("other", "master-1"));
        assert_eq!(
            states.of("mesos", "master-0"),
            Some(&ServerState {
                up: false,
                checked: false,
                address: "10.96.0.1:5050".to_owned()
            })
        );
        // In the middle of a check the result is unknown again, but the status of the last one stays.
        assert!(states.of("mesos", "master-2").is_some_and(|state| state.checked));
    }

    #[test]
    fn a_refusal_is_told_by_its_alerts() {
        let log = "--\n[NOTICE]   (3367) : haproxy version is 3.0.11\n\
            [ALERT]    (3367) : config : parsing [haproxy.cfg:39] : unknown keyword 'bogus'\n\
            [ALERT]    (3367) : config : Fatal errors found in configuration.\n[WARNING]  (3367) : Loading failure!\n";
        assert_eq!(
            complaints(log),
            "config : parsing [haproxy.cfg:39] : unknown keyword 'bogus'; config : Fatal errors found in configuration."
        );
        assert_eq!(complaints("--\nout of memory\n"), "--\nout of memory");
    }
}
