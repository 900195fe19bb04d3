//! One task, as Marathon remembers it in ZooKeeper and shows it in its API.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::app::App;
use super::constraints::Place;
use super::definition::{HealthCheck, PortMapping};
use super::health::Health;
use super::time::Stamp;
use crate::wire;

/// A task that was launched and has not ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// `shop_web.<uuid>`.
    pub id: String,
    /// The app.
    pub app: String,
    /// The app's version when the task was launched.
    pub version: String,
    /// The slave.
    pub slave: String,
    /// The slave's `MESOS_HOSTNAME`.
    pub host: String,
    /// The slave's attributes, for constraints.
    pub attributes: BTreeMap<String, String>,
    /// Host ports.
    pub ports: Vec<u16>,
    /// The health checks of the app's version.
    pub checks: Vec<HealthCheck>,
    /// Launched.
    pub staged_at: Stamp,
    /// TASK_RUNNING seen.
    pub started_at: Option<Stamp>,
    /// When it was last asked to end. Not kept: a new leader asks again.
    #[serde(skip)]
    pub killed_at: Option<Stamp>,
    /// One result per check, made by this leader. Not kept: unknown again after a change of leader.
    #[serde(skip)]
    pub health: Vec<Health>,
}

impl Task {
    /// Whether TASK_RUNNING was seen.
    pub fn running(&self) -> bool {
        self.started_at.is_some()
    }

    /// Whether all of the app's own checks succeeded last time; `None` while any is unknown.
    pub fn healthy(&self) -> Option<bool> {
        let made = self.checks.iter().filter(|check| check.by_marathon()).count();
        let known = self.health.iter().filter(|health| health.known()).count();
        if self.health.iter().any(|health| health.known() && !health.alive()) {
            return Some(false);
        }
        (made > 0 && known == made).then_some(true)
    }

    /// Whether a deployment may count on it: healthy if the app has checks, else running.
    pub fn ready(&self) -> bool {
        if self.checks.is_empty() {
            self.running()
        } else {
            self.healthy() == Some(true)
        }
    }

    /// Where it runs.
    pub fn place(&self) -> Place<'_> {
        Place {
            hostname: &self.host,
            attributes: &self.attributes,
        }
    }

    /// The task as the API shows it.
    pub fn to_json(&self) -> Value {
        let mut value = json!({
            "id": self.id,
            "appId": self.app,
            "host": self.host,
            "slaveId": self.slave,
            "ipAddresses": [],
            "ports": self.ports,
            "stagedAt": self.staged_at,
            "startedAt": self.started_at,
            "version": self.version,
        });
        let results: Vec<Value> = self
            .health
            .iter()
            .filter(|health| health.known())
            .map(|health| health.to_json(&self.id))
            .collect();
        if !results.is_empty() {
            value["healthCheckResults"] = json!(results);
        }
        value
    }
}

/// A new task id of this app.
pub fn new_id(app: &App) -> String {
    format!("{}.{}", app.task_prefix(), Uuid::new_v4())
}

/// The environment Marathon gives a task (`TaskBuilder.scala @ v1.1.1`); what the app says wins.
pub fn environment(app: &App, task: &str, host: &str, ports: &[u16]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("MESOS_TASK_ID".to_owned(), task.to_owned()),
        ("MARATHON_APP_ID".to_owned(), app.id.clone()),
        ("MARATHON_APP_VERSION".to_owned(), app.version.clone()),
        ("MARATHON_APP_RESOURCE_CPUS".to_owned(), decimal(app.cpus)),
        ("MARATHON_APP_RESOURCE_MEM".to_owned(), decimal(app.mem)),
        ("MARATHON_APP_RESOURCE_DISK".to_owned(), decimal(app.disk)),
        ("HOST".to_owned(), host.to_owned()),
    ]);
    let docker = app
        .container
        .as_ref()
        .and_then(|container| container.docker.as_ref());
    if let Some(docker) = docker {
        env.insert("MARATHON_APP_DOCKER_IMAGE".to_owned(), docker.image.clone());
    }
    let mut labels = Vec::new();
    for (label, value) in &app.labels {
        let name = sanitized(label);
        env.insert(format!("MARATHON_APP_LABEL_{name}"), value.clone());
        labels.push(name);
    }
    env.insert("MARATHON_APP_LABELS".to_owned(), labels.join(" "));

    let declared: Vec<u16> = match app.port_mappings() {
        Some(mappings) => mappings.iter().map(|mapping| mapping.container_port).collect(),
        None => app.ports.clone(),
    };
    for (index, port) in ports.iter().enumerate() {
        env.insert(format!("PORT{index}"), port.to_string());
        if let Some(declared) = declared.get(index).filter(|port| **port != 0) {
            env.insert(format!("PORT_{declared}"), port.to_string());
        }
    }
    if let Some(first) = ports.first() {
        env.insert("PORT".to_owned(), first.to_string());
        let all: Vec<String> = ports.iter().map(u16::to_string).collect();
        env.insert("PORTS".to_owned(), all.join(","));
    }
    env.extend(app.env.clone());
    env
}

/// Scala writes doubles with a point.
fn decimal(value: f64) -> String {
    format!("{value:?}")
}

fn sanitized(label: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    label.chars().map(keep).collect()
}

/// The mappings of a task. Container port 0 means the host port.
pub fn mappings(declared: &[PortMapping], ports: &[u16]) -> Vec<wire::PortMapping> {
    declared
        .iter()
        .zip(ports)
        .map(|(mapping, host)| wire::PortMapping {
            container_port: if mapping.container_port == 0 {
                *host
            } else {
                mapping.container_port
            },
            host_port: *host,
            protocol: mapping.protocol.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_marathon_s() {
        let app = App::read(
            None,
            None,
            &json!({"id": "/shop/web", "env": {"A": "b", "HOST": "mine"}, "labels": {"tier-x": "1"},
                "container": {"docker": {"image": "nginx", "network": "BRIDGE",
                    "portMappings": [{"containerPort": 80}, {"containerPort": 0}]}}}),
        )
        .unwrap();
        let env = environment(&app, "shop_web.1", "slave1", &[31000, 31001]);
        for (name, value) in [
            ("PORT", "31000"),
            ("PORT0", "31000"),
            ("PORT1", "31001"),
            ("PORTS", "31000,31001"),
            ("PORT_80", "31000"),
            ("MARATHON_APP_ID", "/shop/web"),
            ("MESOS_TASK_ID", "shop_web.1"),
            ("MARATHON_APP_RESOURCE_MEM", "128.0"),
            ("MARATHON_APP_LABELS", "TIER_X"),
            ("MARATHON_APP_LABEL_TIER_X", "1"),
            ("MARATHON_APP_DOCKER_IMAGE", "nginx"),
            ("A", "b"),
            ("HOST", "mine"),
        ] {
            assert_eq!(env.get(name).map(String::as_str), Some(value), "{name}");
        }
        let mapped = mappings(app.port_mappings().unwrap(), &[31000, 31001]);
        let pairs: Vec<_> = mapped
            .iter()
            .map(|mapping| (mapping.host_port, mapping.container_port))
            .collect();
        assert_eq!(pairs, [(31000, 80), (31001, 31001)]);
        assert!(new_id(&app).starts_with("shop_web."));
    }
}
