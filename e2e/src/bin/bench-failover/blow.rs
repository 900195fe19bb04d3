//! What is done to the cloud.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use mesoscloud_e2e::cloud::container_statuses;
use mesoscloud_e2e::{Cloud, Context as _, Result, node};
use tokio::time::{sleep, timeout};

/// Pause between two looks at an agent that is to be dead.
const LOOK: Duration = Duration::from_millis(300);
/// It is killed a few times at most.
const PATIENCE: Duration = Duration::from_secs(120);

/// SIGKILL of the program of a member. Returns the moment.
pub async fn kill(cloud: &Cloud, member: &str) -> Result<SystemTime> {
    let (container, _) = node::main_container(&cloud.pod_api().get(member).await?)?;
    node::arm(&node::pid(&container).await?).await?.fire().await
}

/// Keeps the agent of the proxy of Mesos dead: killed until Kubernetes waits before it starts it once more.
pub async fn kill_agent(cloud: &Cloud) -> Result {
    let dead = async {
        loop {
            let proxy = proxy(cloud).await?;
            let mut statuses = container_statuses(&proxy);
            let agent = statuses.find(|s| s.name == "proxy-agent").context("no agent")?;
            let state = agent.state.as_ref();
            let waits = state.and_then(|s| s.waiting.as_ref()?.reason.as_deref());
            if waits == Some("CrashLoopBackOff") {
                return Ok(());
            }
            if state.is_some_and(|s| s.running.is_some())
                && let Ok(pid) = node::pid(&node::container(&proxy, "proxy-agent")?).await
            {
                node::run(&["kill", "-9", &pid], "").await?;
            }
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, dead).await?
}

/// The proxy of Mesos anew, with an agent that is started when it should be.
pub async fn replace_proxy(cloud: &Cloud) -> Result {
    cloud.delete_pod(&proxy(cloud).await?.name_any(), false).await?;
    cloud.settled().await?;
    Ok(())
}

async fn proxy(cloud: &Cloud) -> Result<Pod> {
    let proxies = cloud.pods(Some("mesos-proxy")).await?;
    proxies.into_iter().next().context("no proxy")
}
