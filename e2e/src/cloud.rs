//! One MesosCloud and what belongs to it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt};
use mesoscloud_crds::MesosCloud;
use mesoscloud_crds::status::{Endpoint, MesosCloudStatus};
use serde_json::{Value, json};

use crate::cluster::{gone_is_fine, until};
use crate::{Cluster, Context as _, Error, Result, node, objects};

/// Time for a whole cloud to get ready, also on a machine that is busy.
pub const READY: Duration = Duration::from_secs(300);
/// Time for a trouble to show in a condition.
pub const NOTICED: Duration = Duration::from_secs(120);

/// One MesosCloud, which may or may not exist.
#[derive(Clone)]
pub struct Cloud {
    /// Where it is.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Which process of a pod is meant: an unchanged life is an undisturbed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// UID of the pod.
    pub uid: String,
    /// Restarts of all its containers.
    pub restarts: i32,
}

/// The lives of pods, by the pods' names.
pub type Lives = BTreeMap<String, Life>;

/// The names of the pods of which not the same is there, or nothing at all.
pub fn touched(before: &Lives, now: &Lives) -> Vec<String> {
    let other = before.iter().filter(|(name, life)| now.get(*name) != Some(*life));
    other.map(|(name, _)| name.clone()).collect()
}

/// The lives of the pods of all components but one.
pub fn without(mut lives: Lives, component: &str) -> Lives {
    lives.retain(|name, _| !name.contains(&format!("-{component}-")));
    lives
}

impl Life {
    /// That of a pod as it is now.
    pub fn of(pod: &Pod) -> Self {
        Self {
            uid: pod.uid().unwrap_or_default(),
            restarts: container_statuses(pod).map(|c| c.restart_count).sum(),
        }
    }
}

impl Cloud {
    /// The cloud of this name.
    pub fn new(cluster: &Cluster, namespace: &str, name: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The MesosClouds of its namespace.
    pub fn api(&self) -> Api<MesosCloud> {
        self.cluster.api(&self.namespace)
    }

    /// The pods of its namespace.
    pub fn pod_api(&self) -> Api<Pod> {
        self.cluster.api(&self.namespace)
    }

    /// Creates it. With `dry_run` the API server only says what it thinks of it.
    pub async fn create(&self, spec: &Value, dry_run: bool) -> Result<(), kube::Error> {
        let params = PostParams {
            dry_run,
            ..PostParams::default()
        };
        let object = json!({
            "apiVersion": "mesoscloud.io/v1alpha1", "kind": "MesosCloud",
            "metadata": {"name": self.name, "namespace": self.namespace}, "spec": spec
        });
        // As plain JSON: what the types cannot express must reach the API server too.
        let path = format!("/apis/mesoscloud.io/v1alpha1/namespaces/{}", self.namespace);
        let body = serde_json::to_vec(&object).map_err(kube::Error::SerdeError)?;
        let request = kube::core::Request::new(format!("{path}/mesosclouds"))
            .create(&params, body)
            .map_err(kube::Error::BuildRequest)?;
        self.cluster.client.request::<Value>(request).await.map(drop)
    }

    /// Changes its spec by merge patch. With `dry_run` the API server only says what it thinks of it.
    pub async fn change(&self, spec: &Value, dry_run: bool) -> Result<(), kube::Error> {
        let params = PatchParams {
            dry_run,
            ..PatchParams::default()
        };
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api().patch(&self.name, &params, &patch).await.map(drop)
    }

    /// Its status as it is now.
    pub async fn status(&self) -> Result<MesosCloudStatus> {
        let object = self.api().get(&self.name).await?;
        object.status.context("the cloud has no status")
    }

    /// Waits until its current spec is judged and `wanted` finds in its status what it looks for.
    pub async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut wanted: impl FnMut(&MesosCloudStatus) -> Option<T>,
    ) -> Result<T> {
        until(self.api(), &self.name, what, patience, |cloud| {
            let cloud = cloud?;
            let status = cloud.status.as_ref()?;
            let current = status.observed_generation == cloud.metadata.generation;
            current.then(|| wanted(status)).flatten()
        })
        .await
    }

