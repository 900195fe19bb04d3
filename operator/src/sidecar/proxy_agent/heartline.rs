//! Learns of a master's death from the kernel instead of from the next check.
//!
//! A master that is killed may be back at the same address, as a standby, before HAProxy's next check: for up
//! to a second HAProxy would take it for the leader it was (0.77 s measured). But the kernel closes a process's
//! connections when the process ends, so one idle connection to each master tells within milliseconds. Real
//! masters keep such a connection open for as long as it was tried.
//!
//! Only masters: Marathon closes idle connections by itself, and any Marathon may be asked.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cloud::haproxy::Server;

/// Pause after a connection ended or was refused.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a master may take to accept.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a connection is held before a new one takes its place: one whose other end vanished with its node
/// stays silent for ever.
const RENEW: Duration = Duration::from_secs(30);

/// What happened to the connection to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// There is a new one: whatever the server was when last looked at, it may be another process by now.
    Began(String),
    /// It ended: the process is dead, or closed it.
    Ended(String),
}

/// Connections to servers, held for as long as this lives.
pub struct Heartlines {
    of: Vec<Server>,
    /// Ends its tasks when it is dropped.
    _tasks: JoinSet<()>,
}

impl Heartlines {
    /// Holds a connection to each of `servers` and tells what happens to it.
    pub fn hold(servers: &[Server], pulses: &mpsc::UnboundedSender<Pulse>) -> Self {
        let mut tasks = JoinSet::new();
        for server in servers {
            tasks.spawn(hold(server.clone(), pulses.clone()));
        }
        Self {
            of: servers.to_vec(),
            _tasks: tasks,
        }
    }

    /// Whether these are the servers that are held.
    pub fn are_of(&self, servers: &[Server]) -> bool {
        self.of == servers
    }
}

async fn hold(server: Server, pulses: mpsc::UnboundedSender<Pulse>) {
    let tell = |pulse: fn(String) -> Pulse| {
        // The agent may be gone; then so is this task in a moment.
        let _ = pulses.send(pulse(server.name.clone()));
    };
    loop {
        if let Some(mut held) = connect(&server.address).await {
            tell(Pulse::Began);
            // Nothing is asked, so nothing is answered: whatever ends the read ends the connection.
            while timeout(RENEW, held.read(&mut [0; 1])).await.is_err() {
                if let Some(new) = connect(&server.address).await {
                    held = new;
                    tell(Pulse::Began);
                }
            }
            tell(Pulse::Ended);
        }
        sleep(PAUSE).await;
    }
}

async fn connect(address: &str) -> Option<TcpStream> {
    timeout(PATIENCE, TcpStream::connect(address)).await.ok()?.ok()
}
