//! The operator's hand: what it deleted, seen in the API server's audit log, and which members served meanwhile.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::runtime::{WatchStreamExt as _, watcher};
use mesoscloud_e2e::cloud::is_pod_ready;
use mesoscloud_e2e::operator::Audit;
use mesoscloud_e2e::{Cloud, Context as _, Error, Result};
use tokio::task::JoinSet;

/// How much later than the operator this watch may see a pod.
const LATE: Duration = Duration::from_secs(1);

/// When each pod, by name and UID, was first seen to serve.
type Served = Arc<Mutex<BTreeMap<(String, String), Timestamp>>>;

/// Watches until it is asked.
pub struct Hand {
    audit: Audit,
    served: Served,
    /// Ends its task when it is dropped.
    _task: JoinSet<()>,
}

impl Hand {
    /// Watches the pods of a cloud from now on.
    pub async fn watch(cloud: &Cloud) -> Result<Self> {
        let served = Served::default();
        let config = watcher::Config::default().labels(&cloud.selector());
        let (pods, seen) = (cloud.pod_api(), served.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut pods = pin!(watcher(pods, config).default_backoff().applied_objects());
            while let Some(pod) = pods.next().await {
                if let Ok(pod) = pod {
                    note(&seen, &pod);
                }
            }
        });
        Ok(Self {
            audit: Audit::now().await?,
            served,
            _task: task,
        })
    }

    /// Checks that whenever the operator deleted a member, whatever it had deleted of the same component before was
    /// back and served.
    pub async fn never_two_at_once(&self) -> Result {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut last: BTreeMap<String, (String, Timestamp)> = BTreeMap::new();
        let mut deleted = 0;
        for request in self.audit.requests().await? {
            let Some(pod) = request
                .uri
                .split("/pods/")
                .nth(1)
                .filter(|_| request.verb == "delete")
            else {
                continue;
            };
            let (pod, at) = (pod.split('?').next().unwrap_or(pod), request.at);
            let (component, _) = pod.rsplit_once('-').context(pod)?;
            deleted += 1;
            if let Some((former, since)) = last.insert(component.to_owned(), (pod.to_owned(), at)) {
                let back = |(name, when): (&String, &Timestamp)| {
                    *name == former && *when > since && *when <= at + LATE
                };
                let mut all = served.iter().map(|((name, _), when)| (name, when));
                if former != pod && !all.any(back) {
                    return Err(Error::new(format!(
                        "the operator deleted {pod} at {at}, and {former}, deleted at {since}, was not back: {served:#?}"
                    )));
                }
            }
        }
        println!("the operator deleted {deleted} pods, each when the one before it was back");
        Ok(())
    }
}

fn note(served: &Served, pod: &Pod) {
    if is_pod_ready(pod) {
        let key = (pod.name_any(), pod.uid().unwrap_or_default());
        let mut served = served.lock().unwrap_or_else(PoisonError::into_inner);
        served.entry(key).or_insert_with(Timestamp::now);
    }
}
