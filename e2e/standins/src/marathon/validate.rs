//! What Marathon 1.1.1 refuses with 422, and what the stand-in refuses because it cannot do it.
//!
//! A stand-in must never be kinder than the original: a field it would have to ignore is an error here.

use serde_json::{Value, json};

use super::app::App;
use super::constraints;

/// A refusal: path and reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    path: String,
    error: String,
}

/// The body of a 422 answer.
pub fn body(violations: &[Violation]) -> Value {
    let details: Vec<Value> = violations
        .iter()
        .map(|violation| json!({"path": violation.path, "errors": [violation.error]}))
        .collect();
    json!({"message": "Object is not valid", "details": details})
}

/// Checks one app against the rules and against the ids of the others.
pub fn app<'a>(app: &App, others: impl Iterator<Item = &'a String>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut refuse = |path: &str, error: &str| {
        found.push(Violation {
            path: path.to_owned(),
            error: error.to_owned(),
        });
    };

    if !is_path(&app.id) {
        refuse(
            "/id",
            "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'",
        );
    }
    for other in others {
        if is_below(other, &app.id) || is_below(&app.id, other) {
            refuse("/", "Groups and Applications may not have the same identifier.");
        }
    }
    let docker = app
        .container
        .as_ref()
        .and_then(|container| container.docker.as_ref());
    match (&app.cmd, &app.args, docker) {
        (Some(_), Some(_), _) | (None, None, None) => refuse(
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
        ),
        _ => {}
    }
    for (path, value) in [("/cpus", app.cpus), ("/mem", app.mem), ("/disk", app.disk)] {
        if value < 0.0 {
            refuse(path, &format!("got {value}, expected 0.0 or more"));
        }
    }
    let strategy = &app.upgrade_strategy;
    for (path, value) in [
        (
            "/upgradeStrategy/minimumHealthCapacity",
            strategy.minimum_health_capacity,
        ),
        (
            "/upgradeStrategy/maximumOverCapacity",
            strategy.maximum_over_capacity,
        ),
    ] {
        if !(0.0..=1.0).contains(&value) {
            refuse(path, &format!("got {value}, expected between 0.0 and 1.0"));
        }
    }
    for (index, constraint) in app.constraints.iter().enumerate() {
        if let Err(error) = constraints::Constraint::parse(constraint) {
            refuse(&format!("/constraints({index})"), &error);
        }
    }
    if let Some(docker) = docker {
        if docker.image.is_empty() {
            refuse("/container/docker/image", "must not be empty");
        }
        if docker.port_mappings.is_some() && docker.network.as_deref() != Some("BRIDGE") {
            refuse(
                "/container/docker/portMappings",
                "port mappings are only supported for BRIDGE",
            );
        }
        if !matches!(docker.network.as_deref(), None | Some("BRIDGE" | "HOST")) {
            refuse("/container/docker/network", "error.unknown.enum.literal");
        }
    }
    health_checks(app, &mut refuse);
    unsupported(app, &mut refuse);
    found
}

fn health_checks(app: &App, refuse: &mut impl FnMut(&str, &str)) {
    let ports = app.host_ports().len();
    for (index, check) in app.health_checks.iter().enumerate() {
        let path = format!("/healthChecks({index})");
        match check.protocol.as_str() {
            "HTTP" | "TCP" => {
                if check.port.is_none() && check.port_index.is_none_or(|wanted| wanted >= ports) {
                    refuse(
                        &path,
                        "Health check port indices must address an element of the ports array or container port \
                         mappings.",
                    );
                }
            }
            "COMMAND" if check.command.is_none() => refuse(&path, "Health check must specify a command"),
            "COMMAND" => refuse(&path, "the stand-in's executor has no COMMAND health check"),
            "HTTPS" => refuse(&path, "the stand-in has no HTTPS health check"),
            _ => refuse(&format!("{path}/protocol"), "error.unknown.enum.literal"),
        }
        if check.interval_seconds == 0 || check.timeout_seconds == 0 {
            refuse(&path, "got 0, expected 1 or more");
        }
    }
}

/// What the original does and the stand-in does not: refused loudly, never ignored.
fn unsupported(app: &App, refuse: &mut impl FnMut(&str, &str)) {
    let mut absent = |path: &str, used: bool| {
        if used {
            refuse(path, "not done by the stand-in");
        }
    };
    absent("/uris", !app.uris.is_empty());
    absent("/fetch", !app.fetch.is_empty());
    absent("/storeUrls", !app.store_urls.is_empty());
    absent("/dependencies", !app.dependencies.is_empty());
    absent("/ipAddress", app.ip_address.is_some());
    absent("/residency", app.residency.is_some());
    absent("/executor", !matches!(app.executor.as_str(), "" | "//cmd"));
    absent("/user", !matches!(app.user.as_deref(), None | Some("root")));
    absent(
        "/acceptedResourceRoles",
        app.accepted_resource_roles
            .as_ref()
            .is_some_and(|roles| !roles.iter().any(|role| role == "*")),
    );
    if let Some(container) = &app.container {
        absent("/container/type", container.kind != "DOCKER");
        absent(
            "/container/volumes",
            container.volumes.iter().any(|volume| volume.persistent.is_some()),
        );
    }
}

/// Whether every part of an absolute path is a DNS-like name.
fn is_path(id: &str) -> bool {
    id.strip_prefix('/').is_some_and(|parts| {
        parts.split('/').all(|part| {
            part.split('.').all(|label| {
                let inner = label
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
                inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
            })
        })
    })
}

fn is_below(id: &str, group: &str) -> bool {
    id.strip_prefix(group).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(value: &Value) -> Vec<String> {
        let definition = App::read(None, None, value).unwrap();
        app(&definition, ["/taken/web".to_owned()].iter())
            .into_iter()
            .map(|v| v.path)
            .collect()
    }

    #[test]
    fn good_apps_pass() {
        assert!(
            errors(&json!({"id": "/shop/web-1.a", "cmd": "x", "healthChecks": [{"path": "/"}]})).is_empty()
        );
        assert!(errors(&json!({"id": "/taken/other", "args": ["x"]})).is_empty());
        assert!(errors(&json!({"id": "/a", "container": {"type": "DOCKER", "docker": {"image": "nginx",
            "network": "BRIDGE", "portMappings": [{"containerPort": 80}]}}, "healthChecks": [{"protocol": "TCP"}]}))
            .is_empty());
    }

    #[test]
    fn bad_apps_are_refused() {
        assert_eq!(errors(&json!({"id": "/Web", "cmd": "x"})), ["/id"]);
        assert_eq!(errors(&json!({"id": "/a/", "cmd": "x"})), ["/id"]);
        assert_eq!(errors(&json!({"id": "/taken", "cmd": "x"})), ["/"]);
        assert_eq!(errors(&json!({"id": "/taken/web/sub", "cmd": "x"})), ["/"]);
        assert_eq!(errors(&json!({"id": "/a"})), ["/"]);
        assert_eq!(errors(&json!({"id": "/a", "cmd": "x", "cpus": -1})), ["/cpus"]);
        assert_eq!(
            errors(&json!({"id": "/a", "cmd": "x", "healthChecks": [{"portIndex": 1}]})),
            ["/healthChecks(0)"]
        );
        assert_eq!(
            errors(&json!({"id": "/a", "cmd": "x", "constraints": [["hostname", "NEAR"]]})),
            ["/constraints(0)"]
        );
        assert_eq!(
            errors(&json!({"id": "/a", "cmd": "x", "uris": ["http://x"]})),
            ["/uris"]
        );
    }
}
