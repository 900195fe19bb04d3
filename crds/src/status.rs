//! What the operator reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The state of a cloud as the operator last saw it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MesosCloudStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reconciling` and `Stalled` for the whole, and one condition for each component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Who leads.
    #[serde(default)]
    pub leaders: Leaders,
    /// The ZooKeeper members.
    #[serde(default)]
    pub zookeeper: Members,
    /// The masters.
    #[serde(default)]
    pub masters: Members,
    /// The Marathons.
    #[serde(default)]
    pub marathon: Members,
    /// The slaves.
    #[serde(default)]
    pub slaves: Members,
    /// The proxies' pods.
    #[serde(default)]
    pub proxies: Members,
    /// The address table of the cloud: where each member and each proxy answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

/// Who leads, by name of the member; absent while nobody does.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leaders {
    /// The leading Mesos master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesos: Option<Leader>,
    /// The leading Marathon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marathon: Option<Leader>,
    /// The leading ZooKeeper member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zookeeper: Option<Leader>,
}

/// One leader.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leader {
    /// Name of its pod.
    pub name: String,
    /// Where it answers, as `host:port`.
    pub address: String,
}

/// How many members of a component there should be and are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// Members that should run.
    pub desired: i32,
    /// Members that serve.
    pub ready: i32,
    /// Members that run the current spec.
    pub updated: i32,
    /// `ready/desired`, for `kubectl get`.
    pub summary: String,
}

/// One line of the address table.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Name of the member, which is also the name of its Service or pod.
    pub name: String,
    /// What it is: `zookeeper`, `master`, `marathon`, `slave`, `mesos-proxy`, `marathon-proxy`, `zk-proxy`.
    pub component: String,
    /// IP address.
    pub address: String,
    /// TCP port.
    pub port: i32,
    /// Port of every node that leads to it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_port: Option<i32>,
}
