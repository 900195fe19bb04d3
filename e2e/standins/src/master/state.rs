//! What a master shows of itself (src/master/http.cpp @ 0.28.1:1241–1351), as the original writes it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Master;
use super::cluster::{Framework, Slave, State as Known};
use super::info::VERSION;
use crate::wire::{Resources, RunningTask};

/// `/state`: every master answers for itself; only the leader knows slaves and frameworks.
pub async fn state(State(master): State<Arc<Master>>) -> Response {
    let known = master.cluster.lock();
    let connected = known
        .slaves
        .values()
        .filter(|slave| slave.commands.is_some())
        .count();
    let mut state = json!({
        "version": VERSION,
        "start_time": master.started.1,
        "id": master.info.id,
        "pid": master.info.pid,
        "hostname": master.info.hostname,
        "activated_slaves": count(connected),
        "deactivated_slaves": count(known.slaves.len() - connected),
        "slaves": slave_list(&known),
        "frameworks": framework_list(&known),
        "completed_frameworks": [],
        "orphan_tasks": orphans(&known),
        "unregistered_frameworks": [],
        "flags": flag_values(&master),
    });
    if let Some(elected) = master.elected_at.get() {
        state["elected_time"] = json!(elected);
    }
    if let Some(cluster) = &master.settings.cluster {
        state["cluster"] = json!(cluster);
    }
    if let Some(leader) = &*master.leader.borrow() {
        state["leader"] = json!(leader.pid);
    }
    original(&state)
}

/// `/slaves`.
pub async fn slaves(State(master): State<Arc<Master>>) -> Response {
    original(&json!({"slaves": slave_list(&master.cluster.lock())}))
}

/// `/frameworks`.
pub async fn frameworks(State(master): State<Arc<Master>>) -> Response {
    let known = master.cluster.lock();
    original(
        &json!({"frameworks": framework_list(&known), "completed_frameworks": [], "unregistered_frameworks": []}),
    )
}

/// `/flags`.
pub async fn flags(State(master): State<Arc<Master>>) -> Response {
    original(&json!({"flags": flag_values(&master)}))
}

/// `/version`.
pub async fn version() -> Response {
    original(&json!({"version": VERSION}))
}

fn slave_list(known: &Known) -> Vec<Value> {
    let show = |(id, slave): (&String, &Slave)| {
        json!({
            "id": id,
            "hostname": slave.info.hostname,
            "pid": format!("slave(1)@{}:{}", slave.info.ip, slave.info.port),
            "active": slave.commands.is_some(),
            "registered_time": slave.registered_time,
            "resources": resources(&slave.info.resources),
            "attributes": slave.info.attributes,
            "version": VERSION,
        })
    };
    known.slaves.iter().map(show).collect()
}

fn framework_list(known: &Known) -> Vec<Value> {
    let show = |(id, framework): (&String, &Framework)| {
        json!({
            "id": id,
            "name": framework.name,
            "hostname": framework.hostname,
            "webui_url": framework.webui_url,
            "active": framework.events.is_some(),
            "failover_timeout": framework.failover_timeout,
            "registered_time": framework.registered_time,
            "tasks": tasks(known, |task| task.framework_id == *id),
            "completed_tasks": [],
        })
    };
    known.frameworks.iter().map(show).collect()
}

/// Of frameworks that have not come back since the change of master.
fn orphans(known: &Known) -> Vec<Value> {
    tasks(known, |task| !known.frameworks.contains_key(&task.framework_id))
}

fn tasks(known: &Known, which: impl Fn(&RunningTask) -> bool) -> Vec<Value> {
    let all = known
        .slaves
        .iter()
        .flat_map(|(id, slave)| slave.tasks.values().map(move |task| (id, task)));
    let show = |(slave, running): (&String, &RunningTask)| {
        json!({
            "id": running.task.id,
            "name": running.task.name,
            "framework_id": running.framework_id,
            "slave_id": slave,
            "state": running.state,
            "resources": resources(&running.task.resources),
        })
    };
    all.filter(|(_, task)| which(task)).map(show).collect()
}

fn resources(resources: &Resources) -> Value {
    let ports: Vec<_> = resources
        .ports
        .iter()
        .map(|(begin, end)| format!("{begin}-{end}"))
        .collect();
    let mut shown = json!({"cpus": resources.cpus, "mem": resources.mem, "disk": resources.disk});
    if !ports.is_empty() {
        shown["ports"] = json!(format!("[{}]", ports.join(", ")));
    }
    shown
}

fn flag_values(master: &Master) -> Value {
    let settings = &master.settings;
    let mut flags = json!({
        "authenticate": settings.authenticate.to_string(),
        "hostname": settings.hostname,
        "ip": settings.ip.to_string(),
        "port": settings.port.to_string(),
        "quorum": settings.quorum.to_string(),
        "work_dir": settings.work_dir,
        "zk": format!("zk://{}{}", settings.zk.hosts.join(","), settings.zk.path),
    });
    if let Some(cluster) = &settings.cluster {
        flags["cluster"] = json!(cluster);
    }
    flags
}

/// JSON as 0.28.1 writes it: every `/` escaped (stout json.hpp @ 0.28.1:645–673). Only strings have one.
pub fn original(value: &Value) -> Response {
    let text = value.to_string().replace('/', "\\/");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Counts are written with a point: `1.0`.
pub fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
