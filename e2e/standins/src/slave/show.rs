//! What the slave shows of itself: `/state` and `/metrics/snapshot`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::agent::{Agent, Task};
use super::resources;
use crate::wire::Resources;

/// `/metrics/snapshot`: the part that says whether the slave is registered.
pub async fn metrics(agent: &Agent) -> Value {
    let inner = agent.inner.lock().await;
    let running = inner
        .tasks
        .values()
        .filter(|task| task.state == "TASK_RUNNING")
        .count();
    json!({
        "slave/registered": f64::from(u8::from(inner.master.is_some())),
        "slave/recovery_errors": 0.0,
        "slave/tasks_running": u32::try_from(running).map_or(0.0, f64::from),
        "slave/uptime_secs": agent.started.elapsed().as_secs_f64(),
    })
}

/// `/state`.
pub async fn state(agent: &Agent) -> Value {
    let inner = agent.inner.lock().await;
    let (ip, port) = agent.settings.advertised;
    let id = inner.id.as_deref();
    // Framework → (executors, executors that ended).
    let mut frameworks: BTreeMap<String, (Vec<Value>, Vec<Value>)> = BTreeMap::new();
    for task in inner.tasks.values() {
        frameworks
            .entry(task.run.framework.clone())
            .or_default()
            .0
            .push(executor(task, id));
    }
    for ended in &inner.completed {
        let framework = ended["tasks"][0]["framework_id"].as_str().unwrap_or_default();
        frameworks
            .entry(framework.to_owned())
            .or_default()
            .1
            .push(ended.clone());
    }
    let frameworks: Vec<Value> = frameworks
        .into_iter()
        .map(|(id, (executors, ended))| {
            json!({"id": id, "name": "marathon", "executors": executors, "completed_executors": ended})
        })
        .collect();
    json!({
        "version": "0.28.1",
        "id": id.unwrap_or_default(),
        "pid": format!("slave(1)@{ip}:{port}"),
        "hostname": agent.settings.hostname,
        "resources": amounts(&agent.settings.resources),
        "attributes": agent.settings.attributes,
        "master_hostname": inner.master,
        "flags": {
            "work_dir": agent.settings.work_dir,
            "containerizers": agent.settings.containerizers.join(","),
            "docker": agent.settings.docker,
        },
        "frameworks": frameworks,
        "completed_frameworks": [],
    })
}

fn amounts(resources: &Resources) -> Value {
    json!({
        "cpus": resources.cpus,
        "mem": resources.mem,
        "disk": resources.disk,
        "ports": resources::show_ranges(&resources.ports),
    })
}

/// One executor, with its only task.
pub fn executor(task: &Task, slave: Option<&str>) -> Value {
    let info = &task.run.task;
    let shown = json!({
        "id": info.id,
        "name": info.name,
        "executor_id": "",
        "framework_id": task.run.framework,
        "slave_id": slave,
        "state": task.state,
        "resources": amounts(&info.resources),
    });
    json!({
        "id": info.id,
        "name": "",
        "source": info.id,
        "container": task.run.container,
        "directory": task.directory,
        "resources": amounts(&info.resources),
        "tasks": [shown],
        "queued_tasks": [],
        "completed_tasks": [],
    })
}
