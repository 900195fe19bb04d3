//! The containers of a slave's tasks: Mesos 0.28.1 leaves them running, with their ports, when the slave's own
//! container ends. Their executors are gone with it, so nobody will ever look after them again
//! (docs/originals.md, "Slaves").

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::sidecar::preflight::engine::{self, Engine};
use crate::sidecar::preflight::slave_ids;

/// Pause before what could not be done is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest time that the end of the guard itself waits for what is under way.
const LAST: Duration = Duration::from_secs(engine::GRACE.unsigned_abs() as u64 + 5);

/// The slave, and where what it leaves behind is found.
#[derive(Debug, Args)]
pub struct Slave {
    /// The slave's address.
    #[arg(long, env = "MESOS_IP")]
    ip: Ipv4Addr,
    /// The slave's port.
    #[arg(long, env = "MESOS_PORT")]
    port: u16,
    /// The slave's work folder.
    #[arg(long, env = "MESOS_WORK_DIR")]
    work_dir: PathBuf,
    /// Docker's socket.
    #[arg(long, env = "MESOSCLOUD_DOCKER_SOCKET")]
    docker_socket: PathBuf,
}

impl Slave {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (self.ip, self.port).into()
    }
}

/// What is to be stopped, and who does it.
pub struct TaskContainers {
    slave: Slave,
    /// When the slave was found dead, in whole seconds since 1970, until its containers are gone.
    doomed: watch::Sender<Option<i64>>,
}

impl TaskContainers {
    /// Those of this slave.
    pub fn of(slave: Slave) -> Self {
        Self {
            slave,
            doomed: watch::Sender::default(),
        }
    }

    /// The slave is dead now.
    pub fn doom(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.doomed.send_replace(i64::try_from(now.as_secs()).ok());
    }

    /// Stops and removes for ever what a dead slave leaves behind; never what its successor started.
    pub async fn run(&self) {
        let mut doomed = self.doomed.subscribe();
        loop {
            // The sender is this one's own.
            let died = doomed.wait_for(Option::is_some).await.map_or(None, |died| *died);
            match self.clear(died).await {
                Ok(removed) => {
                    for name in removed {
                        tracing::info!(name, "removed: its slave is dead");
                    }
                    self.doomed.send_if_modified(|now| {
                        let same = *now == died;
                        if same {
                            *now = None;
                        }
                        same
                    });
                }
                Err(error) => {
                    tracing::warn!(error, "containers of the dead slave cannot be removed now");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Completes when nothing is left of a dead slave.
    pub async fn finish(&self) {
        let mut doomed = self.doomed.subscribe();
        let _ = timeout(LAST, doomed.wait_for(Option::is_none)).await;
    }

    async fn clear(&self, born_until: Option<i64>) -> Result<Vec<String>, String> {
        let ids = slave_ids(&self.slave.work_dir);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let engine = Engine::connect(&self.slave.docker_socket)
            .await
            .map_err(|failure| failure.message)?;
        engine
            .remove_tasks(&ids, born_until)
            .await
            .map_err(|error| error.to_string())
    }
}
