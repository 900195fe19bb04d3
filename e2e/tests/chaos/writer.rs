//! A client that writes numbered nodes through the proxy of ZooKeeper, and remembers which were acknowledged.

use std::collections::BTreeSet;
use std::time::Duration;

use mesoscloud_e2e::{Result, ZOOKEEPER};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zookeeper_client::{Acls, Client, CreateMode, Error};

const FOLDER: &str = "/e2e-chaos";
/// Pause between two writes.
const PACE: Duration = Duration::from_millis(50);
/// Pause before a lost session is replaced.
const PAUSE: Duration = Duration::from_millis(200);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// It writes until it is stopped.
pub struct Writer {
    stop: watch::Sender<bool>,
    task: JoinHandle<BTreeSet<String>>,
}

impl Writer {
    /// Starts writing.
    pub fn start() -> Self {
        let (stop, stopped) = watch::channel(false);
        Self {
            stop,
            task: tokio::spawn(write(stopped)),
        }
    }

    /// Stops writing, reads all back and clears it away. Returns how many writes were acknowledged, and which of
    /// them are lost.
    pub async fn stop(self) -> Result<(usize, Vec<String>)> {
        self.stop.send_replace(true);
        let acknowledged = self.task.await?;
        let client = connect().await?;
        client.sync(FOLDER).await?;
        let found: BTreeSet<String> = client.list_children(FOLDER).await?.into_iter().collect();
        let lost = acknowledged.difference(&found).cloned().collect();
        for node in &found {
            client.delete(&format!("{FOLDER}/{node}"), None).await?;
        }
        client.delete(FOLDER, None).await?;
        Ok((acknowledged.len(), lost))
    }
}

async fn write(stopped: watch::Receiver<bool>) -> BTreeSet<String> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut acknowledged = BTreeSet::new();
    let mut number = 0_u64;
    while !*stopped.borrow() {
        let begin = async {
            let client = connect().await?;
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
                    acknowledged.insert(node);
                }
                // Nobody knows whether it was written: nothing was promised.
                Ok(Err(Error::ConnectionLoss)) => {}
                Ok(Err(_)) | Err(_) => break,
            }
            sleep(PACE).await;
        }
    }
    acknowledged
}

async fn connect() -> Result<Client, Error> {
    // The oldest protocol that is still spoken: a 3.4 server drops a connection that asks for more.
    Client::connector()
        .with_server_version(3, 4, 8)
        .with_session_timeout(Duration::from_secs(4))
        .connect(ZOOKEEPER)
        .await
}
