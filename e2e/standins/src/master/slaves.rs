//! The slaves' side of the wire, and what becomes of slaves that went away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::mpsc::unbounded_channel;

use super::cluster::{Connection, Slave, State as Known};
use super::log::replica::KnownSlave;
use super::stream::{AtEnd, lines};
use super::{Leadership, Master, seconds_since_epoch};
use crate::wire::{FrameworkEvent, Refused, Register, Registered, SlaveCommand, TaskUpdate};

/// A slave that is away for so long is removed: five pings of 15 s (constants.cpp @ 0.28.1:33–34).
const REMOVAL: Duration = Duration::from_secs(75);

/// Whether it can be asked as the leader; its 503 otherwise.
pub fn leading(master: &Master) -> Result<(), StatusCode> {
    if *master.leadership.borrow() == Leadership::Leading {
        return Ok(());
    }
    Err(StatusCode::SERVICE_UNAVAILABLE)
}

/// 403: wants nothing to do with it.
pub fn refuse(reason: &str) -> Response {
    let reason = reason.to_owned();
    (StatusCode::FORBIDDEN, Json(Refused { reason })).into_response()
}

/// A slave says that it is there.
pub async fn register(State(master): State<Arc<Master>>, Json(info): Json<Register>) -> Response {
    if let Err(not_leading) = leading(&master) {
        return not_leading.into_response();
    }
    let (id, replaced) = match identify(&master, &info) {
        Ok(identified) => identified,
        Err(reason) => return refuse(reason),
    };
    master.log.remove(replaced.as_slice()).await;
    // In the registry before it is told so.
    let known = KnownSlave {
        id: id.clone(),
        hostname: info.hostname.clone(),
    };
    master.log.admit(known).await;
    let mut state = master.cluster.lock();
    state.recovered.remove(&id);
    state.offers.retain(|_, offer| offer.slave != id);
    let before = state.slaves.remove(&id);
    let registered_time = before
        .as_ref()
        .map_or_else(seconds_since_epoch, |slave| slave.registered_time);
    let lost = before.into_iter().flat_map(|slave| slave.tasks);
    let has = |task: &str| info.tasks.iter().any(|running| running.task.id == task);
    for (task_id, task) in lost.filter(|(task_id, _)| !has(task_id)) {
        let message = "Task is unknown to the slave";
        state.tell_task(&task.framework_id, Some(&id), &task_id, "TASK_LOST", message);
    }
    let tasks = info
        .tasks
        .iter()
        .map(|running| (running.task.id.clone(), running.clone()))
        .collect();
    let slave = Slave {
        info,
        commands: None,
        gone_since: Some(Instant::now()),
        tasks,
        registered_time,
    };
    state.slaves.insert(id.clone(), slave);
    Json(Registered { id }).into_response()
}

/// The slave's id, and that of one that it takes the place of.
fn identify(master: &Master, info: &Register) -> Result<(String, Option<String>), &'static str> {
    let mut state = master.cluster.lock();
    if let Some(id) = &info.id {
        // master.cpp @ 0.28.1:4338–4352.
        if state.removed.contains(id) {
            return Err("Slave attempted to re-register after removal");
        }
        // master.cpp @ 0.28.1:4368–4386.
        let moved = |slave: &Slave| slave.info.ip != info.ip || slave.info.hostname != info.hostname;
        if state.slaves.get(id).is_some_and(moved) {
            return Err("Slave is re-registering with a different IP or hostname");
        }
        return Ok((id.clone(), None));
    }
    // The same address under a new id: the old slave is no more.
    let same = |slave: &Slave| slave.info.ip == info.ip && slave.info.port == info.port;
    let old = state
        .slaves
        .iter()
        .find(|(_, slave)| same(slave))
        .map(|(id, _)| id.clone());
    if let Some(old) = &old {
        state.remove_slave(old, "a new slave registered at the same address");
    }
    Ok((format!("{}-S{}", master.info.id, state.next_number()), old))
}

/// The stream of commands to a slave. Its end disconnects the slave.
pub async fn commands(State(master): State<Arc<Master>>, Path(id): Path<String>) -> Response {
    let (sender, receiver) = unbounded_channel();
    let number = {
        let mut state = master.cluster.lock();
        let number = state.next_number();
        let Some(slave) = state.slaves.get_mut(&id) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        slave.commands = Some(Connection { number, sender });
        slave.gone_since = None;
        number
    };
    let at_end = AtEnd::new(move || disconnected(&mut master.cluster.lock(), &id, number));
    lines(receiver, SlaveCommand::Ping, at_end)
}

fn disconnected(state: &mut Known, id: &str, number: u64) {
    let Some(slave) = state.slaves.get_mut(id) else {
        return;
    };
    if slave
        .commands
        .as_ref()
        .is_some_and(|commands| commands.number == number)
    {
        slave.commands = None;
        slave.gone_since = Some(Instant::now());
        // Rescinded.
        state.offers.retain(|_, offer| offer.slave != id);
        tracing::info!("Slave {id} disconnected");
    }
}

/// News of a task.
pub async fn update(
    State(master): State<Arc<Master>>,
    Path(id): Path<String>,
    Json(update): Json<TaskUpdate>,
) -> Response {
    if let Err(not_leading) = leading(&master) {
        return not_leading.into_response();
    }
    let mut state = master.cluster.lock();
    let Some(slave) = state.slaves.get_mut(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if matches!(
        update.state.as_str(),
        "TASK_STAGING" | "TASK_STARTING" | "TASK_RUNNING"
    ) {
        if let Some(task) = slave.tasks.get_mut(&update.task_id) {
            task.state.clone_from(&update.state);
        }
    } else {
        slave.tasks.remove(&update.task_id);
    }
    let framework = update.framework_id;
    let event = FrameworkEvent::Update {
        task_id: update.task_id,
        slave_id: Some(id),
        state: update.state,
        message: update.message,
    };
    if !state.tell(&framework, event.clone()) {
        state.undelivered.entry(framework).or_default().push(event);
    }
    StatusCode::OK.into_response()
}

/// A slave leaves for good.
pub async fn unregister(State(master): State<Arc<Master>>, Path(id): Path<String>) -> Response {
    if let Err(not_leading) = leading(&master) {
        return not_leading.into_response();
    }
    master.cluster.lock().remove_slave(&id, "Slave unregistered");
    master.log.remove(&[id]).await;
    StatusCode::OK.into_response()
}

impl Master {
    /// Removes slaves that are away for too long.
    pub async fn remove_gone_slaves(&self) {
        let gone = {
            let mut state = self.cluster.lock();
            let over = |slave: &Slave| slave.gone_since.is_some_and(|since| since.elapsed() > REMOVAL);
            let gone = state.slaves.iter().filter(|(_, slave)| over(slave));
            let mut gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
            // After a change of master the slaves of the registry have more time (master.cpp @ 0.28.1:1530–1594).
            let since = self
                .elected_at
                .get()
                .map(|elected| seconds_since_epoch() - elected);
            if since.is_some_and(|since| since > self.settings.slave_reregister_timeout.as_secs_f64()) {
                gone.extend(state.recovered.iter().cloned());
            }
            for id in &gone {
                state.remove_slave(id, "Slave did not come back in time");
            }
            gone
        };
        if !gone.is_empty() {
            self.log.remove(&gone).await;
        }
    }
}
