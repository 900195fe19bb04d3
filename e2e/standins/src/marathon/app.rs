//! The app definition of Marathon 1.1.1: what its REST API takes and shows.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::backoff::Settings;
use super::definition::{Container, HealthCheck, PortMapping, UpgradeStrategy, VersionInfo};

/// `local_port_min` and `local_port_max`: where service ports are taken from.
const SERVICE_PORTS: std::ops::Range<u16> = 10_000..20_000;

/// One app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct App {
    /// Absolute path, `/shop/web`.
    pub id: String,
    /// Shell command.
    pub cmd: Option<String>,
    /// Arguments for the image's entrypoint.
    pub args: Option<Vec<String>>,
    /// User to run as.
    pub user: Option<String>,
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Wanted number of tasks.
    pub instances: u32,
    /// CPUs per task.
    pub cpus: f64,
    /// Megabytes per task.
    pub mem: f64,
    /// Megabytes per task.
    pub disk: f64,
    /// Executor; only the default is stood in for.
    pub executor: String,
    /// `[field, operator]` or `[field, operator, value]`.
    pub constraints: Vec<Vec<String>>,
    /// Not stood in for.
    pub uris: Vec<String>,
    /// Not stood in for.
    pub fetch: Vec<Value>,
    /// Not stood in for.
    pub store_urls: Vec<String>,
    /// Service ports; without a container's port mappings also the number of host ports a task gets.
    pub ports: Vec<u16>,
    /// Host ports must equal `ports`.
    pub require_ports: bool,
    /// First launch delay.
    pub backoff_seconds: f64,
    /// Growth of the launch delay.
    pub backoff_factor: f64,
    /// Largest launch delay.
    pub max_launch_delay_seconds: f64,
    /// Docker container.
    pub container: Option<Container>,
    /// Health checks.
    pub health_checks: Vec<HealthCheck>,
    /// Not stood in for.
    pub dependencies: Vec<String>,
    /// How a change is rolled out.
    pub upgrade_strategy: UpgradeStrategy,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Only `*` is stood in for.
    pub accepted_resource_roles: Option<Vec<String>>,
    /// Not stood in for.
    pub ip_address: Option<Value>,
    /// Not stood in for.
    pub residency: Option<Value>,
    /// Version: the time of the last change.
    pub version: String,
    /// Times of the last scaling and of the last other change.
    pub version_info: VersionInfo,
}

impl Default for App {
    fn default() -> Self {
        Self {
            id: String::new(),
            cmd: None,
            args: None,
            user: None,
            env: BTreeMap::new(),
            instances: 1,
            cpus: 1.0,
            mem: 128.0,
            disk: 0.0,
            executor: String::new(),
            constraints: Vec::new(),
            uris: Vec::new(),
            fetch: Vec::new(),
            store_urls: Vec::new(),
            ports: vec![0],
            require_ports: false,
            backoff_seconds: 1.0,
            backoff_factor: 1.15,
            max_launch_delay_seconds: 3600.0,
            container: None,
            health_checks: Vec::new(),
            dependencies: Vec::new(),
            upgrade_strategy: UpgradeStrategy::default(),
            labels: BTreeMap::new(),
            accepted_resource_roles: None,
            ip_address: None,
            residency: None,
            version: String::new(),
            version_info: VersionInfo::default(),
        }
    }
}

impl App {
    /// Reads an app, or an update on top of `existing`: each field given replaces the old one.
    pub fn read(
        existing: Option<&Self>,
        id: Option<&str>,
        update: &Value,
    ) -> Result<Self, serde_json::Error> {
        let mut object = match existing.map(serde_json::to_value).transpose()? {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        };
        let mut update = update.clone();
        if let Value::Object(fields) = &mut update {
            ports_of_definitions(fields);
            object.append(fields);
        } else {
            // Let serde say what it expected.
            serde_json::from_value::<Map<String, Value>>(update)?;
        }
        // null means: the default.
        object.retain(|_, value| !value.is_null());
        let mut app: Self = serde_json::from_value(Value::Object(object))?;
        if let Some(id) = id {
            id.clone_into(&mut app.id);
        }
        if !app.id.starts_with('/') {
            app.id.insert(0, '/');
        }
        for check in &mut app.health_checks {
            if check.by_marathon() && check.port.is_none() {
                check.port_index.get_or_insert(0);
            }
        }
        if let Some(mappings) = app.port_mappings() {
            app.ports = mappings.iter().map(|mapping| mapping.service_port).collect();
        }
        Ok(app)
    }

    /// The container's port mappings, if they are what decides about ports.
    pub fn port_mappings(&self) -> Option<&[PortMapping]> {
        self.container.as_ref()?.docker.as_ref()?.port_mappings.as_deref()
    }

    /// The host ports each task wants; 0 = any.
    pub fn host_ports(&self) -> Vec<u16> {
        match self.port_mappings() {
            Some(mappings) => mappings.iter().map(|mapping| mapping.host_port).collect(),
            None if self.require_ports => self.ports.clone(),
            None => vec![0; self.ports.len()],
        }
    }

