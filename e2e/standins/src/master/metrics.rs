//! `/metrics/snapshot` (src/master/metrics.cpp, libprocess metrics.cpp @ 0.28.1).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::state::{count, original};
use super::{Leadership, Master};

/// Two answers a second; the rest waits its turn (libprocess metrics.cpp @ 0.28.1:59–103).
const PACE: Duration = Duration::from_millis(500);

static NEXT: Mutex<Option<Instant>> = Mutex::new(None);

/// A turn is taken even by those who do not wait for it: whoever asks too often makes everybody wait.
pub async fn snapshot(State(master): State<Arc<Master>>) -> Response {
    let turn = {
        let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = next.map_or_else(Instant::now, |next| next.max(Instant::now()));
        *next = Some(turn + PACE);
        turn
    };
    sleep_until(turn).await;
    original(&metrics(&master))
}

fn metrics(master: &Master) -> serde_json::Value {
    let state = master.cluster.lock();
    let connected = state
        .slaves
        .values()
        .filter(|slave| slave.commands.is_some())
        .count();
    let disconnected = state.slaves.len() - connected;
    let active = state
        .frameworks
        .values()
        .filter(|framework| framework.events.is_some())
        .count();
    let inactive = state.frameworks.len() - active;
    let tasks = state.slaves.values().flat_map(|slave| slave.tasks.values());
    let in_state = |name: &str| count(tasks.clone().filter(|task| task.state == name).count());
    let mut metrics = json!({
        "master/elected": count(usize::from(master.is_elected())),
        "master/frameworks_active": count(active),
        "master/frameworks_connected": count(active),
        "master/frameworks_disconnected": count(inactive),
        "master/frameworks_inactive": count(inactive),
        "master/outstanding_offers": count(state.offers.len()),
        "master/slave_removals": count(state.removed.len()),
        "master/slaves_active": count(connected),
        "master/slaves_connected": count(connected),
        "master/slaves_disconnected": count(disconnected),
        "master/slaves_inactive": count(disconnected),
        "master/tasks_running": in_state("TASK_RUNNING"),
        "master/tasks_staging": in_state("TASK_STAGING"),
        "master/tasks_starting": in_state("TASK_STARTING"),
        "master/uptime_secs": master.started.0.elapsed().as_secs_f64(),
    });
    // Left out until the registry has been fetched (registrar.cpp @ 0.28.1:170–177, 345).
    if *master.leadership.borrow() == Leadership::Leading {
        let size = master.log.replica.record().entry.registry.len();
        metrics["registrar/registry_size_bytes"] = json!(count(size));
    }
    metrics
}
