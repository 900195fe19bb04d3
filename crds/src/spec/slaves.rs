//! `spec.slaves`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::common::{PodSettings, resources};

/// The Mesos slaves.
///
/// A slave's identity is its hostname, port, resources and attributes: Mesos 0.28.1 takes a slave with any of
/// them changed for a new one, and the tasks of the old one end.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("self.taskPorts.end - self.taskPorts.begin + 1 >= self.perNode").message(
        "slaves.taskPorts must hold at least one port for each slave of a node (perNode)"
    ),
    validation = Rule::new("self.basePort + self.perNode - 1 <= 65535").message(
        "slaves.basePort + perNode - 1 must not exceed 65535: each slave of a node has its own port"
    ),
    validation = Rule::new(
        "self.basePort > self.taskPorts.end || self.basePort + self.perNode - 1 < self.taskPorts.begin"
    ).message("the slaves' own ports (basePort and following) must lie outside taskPorts")
)]
pub struct Slaves {
    /// Slaves on every node that is selected. They share the node's Docker and split `taskPorts`.
    #[serde(default = "per_node")]
    #[schemars(range(max = 16))]
    #[x_kube(validation = Rule::new("self >= 1").message("slaves.perNode must be at least 1"))]
    pub per_node: i32,
    /// Image with Mesos' slave and a Docker client, configured by `MESOS_*` variables.
    #[serde(default = "image")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// CPU and memory of the slave's own pod. What it offers to tasks is `cpus`, `mem` and `disk`.
    #[serde(default = "default_resources")]
    pub resources: ResourceRequirements,
    /// Address where Docker publishes the tasks' ports, when the operator should not find it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub hostname: Option<String>,
    /// Port of the first slave of a node; the second has the next one, and so on.
    #[serde(default = "base_port")]
    #[schemars(range(min = 1024, max = 65535))]
    pub base_port: i32,
    /// CPUs that each slave offers to tasks.
    #[serde(default = "cpus")]
    #[schemars(range(min = 0.01, max = 4096.0))]
    pub cpus: f64,
    /// Memory that each slave offers to tasks, in MB.
    #[serde(default = "mem")]
    #[schemars(range(min = 32, max = 16_777_216))]
    pub mem: i64,
    /// Disk that each slave offers to tasks, in MB.
    #[serde(default = "disk")]
    #[schemars(range(min = 0, max = 1_073_741_824))]
    pub disk: i64,
    /// Ports of the node for tasks, split among the slaves of a node so that they never overlap.
    #[serde(default)]
    pub task_ports: PortRange,
    /// How tasks are run, in Mesos' order of preference.
    #[serde(default = "containerizers")]
    #[schemars(length(min = 1, max = 2))]
    pub containerizers: Vec<Containerizer>,
    /// Attributes that frameworks select slaves by. Letters, digits and `. _ -`, values also `/`, because Mesos
    /// separates them by `;` and `:`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "attributes")]
    pub attributes: BTreeMap<String, String>,
    /// Folder of the node below which every slave keeps its state and its tasks' sandboxes. It is mounted at
    /// the same path, because the node's Docker is given paths inside it.
    #[serde(default = "work_dir")]
    #[schemars(length(min = 2, max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^(/[A-Za-z0-9._-]+)+$') && !self.contains('..')")
            .message("slaves.workDir must be an absolute path without a trailing slash"),
        validation = Rule::new("self == oldSelf")
            .message("slaves.workDir cannot change: the slaves would forget the tasks they run")
    )]
    pub work_dir: String,
    /// Further files or folders of the node, for example a library that the image lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub extra_mounts: Vec<HostMount>,
    /// How the pods are run.
    #[serde(flatten)]
    pub pod: PodSettings,
}

impl Default for Slaves {
    fn default() -> Self {
        Self {
            per_node: per_node(),
            image: image(),
            resources: default_resources(),
            hostname: None,
            base_port: base_port(),
            cpus: cpus(),
            mem: mem(),
            disk: disk(),
            task_ports: PortRange::default(),
            containerizers: containerizers(),
            attributes: BTreeMap::new(),
            work_dir: work_dir(),
            extra_mounts: Vec::new(),
            pod: PodSettings::default(),
        }
    }
}

/// A closed range of ports.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    cel,
    validation = Rule::new("self.begin <= self.end").message("a port range must not end before it begins")
)]
pub struct PortRange {
    /// The first port.
    #[serde(default = "task_ports_begin")]
    #[schemars(range(min = 1024, max = 65535))]
    pub begin: i32,
    /// The last port.
    #[serde(default = "task_ports_end")]
    #[schemars(range(min = 1024, max = 65535))]
    pub end: i32,
}

impl Default for PortRange {
    fn default() -> Self {
        Self {
            begin: task_ports_begin(),
            end: task_ports_end(),
        }
    }
}

/// What Mesos runs a task with.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Containerizer {
    /// The node's Docker. Needs its socket and, for Mesos 0.28.1, a cgroup v1 `cpu` hierarchy.
    Docker,
    /// Mesos' own containers.
    Mesos,
}

impl Containerizer {
    /// The word Mesos uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Mesos => "mesos",
        }
    }
}

/// A file or folder of the node that is shown to the slave.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostMount {
    /// Path on the node.
    #[schemars(length(min = 1, max = 1024))]
    pub host_path: String,
    /// Path in the slave.
    #[schemars(length(min = 1, max = 1024))]
    pub mount_path: String,
    /// Whether the slave may write to it.
    #[serde(default)]
    pub read_only: bool,
}

/// The names are checked by the operator: a rule over a map's keys costs the API server too much.
fn attributes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 256, "pattern": "^[A-Za-z0-9_./-]+$"}
    })
}

fn per_node() -> i32 {
    2
}

fn image() -> String {
    "mesoscloud/mesos-slave:0.28.1-centos-7".to_owned()
}

fn default_resources() -> ResourceRequirements {
    resources("20m", "64Mi", "1Gi")
}

fn base_port() -> i32 {
    5051
}

fn cpus() -> f64 {
    1.0
}

fn mem() -> i64 {
    1024
}

fn disk() -> i64 {
    4096
}

fn containerizers() -> Vec<Containerizer> {
    vec![Containerizer::Docker, Containerizer::Mesos]
}

fn work_dir() -> String {
    "/var/lib/mesoscloud".to_owned()
}

fn task_ports_begin() -> i32 {
    31000
}

fn task_ports_end() -> i32 {
    32000
}
