//! What falls on the cloud.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt as _};
use mesoscloud_e2e::cloud::{Life, container_statuses};
use mesoscloud_e2e::cluster::until;
use mesoscloud_e2e::{Cloud, Context as _, Result, node, operator};
use rand::Rng;
use serde_json::json;

/// One kind of blow.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// SIGKILL of a pod's program.
    ProcessKilled,
    /// A pod is deleted.
    PodDeleted,
    /// A pod is deleted with `--force`.
    PodForced,
    /// SIGKILL of a guard or of a proxy's agent, with the process that keeps it running.
    SidecarKilled,
    /// SIGKILL of an HAProxy.
    HaproxyKilled,
    /// SIGKILL of the operator.
    OperatorKilled,
    /// The operator's pod is deleted with `--force`.
    OperatorForced,
    /// A master is cut off from ZooKeeper for a while.
    CutOff,
    /// A program stands still for a while.
    Paused,
    /// The disk of a ZooKeeper member takes no more bytes, until the member is started anew.
    DiskFull,
    /// A change that rolls the masters or ZooKeeper.
    Rolled,
}

const BLOWS: [Blow; 11] = [
    Blow::ProcessKilled,
    Blow::PodDeleted,
    Blow::PodForced,
    Blow::SidecarKilled,
    Blow::HaproxyKilled,
    Blow::OperatorKilled,
    Blow::OperatorForced,
    Blow::CutOff,
    Blow::Paused,
    Blow::DiskFull,
    Blow::Rolled,
];

/// What came of a blow.
#[derive(Debug)]
pub enum Fall {
    /// It has hit this.
    Hit(String),
    /// Its victim was down already, or went down by itself.
    Missed(String),
}

/// Pods whose loss is made good; the slave that is spared is named apart.
const MEMBERS: [&str; 4] = ["zookeeper", "master", "marathon", "slave"];
const PROXIES: [&str; 3] = ["mesos-proxy", "marathon-proxy", "zk-proxy"];
/// Those beside which there is a guard.
const GUARDED: [&str; 3] = ["master", "marathon", "slave"];
const OPERATOR: &str = "operator";
/// Those that may stand still, beside the proxies.
const PAUSED: [&str; 4] = ["zookeeper", "master", "marathon", OPERATOR];
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
/// Time for the API server to hear of an end.
const REPORTED: Duration = Duration::from_secs(10);

impl Blow {
    /// One of them.
    pub fn drawn(draw: &mut impl Rng) -> Self {
        BLOWS[draw.random_range(0..BLOWS.len())]
    }

