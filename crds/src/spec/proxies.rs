//! `spec.proxies`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{PodSettings, resources};

/// The three HAProxy Deployments: in front of Mesos (always the leader), Marathon and ZooKeeper.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxies {
    /// Pods of each of the three proxies.
    #[serde(default = "replicas")]
    #[schemars(range(max = 9))]
    #[x_kube(validation = Rule::new("self >= 1").message("proxies.replicas must be at least 1"))]
    pub replicas: i32,
    /// Image with HAProxy 2.7 or later: 1.6, which such estates often have, cannot report how a reload went and
    /// is out of support, so the default is a current long-term release.
    #[serde(default = "image")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// CPU and memory of each HAProxy.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,
    /// How long a request waits for a leader while there is none, in milliseconds, before its client is told so
    /// with a 503. Only requests that change nothing wait: GET, HEAD and OPTIONS. With 0 nothing waits.
    #[serde(default = "hold_timeout")]
    #[schemars(range(min = 0, max = 30000))]
    pub hold_timeout: i32,
    /// The Services in front of the proxies.
    #[serde(default)]
    pub service: ProxyService,
    /// How the pods are run.
    #[serde(flatten)]
    pub pod: PodSettings,
}

impl Default for Proxies {
    fn default() -> Self {
        Self {
            replicas: replicas(),
            image: image(),
            resources: default_resources(),
            hold_timeout: hold_timeout(),
            service: ProxyService::default(),
            pod: PodSettings::default(),
        }
    }
}

/// The Services in front of the proxies.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self.type != 'ClusterIP' || \
         !(has(self.nodePorts.mesos) || has(self.nodePorts.marathon) || has(self.nodePorts.zookeeper))")
        .message("proxies.service.nodePorts need proxies.service.type NodePort or LoadBalancer")
)]
pub struct ProxyService {
    /// How the proxies are reached.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// Annotations of the Services, for example for a load balancer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Ports of the Services.
    #[serde(default)]
    pub ports: ProxyPorts,
    /// Ports of every node that lead to the Services. One left out is chosen by Kubernetes, where the
    /// Services' type has them.
    #[serde(default)]
    pub node_ports: ProxyNodePorts,
}

/// The port of each proxy's Service.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProxyPorts {
    /// Where Mesos is served: always the leading master.
    #[serde(default = "mesos_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub mesos: i32,
    /// Where Marathon is served.
    #[serde(default = "marathon_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub marathon: i32,
    /// Where ZooKeeper is served, to people and tools. Mesos and Marathon never go through it.
    #[serde(default = "zookeeper_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub zookeeper: i32,
}

impl Default for ProxyPorts {
    fn default() -> Self {
        Self {
            mesos: mesos_port(),
            marathon: marathon_port(),
            zookeeper: zookeeper_port(),
        }
    }
}

/// The port of every node for each proxy.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new(
        "(!has(self.mesos) || !has(self.marathon) || self.mesos != self.marathon) && \
         (!has(self.mesos) || !has(self.zookeeper) || self.mesos != self.zookeeper) && \
         (!has(self.marathon) || !has(self.zookeeper) || self.marathon != self.zookeeper)"
    ).message("the proxies' node ports must differ from each other")
)]
pub struct ProxyNodePorts {
    /// Leads to the proxy of Mesos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub mesos: Option<i32>,
    /// Leads to the proxy of Marathon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub marathon: Option<i32>,
    /// Leads to the proxy of ZooKeeper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub zookeeper: Option<i32>,
}

/// How a Service is reached.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// From inside the cluster.
    #[default]
    ClusterIP,
    /// At a port of every node.
    NodePort,
    /// Through the cloud provider's load balancer.
    LoadBalancer,
}

impl ServiceType {
    /// The word Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

fn replicas() -> i32 {
    1
}

fn image() -> String {
    "haproxy:3.0.11".to_owned()
}

fn default_resources() -> ResourceRequirements {
    resources("50m", "32Mi", "256Mi")
}

fn hold_timeout() -> i32 {
    5000
}

fn mesos_port() -> i32 {
    5050
}

fn marathon_port() -> i32 {
    8080
}

fn zookeeper_port() -> i32 {
    2181
}
