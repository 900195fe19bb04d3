//! The operator: how many of it run, and what it asks of the API server.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cloud::is_pod_ready;
use crate::cluster::{gone_is_fine, until};
use crate::marathon::eventually;
use crate::{Cloud, Cluster, Context as _, Error, Result, node};

/// Its namespace.
pub const NAMESPACE: &str = "mesoscloud-system";
/// Its Deployment.
pub const NAME: &str = "mesoscloud-operator";
const SELECTOR: &str = "app.kubernetes.io/name=mesoscloud-operator";
const AUDIT_LOG: &str = "/var/log/kubernetes/audit.log";
const PATIENCE: Duration = Duration::from_secs(90);

/// Has so many operators run, and waits until they do.
pub async fn scale(cluster: &Cluster, replicas: i32) -> Result {
    change(cluster, json!({"spec": {"replicas": replicas}})).await?;
    // The Deployment no longer counts a pod that is still ending.
    if replicas == 0 {
        let pods: Api<Pod> = cluster.api(NAMESPACE);
        for pod in pods.list(&ListParams::default().labels(SELECTOR)).await? {
            let (name, uid) = (pod.name_any(), pod.uid().context("a pod has a UID")?);
            let gone = await_condition(pods.clone(), &name, conditions::is_deleted(&uid));
            timeout(PATIENCE, gone).await.context("the operator goes")??;
        }
    }
    Ok(())
}

/// Ends it, and has another begin, which knows nothing.
pub async fn restart(cluster: &Cluster) -> Result {
    scale(cluster, 0).await?;
    scale(cluster, 1).await
}

/// Kills it, wherever it is in its work, and waits until another has begun, which knows nothing.
pub async fn kill(cluster: &Cluster) -> Result {
    let doomed = pod(cluster).await?;
    node::signal(&doomed, "SIGKILL").await?;
    // In a new pod, for the kubelet starts one that is killed several times later and later.
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    let at_once = DeleteParams::default().grace_period(0);
    gone_is_fine(pods.delete(&doomed.name_any(), &at_once).await)?;
    eventually("another operator serves", async || {
        let list = pods.list(&ListParams::default().labels(SELECTOR)).await?;
        let serves = list
            .iter()
            .any(|pod| pod.uid() != doomed.uid() && is_pod_ready(pod));
        Ok(serves.then_some(()).ok_or_else(|| "none is ready".to_owned()))
    })
    .await
}

/// How often it has logged these words of this pod.
pub async fn told(cluster: &Cluster, words: &str, of: &str) -> Result<usize> {
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    let log = pods
        .logs(&pod(cluster).await?.name_any(), &LogParams::default())
        .await?;
    let told = log
        .lines()
        .filter(|line| line.contains(words) && line.contains(of));
    Ok(told.count())
}

/// The image that its Deployment has it run.
pub async fn image(cluster: &Cluster) -> Result<String> {
    let deployment = cluster.api::<Deployment>(NAMESPACE).get(NAME).await?;
    let template = deployment.spec.and_then(|s| s.template.spec);
    let container = template.and_then(|t| t.containers.into_iter().next());
    container
        .and_then(|c| c.image)
        .context("the operator has no image")
}

/// Has it run another image, and waits until it does.
pub async fn set_image(cluster: &Cluster, image: &str) -> Result {
    let containers = json!([{"name": "operator", "image": image}]);
    change(
        cluster,
        json!({"spec": {"template": {"spec": {"containers": containers}}}}),
    )
    .await
}

/// Changes its Deployment, and waits until that is carried out.
async fn change(cluster: &Cluster, patch: Value) -> Result {
    let deployments: Api<Deployment> = cluster.api(NAMESPACE);
    deployments
        .patch(NAME, &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .context("is the operator installed? `make up` does it")?;
    until(deployments, NAME, "is rolled out", PATIENCE, |deployment| {
        let deployment = deployment?;
        let status = deployment.status.as_ref()?;
        let wanted = deployment.spec.as_ref()?.replicas;
        let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
        let current = status.observed_generation == deployment.metadata.generation;
        let all = counts
            .iter()
            .all(|n| n.unwrap_or_default() == wanted.unwrap_or_default());
        (current && all).then_some(())
    })
    .await
}

/// The pod of the operator.
pub async fn pod(cluster: &Cluster) -> Result<Pod> {
    let pods: Api<Pod> = cluster.api(NAMESPACE);
    let list = pods.list(&ListParams::default().labels(SELECTOR)).await?;
    match <[Pod; 1]>::try_from(list.items) {
        Ok([pod]) => Ok(pod),
        Err(pods) => Err(Error::new(format!("{} operators instead of one", pods.len()))),
    }
}

/// Waits until the operator has mended something of the cloud: it works, and has looked at it.
pub async fn mends(cloud: &Cloud) -> Result {
    let objects = cloud.objects().await?;
    let role = objects
        .iter()
        .find(|o| o.kind.kind == "Role")
        .context("the cloud has no Role")?;
    role.delete_and_await_successor().await?;
    Ok(())
}

/// One request of the operator, from the API server's audit log.
#[derive(Clone, Debug)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `patch` and so on.
    pub verb: String,
    /// What it was about.
    pub uri: String,
    /// When it came.
    pub at: Timestamp,
}

impl Request {
    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// The end of the audit log, from which later requests are read.
pub struct Audit {
    length: u64,
}

impl Audit {
    /// The log as it is now.
    pub async fn now() -> Result<Self> {
        let length = node::run(&["stat", "-c", "%s", AUDIT_LOG], "").await?;
        Ok(Self {
            length: length.trim().parse()?,
        })
    }

    /// What the operator has asked since.
    pub async fn requests(&self) -> Result<Vec<Request>> {
        let from = format!("+{}", self.length + 1);
        let log = node::run(&["tail", "-c", &from, AUDIT_LOG], "").await?;
        let requests = log.lines().map(|line| {
            let event: Value = serde_json::from_str(line).context(line)?;
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            Ok(Request {
                verb: text("verb"),
                uri: text("requestURI"),
                at: text("requestReceivedTimestamp").parse().context(line)?,
            })
        });
        requests.collect()
    }
}