    /// Falls on a victim that follows from `draw`, never on the pod `spared`.
    ///
    /// # Errors
    /// When it fails although its victim was there all the while: such a blow would never fall.
    pub async fn fall(self, cloud: &Cloud, spared: &str, draw: u32) -> Result<Fall> {
        let chosen = |of: &[&'static str]| of[usize::try_from(draw).unwrap_or_default() % of.len()];
        let component = match self {
            Self::ProcessKilled => chosen(&MEMBERS),
            Self::PodDeleted | Self::PodForced => chosen(&[&MEMBERS[..], &PROXIES[..]].concat()),
            Self::SidecarKilled => chosen(&[&GUARDED[..], &PROXIES[..]].concat()),
            Self::HaproxyKilled => chosen(&PROXIES),
            Self::OperatorKilled | Self::OperatorForced => OPERATOR,
            Self::CutOff => "master",
            Self::Paused => chosen(&[&PAUSED[..], &PROXIES[..]].concat()),
            Self::DiskFull => "zookeeper",
            Self::Rolled => return roll(cloud, chosen(&["masters", "zookeeper"]), draw).await,
        };
        let (pods, mut there) = if component == OPERATOR {
            let pods: Api<Pod> = cloud.cluster.api(operator::NAMESPACE);
            let there = pods.list(&ListParams::default()).await?.items;
            (pods, there)
        } else {
            (cloud.pod_api(), cloud.pods(Some(component)).await?)
        };
        there.retain(|pod| pod.name_any() != spared);
        let victim = usize::try_from(draw >> 8)?.checked_rem(there.len());
        let Some(pod) = victim.map(|n| there.swap_remove(n)) else {
            return Ok(Fall::Missed(format!("no {component} is there")));
        };
        let container = match self {
            Self::SidecarKilled if PROXIES.contains(&component) => "proxy-agent",
            Self::SidecarKilled => "guard",
            _ => program(&pod)?,
        };
        let name = pod.name_any();
        match self.strike(&pods, &pod, container, draw).await {
            Ok(()) => Ok(Fall::Hit(name)),
            Err(error) if is_down(pods, &pod, container).await => Ok(Fall::Missed(error.to_string())),
            Err(error) => Err(error).context(name),
        }
    }

    async fn strike(self, pods: &Api<Pod>, pod: &Pod, container: &str, draw: u32) -> Result {
        let id = || node::container(pod, container);
        match self {
            Self::PodDeleted => delete(pods, pod, &DeleteParams::default()).await,
            Self::PodForced | Self::OperatorForced => {
                delete(pods, pod, &DeleteParams::default().grace_period(0)).await
            }
            Self::CutOff => cut_off(&id()?).await,
            Self::Paused => {
                let pause = PAUSES[usize::try_from(draw >> 16)? % PAUSES.len()];
                node::signal_container(&id()?, "SIGSTOP").await?;
                tokio::time::sleep(pause).await;
                node::signal_container(&id()?, "SIGCONT").await
            }
            Self::DiskFull => {
                let pid = node::pid(&id()?).await?;
                // What fails is the next write to its log, as on a disk without room; only its own user may do it.
                let own = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];
                let limit = ["prlimit", "--pid", &pid, FULL];
                node::run(&[&own[..], &limit[..]].concat(), "").await.map(drop)
            }
            _ => node::signal_container(&id()?, "SIGKILL").await,
        }
    }
}

async fn roll(cloud: &Cloud, component: &str, draw: u32) -> Result<Fall> {
    let env = json!([{"name": "CHAOS", "value": draw.to_string()}]);
    cloud.change(&json!({component: {"env": env}}), false).await?;
    Ok(Fall::Hit(component.to_owned()))
}

async fn delete(pods: &Api<Pod>, pod: &Pod, params: &DeleteParams) -> Result {
    pods.delete(&pod.name_any(), params).await?;
    Ok(())
}

/// Drops whatever a pod sends to ZooKeeper, for a while. Whoever has entered its network stays there, also when the
/// program that showed the way ends.
async fn cut_off(container: &str) -> Result {
    let pid = node::pid(container).await?;
    let rule = "OUTPUT -p tcp --dport 2181 -j DROP";
    let script = format!("iptables -A {rule} && sleep {CUT} && iptables -D {rule}");
    node::run(&["nsenter", "-t", &pid, "-n", "sh", "-c", &script], "").await?;
    Ok(())
}

/// Name of the container that is no sidecar.
fn program(pod: &Pod) -> Result<&str> {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    Ok(&container.context(pod.name_any())?.name)
}

/// Whether the victim of a blow that failed did not run, or is gone or has another life by now.
async fn is_down(pods: Api<Pod>, victim: &Pod, container: &str) -> bool {
    let (name, life) = (victim.name_any(), Life::of(victim));
    let down = until(pods, &name, "is down", REPORTED, |pod| {
        let same = pod.is_some_and(|pod| Life::of(pod) == life && runs(pod, container));
        (!same).then_some(())
    });
    !runs(victim, container) || down.await.is_ok()
}

fn runs(pod: &Pod, container: &str) -> bool {
    let mut statuses = container_statuses(pod).filter(|status| status.name == container);
    statuses.any(|status| status.state.as_ref().is_some_and(|state| state.running.is_some()))
}

/// Takes back what the blows have changed in the spec.
pub async fn make_good(cloud: &Cloud) -> Result {
    let sample = json!({"masters": {"env": null}, "zookeeper": {"env": null}});
    cloud.change(&sample, false).await?;
    cloud.settled().await?;
    Ok(())
}
