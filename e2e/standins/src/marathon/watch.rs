//! The leader's health checks: one loop per check of each running task.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::definition::HealthCheck;
use super::health::{self, Outcome};
use super::leader::Leader;
use super::time::Stamp;

impl Leader {
    /// Starts one loop per health check of a running task.
    pub fn watch_health(self: &Arc<Self>, task: &str, checks: usize) {
        for index in 0..checks {
            self.spawn(Arc::clone(self).check_health(task.to_owned(), index));
        }
    }

    async fn check_health(self: Arc<Self>, id: String, index: usize) {
        let Some(check) = self
            .state
            .lock()
            .await
            .tasks
            .get(&id)
            .and_then(|task| task.checks.get(index).cloned())
        else {
            return;
        };
        // The first result comes after a whole interval, under a new leader too.
        let interval = Duration::from_secs(check.interval_seconds.max(1));
        let mut times = tokio::time::interval_at(Instant::now() + interval, interval);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            let Some(task) = self.state.lock().await.tasks.get(&id).cloned() else {
                return;
            };
            let (leader, check) = (Arc::clone(&self), check.clone());
            // A slow answer does not delay the next check.
            self.spawn(async move {
                let outcome = health::check(&check, &task.host, &task.ports).await;
                leader.take_health(&task.id, index, &check, outcome).await;
            });
        }
    }

    async fn take_health(&self, id: &str, index: usize, check: &HealthCheck, outcome: Outcome) {
        let mut state = self.state.lock().await;
        let Some(task) = state.tasks.get_mut(id) else {
            return;
        };
        task.health.resize_with(task.checks.len(), Default::default);
        let verdict = task.health[index].record(check, outcome, task.started_at, Stamp::now());
        let about = json!({"appId": task.app, "taskId": task.id, "version": task.version});
        if verdict.failed {
            let mut failed = about.clone();
            failed["healthCheck"] = json!(check);
            self.bus.publish("failed_health_check_event", failed);
        }
        if let Some(alive) = verdict.changed_to {
            let mut changed = about;
            changed["alive"] = json!(alive);
            self.bus.publish("health_status_changed_event", changed);
        }
        if verdict.kill {
            tracing::info!("Detected unhealthy task {id}");
            self.kill(task);
        }
        drop(state);
        self.wake();
    }
}
