//! The parts of an app definition.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When an app was last scaled and last changed otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VersionInfo {
    /// Time of the last scaling.
    pub last_scaling_at: String,
    /// Time of the last change that replaces tasks.
    pub last_config_change_at: String,
}

/// `container`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// `DOCKER`.
    #[serde(rename = "type", default = "docker_type")]
    pub kind: String,
    /// Volumes.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// The Docker part.
    pub docker: Option<Docker>,
}

fn docker_type() -> String {
    "DOCKER".to_owned()
}

/// A volume of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Path inside the container.
    pub container_path: String,
    /// Path on the slave's host.
    pub host_path: Option<String>,
    /// `RW` or `RO`.
    pub mode: String,
    /// Not stood in for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistent: Option<Value>,
}

/// `container.docker`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Docker {
    /// Image.
    pub image: String,
    /// `BRIDGE` or `HOST`; Mesos' default is HOST.
    pub network: Option<String>,
    /// Ports to publish.
    pub port_mappings: Option<Vec<PortMapping>>,
    /// `--privileged`.
    #[serde(default)]
    pub privileged: bool,
    /// Further `docker run` options.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Pull even if the image is present.
    #[serde(default)]
    pub force_pull_image: bool,
}

/// A further option of `docker run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name without dashes.
    pub key: String,
    /// Value.
    pub value: String,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port in the container; 0 = the host port.
    #[serde(default)]
    pub container_port: u16,
    /// Port on the host; 0 = any of the offer.
    #[serde(default)]
    pub host_port: u16,
    /// Port for load balancers; 0 = any free one.
    #[serde(default)]
    pub service_port: u16,
    /// `tcp` or `udp`.
    #[serde(default = "tcp")]
    pub protocol: String,
}

fn tcp() -> String {
    "tcp".to_owned()
}

/// One health check (`HealthCheck.scala`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// `HTTP`, `TCP` or `COMMAND`.
    pub protocol: String,
    /// Path of an HTTP check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Which of the task's ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_index: Option<usize>,
    /// A fixed port instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Command of a COMMAND check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandValue>,
    /// Failures before the first success are ignored for so long.
    pub grace_period_seconds: u64,
    /// Time between checks.
    pub interval_seconds: u64,
    /// Time for an answer.
    pub timeout_seconds: u64,
    /// Killed when more fail in a row; 0 = never.
    pub max_consecutive_failures: u32,
    /// 1xx is neither healthy nor unhealthy.
    pub ignore_http1xx: bool,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            protocol: "HTTP".to_owned(),
            path: None,
            port_index: None,
            port: None,
            command: None,
            grace_period_seconds: 300,
            interval_seconds: 60,
            timeout_seconds: 20,
            max_consecutive_failures: 3,
            ignore_http1xx: false,
        }
    }
}

impl HealthCheck {
    /// Whether Marathon itself checks; COMMAND is the executor's work.
    pub fn by_marathon(&self) -> bool {
        self.protocol != "COMMAND"
    }

    /// The port to check on a task with these host ports.
    pub fn target(&self, ports: &[u16]) -> Option<u16> {
        self.port
            .or_else(|| ports.get(self.port_index.unwrap_or(0)).copied())
    }
}

/// `{"value": "…"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandValue {
    /// The command.
    pub value: String,
}

/// `upgradeStrategy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpgradeStrategy {
    /// Share of the instances that stays healthy during a change.
    pub minimum_health_capacity: f64,
    /// Share of further instances that may run during a change.
    pub maximum_over_capacity: f64,
}

impl Default for UpgradeStrategy {
    fn default() -> Self {
        Self {
            minimum_health_capacity: 1.0,
            maximum_over_capacity: 1.0,
        }
    }
}
