//! `spec.zookeeper`.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::common::{PodSettings, Storage, resources};

/// The ZooKeeper ensemble.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self.maxSessionTimeout >= 2 * self.tickTime").message(
        "zookeeper.maxSessionTimeout must be at least twice tickTime, the shortest session ZooKeeper grants"
    )
)]
pub struct ZooKeeper {
    /// Members of the ensemble; odd, since an even one survives no more failures than the next smaller.
    #[serde(default = "replicas")]
    #[schemars(range(max = 9))]
    #[x_kube(
        validation = Rule::new("self >= 1").message("zookeeper.replicas must be at least 1"),
        validation = Rule::new("self % 2 == 1").message(
            "zookeeper.replicas must be odd (1, 3, 5 ...): one more member makes the quorum larger, not safer"
        ),
        validation = Rule::new("(self == 1) == (oldSelf == 1)").message(
            "zookeeper.replicas cannot change between 1 and more: a single server keeps no quorum, \
             and new members could elect themselves without its data"
        )
    )]
    pub replicas: i32,
    /// Image with `zkServer.sh` on its PATH (mesoscloud's, the official one, or Debian's package).
    #[serde(default = "image")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// CPU and memory of each member. Half of the memory limit becomes the Java heap.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,
    /// The disk of each member.
    #[serde(default)]
    pub storage: Storage,
    /// ZooKeeper's heartbeat in milliseconds. A dead session is noticed with this granularity.
    #[serde(default = "tick_time")]
    #[schemars(range(min = 200, max = 10000))]
    pub tick_time: i32,
    /// Longest session ZooKeeper grants, in milliseconds. Mesos 0.28.1 always asks for 10 s, so this is what
    /// decides how long a leader that vanished without a trace stays leader.
    #[serde(default = "max_session_timeout")]
    #[schemars(range(min = 1000, max = 60000))]
    pub max_session_timeout: i32,
    /// How the pods are run.
    #[serde(flatten)]
    pub pod: PodSettings,
}

impl Default for ZooKeeper {
    fn default() -> Self {
        Self {
            replicas: replicas(),
            image: image(),
            resources: default_resources(),
            storage: Storage::default(),
            tick_time: tick_time(),
            max_session_timeout: max_session_timeout(),
            pod: PodSettings::default(),
        }
    }
}

fn replicas() -> i32 {
    3
}

fn image() -> String {
    "mesoscloud/zookeeper:3.4.8-centos-7".to_owned()
}

fn default_resources() -> ResourceRequirements {
    resources("75m", "192Mi", "512Mi")
}

fn tick_time() -> i32 {
    500
}

fn max_session_timeout() -> i32 {
    4000
}
