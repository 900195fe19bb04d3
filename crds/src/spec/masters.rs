//! `spec.masters`.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::common::{PodSettings, Storage, resources};

/// The Mesos masters.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Masters {
    /// Masters, of which one leads. Odd: with an even number the replicated log never initialises.
    #[serde(default = "replicas")]
    #[schemars(range(max = 9))]
    #[x_kube(
        validation = Rule::new("self >= 1").message("masters.replicas must be at least 1"),
        validation = Rule::new("self % 2 == 1").message(
            "masters.replicas must be odd (1, 3, 5 ...): \
             the masters' replicated log never initialises with an even number"
        ),
        validation = Rule::new("(self == 1) == (oldSelf == 1)").message(
            "masters.replicas cannot change between 1 and more: it would need the replicated log wiped"
        )
    )]
    pub replicas: i32,
    /// Image with Mesos' master, configured by `MESOS_*` variables.
    #[serde(default = "image")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// CPU and memory of each master.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,
    /// The disk of each master, which holds its replica of the registry.
    #[serde(default)]
    pub storage: Storage,
    /// Where in ZooKeeper the masters elect their leader. It is the cloud's identity and cannot change.
    #[serde(default = "zk_path")]
    #[schemars(length(min = 2, max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$')").message(
            "masters.zkPath must be an absolute ZooKeeper path such as /mesos/my_mesos: \
             it starts with '/', is not '/' itself and does not end in '/'"
        ),
        validation = Rule::new("self != '/zookeeper' && !self.startsWith('/zookeeper/')")
            .message("masters.zkPath must not lie in /zookeeper, which belongs to ZooKeeper itself"),
        validation = Rule::new("self == oldSelf")
            .message("masters.zkPath cannot change: slaves and frameworks would lose their master")
    )]
    pub zk_path: String,
    /// Whether a guard beside each master withdraws its candidacy when it dies, so that the next leader is
    /// elected within milliseconds. Without it, when its session in ZooKeeper ends.
    #[serde(default = "guard")]
    pub guard: bool,
    /// How the pods are run.
    #[serde(flatten)]
    pub pod: PodSettings,
}

impl Default for Masters {
    fn default() -> Self {
        Self {
            replicas: replicas(),
            image: image(),
            resources: default_resources(),
            storage: Storage::default(),
            zk_path: zk_path(),
            guard: guard(),
            pod: PodSettings::default(),
        }
    }
}

fn replicas() -> i32 {
    3
}

fn image() -> String {
    "mesoscloud/mesos-master:0.28.1-centos-7".to_owned()
}

fn default_resources() -> ResourceRequirements {
    resources("100m", "64Mi", "1Gi")
}

fn zk_path() -> String {
    "/mesos/my_mesos".to_owned()
}

fn guard() -> bool {
    true
}
