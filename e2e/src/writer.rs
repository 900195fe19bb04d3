//! A client that writes numbered nodes through a proxy of ZooKeeper, and remembers which were acknowledged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::{Context as _, Result};

const FOLDER: &str = "/e2e-writer";
/// Pause between two writes.
const PACE: Duration = Duration::from_millis(50);
/// Pause before a lost session is replaced.
const PAUSE: Duration = Duration::from_millis(200);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Acknowledged nodes, and when each of them was.
type Acknowledged = BTreeMap<String, Instant>;

/// It writes until it is stopped.
pub struct Writer {
    address: String,
    acknowledged: watch::Receiver<Acknowledged>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What came of it.
#[derive(Debug)]
pub struct Written {
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Those of them that are not there.
    pub lost: Vec<String>,
    /// The longest time between two of them.
    pub longest_pause: Duration,
}

impl Writer {
    /// Starts writing through the proxy at this address.
    pub fn start(address: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (sender, acknowledged) = watch::channel(Acknowledged::new());
        let address = address.to_owned();
        Self {
            task: tokio::spawn(write(address.clone(), sender, stopped)),
            address,
            acknowledged,
            stop,
        }
    }

    /// Waits for a write that is acknowledged after `since`; returns when the first was.
    ///
    /// # Errors
    /// When none is within `patience`.
    pub async fn acknowledged_after(&self, since: Instant, patience: Duration) -> Result<Instant> {
        let mut acknowledged = self.acknowledged.clone();
        let after = |all: &Acknowledged| all.values().filter(|at| **at > since).min().copied();
        let waiting = acknowledged.wait_for(|all| after(all).is_some());
        let all = timeout(patience, waiting).await.context("nothing is written")??;
        after(&all).context("nothing was written")
    }

    /// Stops writing, reads all back and clears it away.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn stop(self) -> Result<Written> {
        self.stop.send_replace(true);
        self.task.await?;
        let acknowledged = self.acknowledged.borrow().clone();
        let client = connect(&self.address).await?;
        client.sync(FOLDER).await?;
        let found = client.list_children(FOLDER).await?;
        for node in &found {
            client.delete(&format!("{FOLDER}/{node}"), None).await?;
        }
        client.delete(FOLDER, None).await?;
        let mut times: Vec<_> = acknowledged.values().copied().collect();
        times.sort();
        let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
        Ok(Written {
            acknowledged: acknowledged.len(),
            lost: acknowledged
                .into_keys()
                .filter(|node| !found.contains(node))
                .collect(),
            longest_pause: pauses.max().unwrap_or_default(),
        })
    }
}

async fn write(address: String, acknowledged: watch::Sender<Acknowledged>, stopped: watch::Receiver<bool>) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut number = 0_u64;
    while !*stopped.borrow() {
        let begin = async {
            let client = connect(&address).await?;
            match client.create(FOLDER, b"", &options).await {
                Ok(_) | Err(Error::NodeExists) => Ok(client),
                Err(error) => Err(error),
            }
        };
        let Ok(Ok(client)) = timeout(PATIENCE, begin).await else {
            sleep(PAUSE).await;
            continue;
        };
        while !*stopped.borrow() {
            number += 1;
            let node = format!("{number:08}");
            let path = format!("{FOLDER}/{node}");
            match timeout(PATIENCE, client.create(&path, b"", &options)).await {
                Ok(Ok(_)) => {
                    acknowledged.send_modify(|all| {
                        all.insert(node, Instant::now());
                    });
                }
                // Nobody knows whether it was written: nothing was promised.
                Ok(Err(Error::ConnectionLoss)) => {}
                Ok(Err(_)) | Err(_) => break,
            }
            sleep(PACE).await;
        }
    }
}

async fn connect(address: &str) -> Result<Client, Error> {
    // The oldest protocol that is still spoken: a 3.4 server drops a connection that asks for more.
    Client::connector()
        .with_server_version(3, 4, 8)
        .with_session_timeout(Duration::from_secs(4))
        .connect(address)
        .await
}
