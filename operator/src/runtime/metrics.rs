//! What the operator counts, for Prometheus.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use kube::ResourceExt as _;
use mesoscloud_crds::{MesosCloud, MesosCloudStatus};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The operator's metrics. Labels are bounded: clouds, three elections, five steps.
pub struct Metrics {
    registry: Registry,
    passes: Counter,
    failures: Family<Step, Counter>,
    durations: Histogram,
    leader_changes: Family<Election, Counter>,
    ready: Family<Cloud, Gauge>,
    /// Serialises a cloud's removal with its observation.
    clouds: Mutex<()>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cloud {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Election {
    namespace: String,
    name: String,
    election: &'static str,
}

const ELECTIONS: [&str; 3] = ["mesos", "marathon", "zookeeper"];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("mesoscloud");
        let passes = Counter::default();
        registry.register("reconcile", "Passes over a cloud", passes.clone());
        let failures = Family::default();
        registry.register(
            "reconcile_failures",
            "Passes that failed, by the step they failed in",
            failures.clone(),
        );
        let durations = Histogram::new(exponential_buckets(0.001, 2.0, 15));
        registry.register_with_unit(
            "reconcile_duration",
            "Time a pass takes",
            Unit::Seconds,
            durations.clone(),
        );
        let leader_changes = Family::default();
        registry.register(
            "leader_changes",
            "Times that somebody else was seen to lead",
            leader_changes.clone(),
        );
        let ready = Family::default();
        registry.register(
            "cloud_ready",
            "Whether a cloud is ready (1) or not (0)",
            ready.clone(),
        );
        Self {
            registry,
            passes,
            failures,
            durations,
            leader_changes,
            ready,
            clouds: Mutex::default(),
        }
    }
}

impl Metrics {
    /// A pass ended after `duration`, in `failed_step` if it failed.
    pub fn observe_pass(&self, duration: Duration, failed_step: Option<&'static str>) {
        self.passes.inc();
        self.durations.observe(duration.as_secs_f64());
        if let Some(step) = failed_step {
            self.failures.get_or_create(&Step { step }).inc();
        }
    }

    /// A cloud, as it was, now has this status.
    pub fn observe_status(&self, cloud: &MesosCloud, now: &MesosCloudStatus) {
        let _guard = self.clouds.lock().unwrap_or_else(PoisonError::into_inner);
        let (namespace, name) = (cloud.namespace().unwrap_or_default(), cloud.name_any());
        let before = cloud.status.as_ref().map(|s| &s.leaders);
        let leaders = [
            (before.and_then(|b| b.mesos.as_ref()), now.leaders.mesos.as_ref()),
            (
                before.and_then(|b| b.marathon.as_ref()),
                now.leaders.marathon.as_ref(),
            ),
            (
                before.and_then(|b| b.zookeeper.as_ref()),
                now.leaders.zookeeper.as_ref(),
            ),
        ];
        for (election, (before, now)) in ELECTIONS.into_iter().zip(leaders) {
            let label = Election {
                namespace: namespace.clone(),
                name: name.clone(),
                election,
            };
            let changes = self.leader_changes.get_or_create(&label);
            if now.is_some() && before.map(|l| &l.name) != now.map(|l| &l.name) {
                changes.inc();
            }
        }
        let is_ready = now
            .conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        self.ready
            .get_or_create(&Cloud { namespace, name })
            .set(i64::from(is_ready));
    }

    /// A cloud is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        let _guard = self.clouds.lock().unwrap_or_else(PoisonError::into_inner);
        self.ready.remove(&Cloud {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        });
        for election in ELECTIONS {
            self.leader_changes.remove(&Election {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                election,
            });
        }
    }

    /// Everything, as Prometheus reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
