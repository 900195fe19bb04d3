//! What is done to the cloud.

use std::time::SystemTime;

use kube::ResourceExt as _;
use mesoscloud_e2e::{Cloud, Context as _, Result, node};

/// SIGKILL of the program of a member. Returns the moment.
pub async fn kill(cloud: &Cloud, member: &str) -> Result<SystemTime> {
    let (container, _) = node::main_container(&cloud.pod_api().get(member).await?)?;
    node::arm(&node::pid(&container).await?).await?.fire().await
}

/// An agent that stands still.
pub struct Stopped(String);

/// Stops the agent of the proxy of Mesos: as dead as one can be without being started again.
pub async fn stop_agent(cloud: &Cloud) -> Result<Stopped> {
    let proxies = cloud.pods(Some("mesos-proxy")).await?;
    let proxy = proxies.first().context("no proxy")?;
    let container = node::container(proxy, "proxy-agent")?;
    let pid = node::pid(&container).await.context(proxy.name_any())?;
    node::run(&["kill", "-STOP", &pid], "").await?;
    Ok(Stopped(pid))
}

impl Stopped {
    /// It goes on.
    pub async fn resume(self) -> Result {
        node::run(&["kill", "-CONT", &self.0], "").await?;
        Ok(())
    }
}