    /// Waits for a condition of this type, status and reason; returns it.
    pub async fn condition(&self, type_: &str, status: &str, reason: &str) -> Result<Condition> {
        let what = format!("has condition {type_}={status} ({reason})");
        self.until(&what, NOTICED, |s| {
            let mut conditions = s.conditions.iter();
            conditions
                .find(|c| c.type_ == type_ && c.status == status && c.reason == reason)
                .cloned()
        })
        .await
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) -> Result<MesosCloudStatus> {
        self.until("is Ready", READY, |status| {
            is_ready(status).then(|| status.clone())
        })
        .await
    }

    /// Waits until it says that it is ready and all its pods are there and are ready: right after a blow, the
    /// status alone may still tell of the time before.
    pub async fn settled(&self) -> Result<MesosCloudStatus> {
        let status = self.ready().await?;
        let parts = [
            &status.zookeeper,
            &status.masters,
            &status.marathon,
            &status.slaves,
            &status.proxies,
        ];
        let pods = parts
            .iter()
            .map(|p| usize::try_from(p.desired).unwrap_or_default());
        self.pods_ready(pods.sum()).await?;
        self.ready().await
    }

    /// Waits, by watch, until it has so many pods, all of them ready.
    pub async fn pods_ready(&self, count: usize) -> Result {
        let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
        let config = watcher::Config::default().labels(&self.selector());
        let waiting = async {
            let mut events = pin!(watcher(self.pod_api(), config).default_backoff());
            let mut complete = false;
            loop {
                match events.try_next().await {
                    Ok(Some(watcher::Event::Init)) => {
                        pods.clear();
                        complete = false;
                    }
                    Ok(Some(watcher::Event::InitDone)) => complete = true,
                    Ok(Some(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) => {
                        pods.insert(pod.name_any(), pod);
                    }
                    Ok(Some(watcher::Event::Delete(pod))) => {
                        pods.remove(&pod.name_any());
                    }
                    Ok(None) | Err(_) => {}
                }
                if complete && pods.len() == count && pods.values().all(is_pod_ready) {
                    return;
                }
            }
        };
        if tokio::time::timeout(READY, waiting).await.is_ok() {
            return Ok(());
        }
        let lacking: Vec<_> = pods
            .values()
            .filter(|p| !is_pod_ready(p))
            .map(ResourceExt::name_any)
            .collect();
        Err(Error::new(format!(
            "{}/{}: within {READY:?} not {count} ready pods; there are {}, not ready: {lacking:?}",
            self.namespace,
            self.name,
            pods.len()
        )))
    }

    /// Its pods, or those of one component.
    pub async fn pods(&self, component: Option<&str>) -> Result<Vec<Pod>> {
        let mut selector = self.selector();
        if let Some(component) = component {
            selector = format!("{selector},app.kubernetes.io/component={component}");
        }
        let list = self
            .pod_api()
            .list(&ListParams::default().labels(&selector))
            .await?;
        Ok(list.items)
    }

    /// The lives of its pods, by name.
    pub async fn lives(&self) -> Result<Lives> {
        let pods = self.pods(None).await?;
        Ok(pods.iter().map(|pod| (pod.name_any(), Life::of(pod))).collect())
    }

    /// Waits, by watch, until a pod has another life than this one, and serves. Right after a blow its status tells of
    /// the time before.
    pub async fn reborn(&self, name: &str, before: &Life) -> Result {
        until(self.pod_api(), name, "is back", READY, |pod| {
            let pod = pod?;
            (Life::of(pod) != *before && is_pod_ready(pod)).then_some(())
        })
        .await
    }

    /// The ZooKeeper member that leads, by its own words.
    ///
    /// # Errors
    /// When none does.
    pub async fn leading_zookeeper(&self) -> Result<Pod> {
        for member in self.pods(Some("zookeeper")).await? {
            let said = node::talk(&pod_address(&member)?, 2181, "srvr").await?;
            if said.lines().any(|line| line == "Mode: leader") {
                return Ok(member);
            }
        }
        Err(Error::new("no ZooKeeper leads"))
    }

    /// Deletes one of its pods; with `at_once`, without time to end in order.
    pub async fn delete_pod(&self, name: &str, at_once: bool) -> Result {
        let params = DeleteParams {
            grace_period_seconds: at_once.then_some(0),
            ..DeleteParams::default()
        };
        self.pod_api().delete(name, &params).await.context(name)?;
        Ok(())
    }

    /// What a container of one of its pods has logged.
    pub async fn log(&self, pod: &str, container: &str) -> Result<String> {
        self.read_log(pod, container, false).await
    }

    /// The same, each line after the time at which it came.
    pub async fn timed_log(&self, pod: &str, container: &str) -> Result<String> {
        self.read_log(pod, container, true).await
    }

    async fn read_log(&self, pod: &str, container: &str, timestamps: bool) -> Result<String> {
        let params = LogParams {
            container: Some(container.to_owned()),
            timestamps,
            ..LogParams::default()
        };
        Ok(self.pod_api().logs(pod, &params).await?)
    }

    /// Deletes it and waits until nothing of it is left but its disks, if they are kept.
    pub async fn delete(&self) -> Result {
        gone_is_fine(self.api().delete(&self.name, &DeleteParams::default()).await)?;
        until(self.api(), &self.name, "is gone", NOTICED, |cloud| {
            cloud.is_none().then_some(())
        })
        .await?;
        self.pods_ready(0).await
    }

    /// Selects everything of it.
    pub fn selector(&self) -> String {
        format!(
            "app.kubernetes.io/managed-by=mesoscloud-operator,app.kubernetes.io/instance={}",
            self.name
        )
    }

    /// Everything the operator made for it.
    pub async fn objects(&self) -> Result<Vec<objects::Object>> {
        objects::owned(&self.cluster, self).await
    }
}

/// A cloud with one member of everything, at ports of the node where the sample's slaves are not, changed by a
/// merge patch.
pub fn small(changes: Value) -> Value {
    // The node has the sample cloud to run as well.
    let little = json!({"requests": {"cpu": "1m", "memory": "32Mi"}});
    let mut spec = json!({
        "zookeeper": {"replicas": 1, "storage": {"reclaim": "Delete"}, "resources": little},
        "masters": {"replicas": 1, "storage": {"reclaim": "Delete"}, "resources": little},
        "marathon": {"replicas": 1, "resources": little},
        "slaves": {"perNode": 1, "basePort": 5061, "taskPorts": {"begin": 32100, "end": 32199}, "resources": little},
        "proxies": {"resources": little},
    });
    merge(&mut spec, changes);
    spec
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value,
    }
}

/// Whether a status says Ready.
pub fn is_ready(status: &MesosCloudStatus) -> bool {
    status
        .conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// Whether a pod serves, and is to go on.
pub fn is_pod_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// The states of all containers of a pod.
pub fn container_statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let init = status.and_then(|s| s.init_container_statuses.as_ref());
    let main = status.and_then(|s| s.container_statuses.as_ref());
    init.into_iter().chain(main).flatten()
}

/// Address of a pod.
pub fn pod_address(pod: &Pod) -> Result<String> {
    let address = pod.status.as_ref().and_then(|s| s.pod_ip.clone());
    address.context(format!("{} has no address", pod.name_any()))
}

/// The line of the address table with this name.
pub fn endpoint<'a>(status: &'a MesosCloudStatus, name: &str) -> Result<&'a Endpoint> {
    let mut lines = status.endpoints.iter();
    lines
        .find(|e| e.name == name)
        .context(format!("no endpoint {name}"))
}
