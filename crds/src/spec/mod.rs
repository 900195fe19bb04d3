//! What a person writes: one block per component of the cloud.

mod common;
mod marathon;
mod masters;
mod proxies;
mod slaves;
mod zookeeper;

pub use common::{ImagePullPolicy, PodSettings, Reclaim, Storage};
pub use marathon::Marathon;
pub use masters::Masters;
pub use proxies::{Proxies, ProxyNodePorts, ProxyPorts, ProxyService, ServiceType};
pub use slaves::{Containerizer, HostMount, PortRange, Slaves};
pub use zookeeper::ZooKeeper;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::status::MesosCloudStatus;

/// Longest allowed cloud name, in characters. The longest derived name is the StatefulSet `<name>-marathon`,
/// whose revision label `<name>-marathon-<10 characters of hash>` must fit a label's 63.
pub const MAX_NAME_LENGTH: usize = 40;

/// A whole container cloud: ZooKeeper, Mesos masters, Marathon, slaves, and a proxy in front of each service.
/// An empty spec is a working cloud: 3 ZooKeepers, 3 masters with quorum 2, 2 Marathons, 2 slaves a node.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "mesoscloud.io",
    version = "v1alpha1",
    kind = "MesosCloud",
    plural = "mesosclouds",
    shortname = "mc",
    category = "mesos",
    namespaced,
    status = "MesosCloudStatus",
    derive = "Default",
    derive = "PartialEq",
    cel,
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leaders.mesos.name"),
    printcolumn(name = "ZooKeeper", type_ = "string", json_path = ".status.zookeeper.summary"),
    printcolumn(name = "Masters", type_ = "string", json_path = ".status.masters.summary"),
    printcolumn(name = "Marathon", type_ = "string", json_path = ".status.marathon.summary"),
    printcolumn(name = "Slaves", type_ = "string", json_path = ".status.slaves.summary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$')").message(
        "metadata.name must start with a letter, hold only a-z, 0-9 and '-', and have at most 40 characters, \
         because Services and pods are named after it"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new(
        "!(self.masters.zkPath + '/').startsWith(self.marathon.zkPath + '/') && \
         !(self.marathon.zkPath + '/').startsWith(self.masters.zkPath + '/')"
    ).message(
        "masters.zkPath and marathon.zkPath must not be equal or lie inside each other: \
         Mesos takes every numbered node below its path for a candidate"
    ),
    validation = Rule::new(
        "(!has(self.proxies.service.nodePorts.mesos) || \
          self.proxies.service.nodePorts.mesos < self.slaves.taskPorts.begin || \
          self.proxies.service.nodePorts.mesos > self.slaves.taskPorts.end) && \
         (!has(self.proxies.service.nodePorts.marathon) || \
          self.proxies.service.nodePorts.marathon < self.slaves.taskPorts.begin || \
          self.proxies.service.nodePorts.marathon > self.slaves.taskPorts.end) && \
         (!has(self.proxies.service.nodePorts.zookeeper) || \
          self.proxies.service.nodePorts.zookeeper < self.slaves.taskPorts.begin || \
          self.proxies.service.nodePorts.zookeeper > self.slaves.taskPorts.end)"
    ).message(
        "proxies.service.nodePorts must lie outside slaves.taskPorts: \
         a task could be given the same port of the node"
    )
)]
pub struct MesosCloudSpec {
    /// The ZooKeeper ensemble that Mesos and Marathon elect their leaders in.
    #[serde(default)]
    pub zookeeper: ZooKeeper,
    /// The Mesos masters. Their quorum is derived from `replicas`.
    #[serde(default)]
    pub masters: Masters,
    /// Marathon, the scheduler that keeps apps running.
    #[serde(default)]
    pub marathon: Marathon,
    /// The Mesos slaves, which run tasks on the nodes' Docker.
    #[serde(default)]
    pub slaves: Slaves,
    /// The HAProxy in front of Mesos, Marathon and ZooKeeper.
    #[serde(default)]
    pub proxies: Proxies,
}
