//! The frameworks' side of the wire, and what becomes of frameworks that went away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc::unbounded_channel;

use super::cluster::{Connection, Framework, State as Known};
use super::slaves::{leading, refuse};
use super::stream::{AtEnd, lines};
use super::{Master, seconds_since_epoch};
use crate::wire::{FrameworkEvent, KillTask, Reconcile, SlaveCommand, Subscribe};

/// A framework says that it is there.
pub async fn subscribe(State(master): State<Arc<Master>>, Json(subscribe): Json<Subscribe>) -> Response {
    if let Err(not_leading) = leading(&master) {
        return not_leading.into_response();
    }
    let (sender, receiver) = unbounded_channel();
    let (id, number) = {
        let mut state = master.cluster.lock();
        let number = state.next_number();
        let id = subscribe
            .id
            .unwrap_or_else(|| format!("{}-{number:04}", master.info.id));
        if state.completed.contains(&id) {
            return refuse("Framework has been removed");
        }
        let subscribed = FrameworkEvent::Subscribed {
            framework_id: id.clone(),
            master: format!("{}:{}", master.info.hostname, master.info.port),
        };
        let missed = state.undelivered.remove(&id).unwrap_or_default();
        for event in std::iter::once(subscribed).chain(missed) {
            let _ = sender.send(event);
        }
        state.offers.retain(|_, offer| offer.framework != id);
        // A second one of the same id takes over.
        let message = "Framework failed over".to_owned();
        state.tell(&id, FrameworkEvent::Error { message });
        let known = state.frameworks.remove(&id);
        let framework = Framework {
            name: subscribe.name,
            hostname: subscribe.hostname,
            webui_url: subscribe.webui_url,
            failover_timeout: subscribe.failover_timeout,
            events: Some(Connection { number, sender }),
            gone_since: None,
            filters: BTreeMap::new(),
            registered_time: known.map_or_else(seconds_since_epoch, |framework| framework.registered_time),
        };
        state.frameworks.insert(id.clone(), framework);
        (id, number)
    };
    let at_end = AtEnd::new(move || disconnected(&mut master.cluster.lock(), &id, number));
    lines(receiver, FrameworkEvent::Ping, at_end)
}

/// It may come back within its `failover_timeout`.
fn disconnected(state: &mut Known, id: &str, number: u64) {
    let Some(framework) = state.frameworks.get_mut(id) else {
        return;
    };
    if framework
        .events
        .as_ref()
        .is_some_and(|events| events.number == number)
    {
        framework.events = None;
        framework.gone_since = Some(Instant::now());
        state.offers.retain(|_, offer| offer.framework != id);
        tracing::info!("Framework {id} disconnected");
    }
}

/// Ends a task.
pub async fn kill(
    State(master): State<Arc<Master>>,
    Path(framework_id): Path<String>,
    Json(KillTask { task_id }): Json<KillTask>,
) -> Response {
    if let Err(not_leading) = leading(&master) {
        return not_leading.into_response();
    }
    let state = master.cluster.lock();
    match state.task(&framework_id, &task_id) {
        Some((slave, ..)) => {
            let slave = slave.clone();
            state.command(
                &slave,
                SlaveCommand::Kill {
                    framework_id,
                    task_id,
                },
            );
        }
        // Of an unknown one it tells what it tells who asks (master.cpp @ 0.28.1, `killTask`).
        None => tell_state(&state, &framework_id, &task_id),
    }
    StatusCode::OK.into_response()
}

/// Tells what became of tasks.
pub async fn reconcile(
    State(master): State<Arc<Master>>,
    Path(framework_id): Path<String>,
    Json(reconcile): Json<Reconcile>,
) -> Response {
    if let Err(not_leading) = leading(&master) {
        return not_leading.into_response();
    }
    let state = master.cluster.lock();
    let asked = if reconcile.task_ids.is_empty() {
        state.tasks_of(&framework_id)
    } else {
        reconcile.task_ids
    };
    for task_id in asked {
        tell_state(&state, &framework_id, &task_id);
    }
    StatusCode::OK.into_response()
}

/// As long as slaves of the registry have not come back, nothing is said of a task that is unknown: it may be one of
/// theirs (master.cpp @ 0.28.1, `_reconcileTasks`, `Slaves::transitioning`).
fn tell_state(state: &Known, framework: &str, task: &str) {
    match state.task(framework, task) {
        Some((slave, _, running)) => {
            let message = "Reconciliation: Latest task state";
            state.tell_task(framework, Some(slave), task, &running.state, message);
        }
        None if state.recovered.is_empty() => {
            state.tell_task(
                framework,
                None,
                task,
                "TASK_LOST",
                "Reconciliation: Task is unknown",
            );
        }
        None => {
            tracing::info!("Dropping reconciliation of task {task} because there are transitional slaves");
        }
    }
}

impl Master {
    /// Removes frameworks that are away for too long, and ends their tasks.
    pub fn remove_gone_frameworks(&self) {
        let mut state = self.cluster.lock();
        let over = |framework: &Framework| {
            let limit = Duration::try_from_secs_f64(framework.failover_timeout).unwrap_or(Duration::MAX);
            framework.gone_since.is_some_and(|since| since.elapsed() > limit)
        };
        let gone = state.frameworks.iter().filter(|(_, framework)| over(framework));
        let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
        for framework_id in gone {
            tracing::info!("Removed framework {framework_id}: it did not come back in time");
            for task_id in state.tasks_of(&framework_id) {
                let Some((slave, ..)) = state.task(&framework_id, &task_id) else {
                    continue;
                };
                let (slave, framework_id) = (slave.clone(), framework_id.clone());
                state.command(
                    &slave,
                    SlaveCommand::Kill {
                        framework_id,
                        task_id,
                    },
                );
            }
            state.frameworks.remove(&framework_id);
            state.undelivered.remove(&framework_id);
            state.completed.insert(framework_id);
        }
    }
}
