//! The replicas of the log, as ZooKeeper lists them (src/log/network.hpp @ 0.28.1).

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::group::Group;
use crate::http::post_json;
use crate::zk_url::ZkUrl;

/// The kind of process that a replica is; its address follows.
const REPLICA: &str = "log-replica(1)@";
/// One that has not answered by then does not any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// `ip:port` of each replica, this one included. One that died is there until its session ends.
pub struct Network(watch::Sender<BTreeSet<String>>);

impl Network {
    /// Of this replica alone, at first: it is always in (log.cpp @ 0.28.1:231–249).
    pub fn new(own: String) -> Self {
        Self(watch::Sender::new(BTreeSet::from([own])))
    }

    /// Asks every replica, once there are at least `quorum` of them. Those who come later are **not** asked. `None`
    /// is for those who do not answer.
    pub async fn ask<'a, Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        quorum: usize,
        what: &'a str,
        question: &'a Q,
    ) -> FuturesUnordered<BoxFuture<'a, Option<A>>> {
        let mut members = self.0.subscribe();
        let enough = members.wait_for(|members| members.len() >= quorum).await;
        // The sender is `self`: it cannot be gone.
        let asked = enough.map(|members| members.clone()).unwrap_or_default();
        let ask = |replica: String| -> BoxFuture<'a, Option<A>> {
            Box::pin(async move {
                let path = format!("/standin/log/{what}");
                let answer = timeout(PATIENCE, post_json(&replica, &path, question)).await;
                answer.ok()?.ok()
            })
        };
        asked.into_iter().map(ask).collect()
    }

    /// Keeps this master's replica among the log's, and the list current. Ends only in failure.
    pub async fn follow(&self, url: &ZkUrl, own: &str) -> String {
        let folder = format!("{}/log_replicas", url.path);
        loop {
            let group = match Group::open(url, &folder).await {
                Ok(group) => group,
                Err(error) => return error,
            };
            if let Err(error) = group.during(self.stay(&group, own)).await {
                return format!("Failed to watch ZooKeeper group: {error}");
            }
            tracing::info!("ZooKeeper session of the log expired, joining again");
        }
    }

    async fn stay(&self, group: &Group, own: &str) -> zookeeper_client::Error {
        loop {
            if let Err(error) = self.be_member(group, own).await {
                return error;
            }
            // Renewed (log.cpp @ 0.28.1:374–391).
            tracing::info!("Lost the membership of the log, joining again");
        }
    }

    /// Until the own node is gone.
    async fn be_member(&self, group: &Group, own: &str) -> Result<(), zookeeper_client::Error> {
        let node = group.join(None, format!("{REPLICA}{own}").as_bytes()).await?;
        loop {
            let (members, changed) = group.members().await?;
            let mut replicas = BTreeSet::from([own.to_owned()]);
            for member in &members {
                let data = group.data(member).await?.unwrap_or_default();
                let text = String::from_utf8_lossy(&data).into_owned();
                replicas.extend(text.strip_prefix(REPLICA).map(str::to_owned));
            }
            self.0.send_replace(replicas);
            if !members.contains(&node) {
                return Ok(());
            }
            changed.changed().await;
        }
    }
}
