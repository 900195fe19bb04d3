//! What falls on the cloud.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use mesoscloud_e2e::{Cloud, Context as _, Result, node, operator};
use rand::Rng;
use serde_json::json;

/// One kind of blow.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// SIGKILL of the first process of a pod's program.
    ProcessKilled,
    /// A pod is deleted.
    PodDeleted,
    /// A pod is deleted with `--force`.
    PodForced,
    /// SIGKILL of an HAProxy.
    HaproxyKilled,
    /// The operator's pod is deleted with `--force`.
    OperatorKilled,
    /// A master is cut off from ZooKeeper for a while.
    CutOff,
    /// A program stands still for a while.
    Paused,
    /// The disk of a ZooKeeper member takes no more bytes, until the member is started anew.
    DiskFull,
    /// A change that rolls the masters or ZooKeeper.
    Rolled,
}

const BLOWS: [Blow; 9] = [
    Blow::ProcessKilled,
    Blow::PodDeleted,
    Blow::PodForced,
    Blow::HaproxyKilled,
    Blow::OperatorKilled,
    Blow::CutOff,
    Blow::Paused,
    Blow::DiskFull,
    Blow::Rolled,
];

/// Pods whose loss is made good; the slave that is spared is named apart.
const MEMBERS: [&str; 4] = ["zookeeper", "master", "marathon", "slave"];
const PROXIES: [&str; 3] = ["mesos-proxy", "marathon-proxy", "zk-proxy"];
/// Room for what ZooKeeper says of it, and for the beginning of its log.
const FULL: &str = "--fsize=16384:16384";
/// Seconds, more than a session lasts, so that it is lost.
const CUT: u32 = 6;
/// Shorter than a session, or about as long.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

impl Blow {
    /// One of them.
    pub fn drawn(draw: &mut impl Rng) -> Self {
        BLOWS[draw.random_range(0..BLOWS.len())]
    }

    /// Falls on a victim that follows from `draw`, never on the pod `spared`. Returns what it has hit.
    pub async fn fall(self, cloud: &Cloud, spared: &str, draw: u32) -> Result<String> {
        let chosen = |of: &[&'static str]| of[usize::try_from(draw).unwrap_or_default() % of.len()];
        let victim = async |component: &str| {
            let pods = cloud.pods(Some(component)).await?;
            let pods: Vec<_> = pods.into_iter().filter(|p| p.name_any() != spared).collect();
            let chosen = usize::try_from(draw >> 8)?.checked_rem(pods.len());
            chosen
                .and_then(|n| pods.into_iter().nth(n))
                .context("nobody is there")
        };
        let pod = match self {
            Self::ProcessKilled => {
                let pod = victim(chosen(&MEMBERS)).await?;
                node::signal(&pod, "SIGKILL").await?;
                pod
            }
            Self::PodDeleted | Self::PodForced => {
                let pod = victim(chosen(&[&MEMBERS[..], &PROXIES[..]].concat())).await?;
                cloud
                    .delete_pod(&pod.name_any(), matches!(self, Self::PodForced))
                    .await?;
                pod
            }
            Self::HaproxyKilled => {
                let pod = victim(chosen(&PROXIES)).await?;
                node::signal(&pod, "SIGKILL").await?;
                pod
            }
            Self::OperatorKilled => {
                let pod = operator::pod(&cloud.cluster).await?;
                let pods = cloud.cluster.api::<Pod>(operator::NAMESPACE);
                pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
                    .await?;
                pod
            }
            Self::CutOff => {
                let pod = victim("master").await?;
                cut_off(&pod).await?;
                pod
            }
            Self::Paused => {
                let pod = match chosen(&["zookeeper", "master", "operator"]) {
                    "operator" => operator::pod(&cloud.cluster).await?,
                    component => victim(component).await?,
                };
                let pause = PAUSES[usize::try_from(draw >> 16)? % PAUSES.len()];
                node::signal(&pod, "SIGSTOP").await?;
                tokio::time::sleep(pause).await;
                node::signal(&pod, "SIGCONT").await?;
                pod
            }
            Self::DiskFull => {
                let pod = victim("zookeeper").await?;
                let (container, _) = node::main_container(&pod)?;
                let pid = node::pid(&container).await?;
                // What fails is the next write to its log, as on a disk without room; only its own user may do it.
                let own = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
                let limit = ["prlimit", "--pid", &pid, FULL];
                node::run(&[&own[..], &limit[..]].concat(), "").await?;
                pod
            }
            Self::Rolled => {
                let component = chosen(&["masters", "zookeeper"]);
                let env = json!([{"name": "CHAOS", "value": draw.to_string()}]);
                cloud.change(&json!({component: {"env": env}}), false).await?;
                return Ok(component.to_owned());
            }
        };
        Ok(pod.name_any())
    }
}

/// Drops whatever a pod sends to ZooKeeper, for a while. Whoever has entered its network stays there, also when the
/// program that showed the way ends.
async fn cut_off(pod: &Pod) -> Result {
    let (container, _) = node::main_container(pod)?;
    let pid = node::pid(&container).await?;
    let rule = "OUTPUT -p tcp --dport 2181 -j DROP";
    let script = format!("iptables -A {rule} && sleep {CUT} && iptables -D {rule}");
    node::run(&["nsenter", "-t", &pid, "-n", "sh", "-c", &script], "").await?;
    Ok(())
}

/// Takes back what the blows have changed in the spec.
pub async fn make_good(cloud: &Cloud) -> Result {
    let sample = json!({"masters": {"env": null}, "zookeeper": {"env": null}});
    cloud.change(&sample, false).await?;
    cloud.settled().await?;
    Ok(())
}