    /// Gives every service port 0 a free one, or the one it had in the `previous` version.
    pub fn assign_service_ports(&mut self, taken: &[u16], previous: &[u16]) {
        let mut taken: Vec<u16> = taken.iter().chain(&self.ports).copied().collect();
        for (index, port) in self.ports.iter_mut().enumerate() {
            let mut candidate = previous.get(index).copied().unwrap_or(0);
            while *port == 0 {
                if candidate != 0 && !taken.contains(&candidate) {
                    taken.push(candidate);
                    *port = candidate;
                }
                candidate = rand::rng().random_range(SERVICE_PORTS);
            }
        }
        let ports = self.ports.clone();
        let docker = self
            .container
            .as_mut()
            .and_then(|container| container.docker.as_mut());
        for (mapping, port) in docker
            .and_then(|docker| docker.port_mappings.as_mut())
            .into_iter()
            .flatten()
            .zip(ports)
        {
            mapping.service_port = port;
        }
    }

    /// Whether going from `old` to this app replaces tasks (anything but the number of instances).
    pub fn needs_restart_from(&self, old: &Self) -> bool {
        let neutral = |app: &Self| Self {
            instances: 0,
            version: String::new(),
            version_info: VersionInfo::default(),
            upgrade_strategy: UpgradeStrategy::default(),
            ..app.clone()
        };
        neutral(self) != neutral(old)
    }

    /// Back-off settings.
    pub fn backoff(&self) -> Settings {
        Settings {
            backoff: seconds(self.backoff_seconds),
            factor: self.backoff_factor,
            max: seconds(self.max_launch_delay_seconds),
        }
    }

    /// The first part of a task id: `/shop/web` → `shop_web`.
    pub fn task_prefix(&self) -> String {
        self.id.trim_start_matches('/').replace('/', "_")
    }

    /// The definition as the API shows it.
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["portDefinitions"] = self
            .ports
            .iter()
            .map(|port| json!({"port": port, "protocol": "tcp", "labels": {}}))
            .collect();
        value
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

/// `portDefinitions` is another way to write `ports`.
fn ports_of_definitions(fields: &mut Map<String, Value>) {
    if let Some(Value::Array(definitions)) = fields.remove("portDefinitions") {
        let ports = definitions
            .iter()
            .map(|definition| definition.get("port").cloned().unwrap_or(json!(0)));
        fields.insert("ports".to_owned(), ports.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> App {
        App::read(None, None, value).unwrap()
    }

    #[test]
    fn defaults_are_marathon_s() {
        let app = read(&json!({"id": "web", "cmd": "sleep 1"}));
        assert_eq!(app.id, "/web");
        assert_eq!((app.instances, app.cpus, app.mem), (1, 1.0, 128.0));
        assert_eq!(app.ports, [0]);
        assert_eq!(app.host_ports(), [0]);
        let check = read(&json!({"id": "web", "cmd": "x", "healthChecks": [{}]}))
            .health_checks
            .remove(0);
        assert_eq!(
            (
                check.grace_period_seconds,
                check.interval_seconds,
                check.timeout_seconds
            ),
            (300, 60, 20)
        );
        assert_eq!((check.max_consecutive_failures, check.port_index), (3, Some(0)));
    }

    #[test]
    fn port_mappings_decide_about_ports() {
        let mut app = read(
            &json!({"id": "/web", "container": {"docker": {"image": "nginx", "network": "BRIDGE",
            "portMappings": [{"containerPort": 80}, {"containerPort": 443, "hostPort": 31443, "servicePort": 10443}]}}}),
        );
        assert_eq!(app.host_ports(), [0, 31443]);
        app.assign_service_ports(&[], &[]);
        assert!(SERVICE_PORTS.contains(&app.ports[0]));
        assert_eq!(app.ports[1], 10443);
        assert_eq!(app.port_mappings().unwrap()[0].service_port, app.ports[0]);
    }

    #[test]
    fn an_update_replaces_only_what_it_names() {
        let old = read(&json!({"id": "/web", "cmd": "a", "env": {"A": "1"}, "instances": 2}));
        let new = App::read(Some(&old), None, &json!({"instances": 3})).unwrap();
        assert_eq!(
            new,
            App {
                instances: 3,
                ..old.clone()
            }
        );
        assert!(!new.needs_restart_from(&old));
        let new = App::read(Some(&old), None, &json!({"env": {"B": "2"}})).unwrap();
        assert_eq!(new.env, BTreeMap::from([("B".to_owned(), "2".to_owned())]));
        assert!(new.needs_restart_from(&old));
    }

    #[test]
    fn wrong_types_are_refused() {
        assert!(App::read(None, None, &json!({"id": "/a", "env": {"A": 1}})).is_err());
        assert!(App::read(None, None, &json!([1])).is_err());
    }
}
