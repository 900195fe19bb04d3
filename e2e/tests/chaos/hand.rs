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

/// What was seen of pods: when, of which, and whether it served.
type Seen = Arc<Mutex<Vec<(Timestamp, String, bool)>>>;

/// Watches until it is asked.
pub struct Hand {
    audit: Audit,
    seen: Seen,
    /// Ends its task when it is dropped.
    _task: JoinSet<()>,
}

impl Hand {
    /// Watches the pods of a cloud from now on.
    pub async fn watch(cloud: &Cloud) -> Result<Self> {
        let seen = Seen::default();
        let config = watcher::Config::default().labels(&cloud.selector());
        let (pods, noted) = (cloud.pod_api(), seen.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut pods = pin!(watcher(pods, config).default_backoff().applied_objects());
            while let Some(pod) = pods.next().await {
                if let Ok(pod) = pod {
                    note(&noted, &pod);
                }
            }
        });
        Ok(Self {
            audit: Audit::now().await?,
            seen,
            _task: task,
        })
    }

    /// Checks that whenever the operator deleted a member that served, whatever it had deleted of the same component
    /// before was back and served.
    pub async fn never_two_at_once(&self) -> Result {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut last: BTreeMap<String, (String, Timestamp)> = BTreeMap::new();
        let (mut deleted, mut served) = (0, 0);
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
            let before = seen
                .iter()
                .rev()
                .find(|(when, name, _)| *when < at && name == pod);
            // Of one that does not serve anyway nothing is lost.
            if before.is_some_and(|(_, _, ready)| *ready) {
                served += 1;
                if let Some((former, since)) = last.get(component)
                    && former != pod
                    && !seen.iter().any(|(when, name, ready)| {
                        *ready && name == former && when > since && *when <= at + LATE
                    })
                {
                    return Err(Error::new(format!(
                        "the operator deleted {pod} at {at}, and {former}, deleted at {since}, was not back: {seen:#?}"
                    )));
                }
            }
            last.insert(component.to_owned(), (pod.to_owned(), at));
        }
        println!(
            "the operator deleted {deleted} pods; of those {served} served, each when the one before was back"
        );
        Ok(())
    }
}

fn note(seen: &Seen, pod: &Pod) {
    let entry = (Timestamp::now(), pod.name_any(), is_pod_ready(pod));
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
}
