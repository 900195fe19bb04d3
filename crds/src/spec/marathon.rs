//! `spec.marathon`.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::common::{PodSettings, resources};

/// Marathon, the scheduler that keeps apps running.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Marathon {
    /// Marathons, of which one leads and the others stand by.
    #[serde(default = "replicas")]
    #[schemars(range(max = 9))]
    #[x_kube(validation = Rule::new("self >= 1").message("marathon.replicas must be at least 1"))]
    pub replicas: i32,
    /// Image with Marathon, configured by `MARATHON_*` variables.
    #[serde(default = "image")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// CPU and memory of each Marathon. Half of the memory limit becomes the Java heap.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,
    /// Where in ZooKeeper Marathon keeps its apps and elects its leader. It cannot change.
    #[serde(default = "zk_path")]
    #[schemars(length(min = 2, max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$')").message(
            "marathon.zkPath must be an absolute ZooKeeper path such as /marathon/my_marathon: \
             it starts with '/', is not '/' itself and does not end in '/'"
        ),
        validation = Rule::new("self != '/zookeeper' && !self.startsWith('/zookeeper/')")
            .message("marathon.zkPath must not lie in /zookeeper, which belongs to ZooKeeper itself"),
        validation = Rule::new("self == oldSelf")
            .message("marathon.zkPath cannot change: Marathon would forget its apps")
    )]
    pub zk_path: String,
    /// How the pods are run.
    #[serde(flatten)]
    pub pod: PodSettings,
}

impl Default for Marathon {
    fn default() -> Self {
        Self {
            replicas: replicas(),
            image: image(),
            resources: default_resources(),
            zk_path: zk_path(),
            pod: PodSettings::default(),
        }
    }
}

fn replicas() -> i32 {
    2
}

fn image() -> String {
    "mesoscloud/marathon:1.1.1-centos-7".to_owned()
}

fn default_resources() -> ResourceRequirements {
    resources("50m", "384Mi", "1Gi")
}

fn zk_path() -> String {
    "/marathon/my_marathon".to_owned()
}
