//! Marathon's REST API.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::http::{get, request};
use crate::{Cloud, Context as _, Error, MESOS, Result, Scene, docker};

/// Time for an app to get healthy or to go.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks. Marathon's event stream tells of changes, but not of one that was before it.
const PAUSE: Duration = Duration::from_millis(500);

/// A Marathon, reached at an address.
#[derive(Clone, Copy)]
pub struct Marathon(pub &'static str);

/// One task of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id.
    pub id: String,
    /// The host it can be reached at, as Marathon shows it.
    pub host: String,
    /// The port of that host.
    pub port: u64,
    /// The slave it runs on.
    pub slave: String,
    /// Whether the last of its health checks succeeded.
    pub alive: bool,
}

impl Marathon {
    /// Posts an app of one instance that answers HTTP, with a health check, and waits until it is healthy. The app is
    /// deleted after the test.
    ///
    /// It takes more than half of a slave's CPU: two of them never share a slave.
    pub async fn post(self, scene: &Scene, id: &'static str) -> Result<Task> {
        scene.after(async move { self.delete(id).await });
        let app = json!({
            "id": id, "instances": 1, "cpus": 0.6, "mem": 64,
            "container": {"type": "DOCKER", "docker": {
                "image": "mesoscloud/testapp:1", "network": "BRIDGE",
                "portMappings": [{"containerPort": 8080, "hostPort": 0, "protocol": "tcp"}]
            }},
            "healthChecks": [{
                "protocol": "HTTP", "path": "/health", "portIndex": 0, "gracePeriodSeconds": 60,
                "intervalSeconds": 2, "timeoutSeconds": 2, "maxConsecutiveFailures": 3
            }]
        });
        let answer = request("POST", self.0, "/v2/apps", Some(&app)).await?;
        if answer.status == 201 {
            return self.healthy(id, "").await;
        }
        Err(Error::new(format!(
            "POST /v2/apps: {} {}",
            answer.status,
            answer.text()
        )))
    }

    /// Deletes an app that may be gone already.
    pub async fn delete(&self, id: &str) -> Result {
        let answer = request("DELETE", self.0, &format!("/v2/apps{id}"), None).await?;
        if matches!(answer.status, 200 | 404) {
            return Ok(());
        }
        Err(Error::new(format!(
            "DELETE {id}: {} {}",
            answer.status,
            answer.text()
        )))
    }

    /// The tasks of an app.
    pub async fn tasks(&self, id: &str) -> Result<Vec<Task>> {
        let answer = get(self.0, &format!("/v2/apps{id}/tasks")).await?;
        let body = answer.json();
        let tasks = body["tasks"]
            .as_array()
            .context(format!("{id}: {} {}", answer.status, answer.text()))?;
        Ok(tasks.iter().map(Task::read).collect())
    }

    /// Waits until the app's only task is healthy and is not the one with id `not`; returns it.
    pub async fn healthy(&self, id: &str, not: &str) -> Result<Task> {
        let what = format!("{id} gets healthy");
        eventually(&what, async || {
            let tasks = self.tasks(id).await?;
            match tasks.as_slice() {
                [task] if task.alive && task.id != not => Ok(Ok(task.clone())),
                _ => Ok(Err(format!("{tasks:?}"))),
            }
        })
        .await
    }
}

impl Task {
    fn read(task: &Value) -> Self {
        let text = |key: &str| task[key].as_str().unwrap_or_default().to_owned();
        let results = task["healthCheckResults"].as_array();
        Self {
            id: text("id"),
            host: text("host"),
            port: task["ports"][0].as_u64().unwrap_or_default(),
            slave: text("slaveId"),
            alive: results.is_some_and(|r| !r.is_empty() && r.iter().all(|r| r["alive"] == true)),
        }
    }

    /// `host:port`, where the app can be reached.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Waits until no container of it is left, not even a stopped one.
    pub async fn no_container_left(&self) -> Result {
        no_container_left(&self.id).await
    }
}

/// Waits until no container of the task with this id is left, not even a stopped one.
pub async fn no_container_left(id: &str) -> Result {
    eventually(&format!("no container of {id} is left"), async || {
        let left = docker::of_task(id).await?;
        Ok(left.is_empty().then_some(()).ok_or(format!("{left:?}")))
    })
    .await
}

/// Looks, in bounded number, until `look` finds what it looks for; else it says what it saw instead.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Result<Result<T, String>>) -> Result<T> {
    let mut tick = interval(PAUSE);
    let deadline = Instant::now() + PATIENCE;
    let mut last = String::new();
    while Instant::now() < deadline {
        tick.tick().await;
        last = match look().await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(seen)) => seen,
            // While a leader changes, not every request is answered.
            Err(error) => error.to_string(),
        };
    }
    Err(Error::new(format!(
        "within {PATIENCE:?} it did not come about that {what}; last seen: {last}"
    )))
}

/// Waits until one framework is registered with the Mesos at `address`, which one that has found its master does up to
/// two seconds later (src/scheduler/constants.hpp @ 0.28.1). Returns what the master then tells of itself.
pub async fn registered(address: &str) -> Result<Value> {
    eventually("one framework is registered", async || {
        let state = get(address, "/state.json").await?.json();
        let known = state["frameworks"].as_array().map_or(0, Vec::len);
        Ok((known == 1).then_some(state).ok_or(format!("{known} frameworks")))
    })
    .await
}

/// The slaves that the sample cloud's leading master counts on, as it shows them.
pub async fn slaves() -> Result<Vec<Value>> {
    let state = get(MESOS, "/state.json").await?.json();
    let slaves = state["slaves"].as_array().context("the leader knows no slaves")?;
    Ok(slaves.iter().filter(|s| s["active"] == true).cloned().collect())
}

/// The pod of the slave that runs a task of the sample cloud.
pub async fn pod_of(cloud: &Cloud, task: &Task) -> Result<Pod> {
    let slaves = slaves().await?;
    let slave = slaves.iter().find(|s| s["id"] == task.slave.as_str());
    let pid = slave.and_then(|s| s["pid"].as_str()).context(&task.slave)?;
    let port = pid.rsplit(':').next().context(pid)?;
    let index = (port.parse::<i32>()? - 5051).to_string();
    let mut pods = cloud.pods(Some("slave")).await?.into_iter();
    let pod = pods.find(|p| p.labels().get("mesoscloud.io/slave-index") == Some(&index));
    pod.context(format!("no pod of slave {index}"))
}
