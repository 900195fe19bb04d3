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

/// What was seen of a pod.
#[derive(Clone, Debug)]
struct Sight {
    when: Timestamp,
    pod: String,
    uid: Option<String>,
    /// Whether it served.
    ready: bool,
}

type Seen = Arc<Mutex<Vec<Sight>>>;

/// A pod that the operator deleted.
struct Deleted {
    pod: String,
    uid: Option<String>,
    at: Timestamp,
}

impl Deleted {
    /// Whether a successor of it served before `then`; what is heard late of itself does not count.
    fn was_back(&self, seen: &[Sight], then: Timestamp) -> bool {
        let mut later = seen.iter().filter(|s| s.when > self.at && s.when <= then);
        later.any(|s| s.ready && s.pod == self.pod && s.uid != self.uid)
    }
}

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
    /// before was back and served. `rolled`: something has changed that it must have deleted members for.
    pub async fn never_two_at_once(&self, rolled: bool) -> Result {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut last: BTreeMap<String, Deleted> = BTreeMap::new();
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
            let before = seen.iter().rev().find(|s| s.when < at && s.pod == pod);
            // Of one that does not serve anyway nothing is lost.
            if before.is_some_and(|s| s.ready) {
                served += 1;
                if let Some(former) = last.get(component)
                    && former.pod != pod
                    && !former.was_back(&seen, at + LATE)
                {
                    let (former, since) = (&former.pod, former.at);
                    return Err(Error::new(format!(
                        "the operator deleted {pod} at {at}, and {former}, deleted at {since}, was not back: {seen:#?}"
                    )));
                }
            }
            let deleted = Deleted {
                pod: pod.to_owned(),
                uid: before.and_then(|s| s.uid.clone()),
                at,
            };
            last.insert(component.to_owned(), deleted);
        }
        if rolled && deleted == 0 {
            return Err(Error::new(
                "a change was rolled out, but the audit log tells of no deleted pod",
            ));
        }
        println!(
            "the operator deleted {deleted} pods; of those {served} served, each when the one before was back"
        );
        Ok(())
    }
}

fn note(seen: &Seen, pod: &Pod) {
    let sight = Sight {
        when: Timestamp::now(),
        pod: pod.name_any(),
        uid: pod.uid(),
        ready: is_pod_ready(pod),
    };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(sight);
}
