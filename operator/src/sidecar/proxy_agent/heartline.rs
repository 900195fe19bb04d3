//! Learns of a master's death from the kernel instead of from the next check.
//!
//! A master that is killed may be back at the same address, as a standby, before HAProxy's next check: for up
//! to a second HAProxy would take it for the leader it was. But the kernel closes a process's connections when
//! the process ends, so one idle connection to each master tells within milliseconds. Real masters keep such a
//! connection open for as long as it was tried.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cloud::haproxy::Server;

/// Pause between two tries to reach a master that refuses.
const PAUSE: Duration = Duration::from_millis(250);

/// Holds a connection to each server for as long as it lives itself, and names a server whenever its connection
/// has ended.
pub struct Heartlines {
    /// Ends its tasks when it is dropped.
    _tasks: JoinSet<()>,
}

impl Heartlines {
    /// Holds a connection to each of `servers`.
    pub fn hold(servers: &[Server], ended: &mpsc::UnboundedSender<String>) -> Self {
        let mut tasks = JoinSet::new();
        for server in servers {
            tasks.spawn(hold(server.clone(), ended.clone()));
        }
        Self { _tasks: tasks }
    }
}

async fn hold(server: Server, ended: mpsc::UnboundedSender<String>) {
    loop {
        if let Ok(mut connection) = TcpStream::connect(&server.address).await {
            // Nothing is asked, so nothing is answered: whatever ends the read ends the connection.
            let _ = connection.read(&mut [0; 1]).await;
            if ended.send(server.name.clone()).is_err() {
                return;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
