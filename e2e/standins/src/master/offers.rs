//! What is free is offered to the frameworks, and what they accept is launched (src/master/allocator @ 0.28.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::time::MissedTickBehavior;

use super::Master;
use super::cluster::{Framework, Outstanding, State as Known};
use super::slaves::leading;
use crate::wire::{Accept, Decline, FrameworkEvent, Offer, RunningTask, SlaveCommand, TaskInfo};

/// Offers are made this often (`--allocation_interval`).
const ALLOCATION: Duration = Duration::from_secs(1);
/// A declined slave is not offered again for so long (`Filters.refuse_seconds`).
const REFUSAL: Duration = Duration::from_secs(5);
/// CPUs and megabytes; less than both is not offered (src/master/constants.cpp @ 0.28.1).
const LEAST: (f64, f64) = (0.01, 32.0);

/// Launches tasks on an offer. What does not fit is lost. Without a task it is a way to decline.
pub async fn accept(
    State(master): State<Arc<Master>>,
    Path(framework): Path<String>,
    Json(accept): Json<Accept>,
) -> Response {
    if let Err(not_leading) = leading(&master) {
        return not_leading.into_response();
    }
    let mut state = master.cluster.lock();
    let offer = state
        .offers
        .remove(&accept.offer_id)
        .filter(|offer| offer.framework == framework);
    if accept.tasks.is_empty() {
        refused(&mut state, &framework, offer);
        return StatusCode::OK.into_response();
    }
    for task in accept.tasks {
        let id = task.id.clone();
        let launched = match &offer {
            Some(offer) => launch(&mut state, &framework, &offer.slave, task),
            None => Err("Task launched with invalid offers: Offer is no longer valid"),
        };
        if let Err(message) = launched {
            let slave = offer.as_ref().map(|offer| offer.slave.as_str());
            state.tell_task(&framework, slave, &id, "TASK_LOST", message);
        }
    }
    StatusCode::OK.into_response()
}

fn launch(state: &mut Known, framework: &str, slave_id: &str, task: TaskInfo) -> Result<(), &'static str> {
    let gone = "Task launched with invalid offers: Slave is not connected";
    if state.task(framework, &task.id).is_some() {
        return Err("Task has duplicate ID");
    }
    let free = state.free(slave_id).ok_or(gone)?;
    let need = &task.resources;
    let is_free = |port: &(u16, u16)| {
        free.ports
            .iter()
            .any(|range| range.0 <= port.0 && port.1 <= range.1)
    };
    if need.cpus > free.cpus
        || need.mem > free.mem
        || need.disk > free.disk
        || !need.ports.iter().all(is_free)
    {
        return Err("Task uses more resources than available");
    }
    let command = SlaveCommand::Launch {
        framework_id: framework.to_owned(),
        task: task.clone(),
    };
    if !state.command(slave_id, command) {
        return Err(gone);
    }
    let slave = state.slaves.get_mut(slave_id).ok_or(gone)?;
    let running = RunningTask {
        framework_id: framework.to_owned(),
        task,
        state: "TASK_STAGING".to_owned(),
    };
    slave.tasks.insert(running.task.id.clone(), running);
    Ok(())
}

/// Gives an offer back.
pub async fn decline(
    State(master): State<Arc<Master>>,
    Path(framework): Path<String>,
    Json(decline): Json<Decline>,
) -> Response {
    let mut state = master.cluster.lock();
    let offer = state.offers.remove(&decline.offer_id);
    refused(&mut state, &framework, offer);
    StatusCode::OK.into_response()
}

fn refused(state: &mut Known, framework: &str, offer: Option<Outstanding>) {
    if let (Some(offer), Some(framework)) = (offer, state.frameworks.get_mut(framework)) {
        framework.filters.insert(offer.slave, Instant::now() + REFUSAL);
    }
}

/// Wants offers again.
pub async fn revive(State(master): State<Arc<Master>>, Path(framework): Path<String>) -> Response {
    if let Some(framework) = master.cluster.lock().frameworks.get_mut(&framework) {
        framework.filters.clear();
    }
    master.offer();
    StatusCode::OK.into_response()
}

impl Master {
    /// Makes offers, and forgets who is away for too long. For ever.
    pub async fn allocate(&self) {
        let mut rounds = tokio::time::interval(ALLOCATION);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.remove_gone_frameworks();
            self.remove_gone_slaves().await;
            self.offer();
        }
    }

    /// Offers everything that is free to the first of the frameworks that wants it.
    fn offer(&self) {
        let mut state = self.cluster.lock();
        let connected = state.slaves.iter().filter(|(_, slave)| slave.commands.is_some());
        let slaves: Vec<_> = connected.map(|(id, _)| id.clone()).collect();
        for slave in slaves {
            self.offer_slave(&mut state, &slave);
        }
    }

    fn offer_slave(&self, state: &mut Known, slave_id: &str) -> Option<()> {
        let free = state.free(slave_id)?;
        if free.cpus < LEAST.0 && free.mem < LEAST.1 {
            return None;
        }
        let wants = |framework: &Framework| {
            let filter = framework.filters.get(slave_id);
            framework.events.is_some() && filter.is_none_or(|until| *until < Instant::now())
        };
        let (framework, _) = state.frameworks.iter().find(|(_, framework)| wants(framework))?;
        let (framework, slave) = (framework.clone(), state.slaves.get(slave_id)?);
        let (hostname, attributes) = (slave.info.hostname.clone(), slave.info.attributes.clone());
        let id = format!("{}-O{}", self.info.id, state.next_number());
        let outstanding = Outstanding {
            framework: framework.clone(),
            slave: slave_id.to_owned(),
            resources: free.clone(),
        };
        state.offers.insert(id.clone(), outstanding);
        let offer = Offer {
            id,
            slave_id: slave_id.to_owned(),
            hostname,
            resources: free,
            attributes,
        };
        state.tell(&framework, FrameworkEvent::Offers { offers: vec![offer] });
        Some(())
    }
}
