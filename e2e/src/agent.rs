//! The agent beside the HAProxy of the Mesos proxy, and the process that keeps it running.

use kube::ResourceExt as _;

use crate::{Cloud, Context as _, Result, node};

/// Process ids on the node.
pub struct Agent {
    supervisor: String,
    process: String,
}

impl Agent {
    /// The one of a cloud with one such proxy.
    pub async fn of(cloud: &Cloud) -> Result<Self> {
        let proxies = cloud.pods(Some("mesos-proxy")).await?;
        let proxy = proxies.first().context("no proxy")?;
        let supervisor = node::pid(&node::container(proxy, "proxy-agent")?).await?;
        let process = node::run(&["pgrep", "-P", &supervisor], "").await;
        Ok(Self {
            process: process.context(proxy.name_any())?.trim().to_owned(),
            supervisor,
        })
    }

    /// Kills it, and has nobody notice until [`Agent::revive`].
    pub async fn kill(&self) -> Result {
        let script = format!("kill -STOP {} && kill -KILL {}", self.supervisor, self.process);
        node::run(&["sh", "-c", &script], "").await.map(drop)
    }

    /// Has it stand still.
    pub async fn pause(&self) -> Result {
        node::run(&["kill", "-STOP", &self.process], "").await.map(drop)
    }

    /// Lets it be started once more.
    pub async fn revive(&self) -> Result {
        node::run(&["kill", "-CONT", &self.supervisor], "")
            .await
            .map(drop)
    }
}
