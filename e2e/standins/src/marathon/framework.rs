//! The leader as a Mesos framework: what it does with offers and status updates.

use std::sync::Arc;

use serde_json::json;
use tokio::time::Instant;

use super::app::App;
use super::constraints::Place;
use super::driver::{Call, Inbound, Launch, Offer, Status};
use super::health::Health;
use super::leader::{Leader, State};
use super::store;
use super::task::{self, Task};
use super::time::Stamp;

/// `max_tasks_per_offer`.
const TASKS_PER_OFFER: usize = 5;

impl Leader {
    /// Takes one message of the master in.
    pub async fn take_in(self: &Arc<Self>, message: Inbound) {
        match message {
            Inbound::Registered { framework, master } => {
                let mut state = self.state.lock().await;
                let again = state.framework.as_deref() == Some(&framework);
                let kind = if again {
                    "scheduler_reregistered_event"
                } else {
                    "scheduler_registered_event"
                };
                self.bus
                    .publish(kind, json!({"frameworkId": framework, "master": master}));
                if !again {
                    self.keep(self.store.put(store::FRAMEWORK, "id", &framework))
                        .await;
                    state.framework = Some(framework);
                }
                self.registered.notify_one();
            }
            Inbound::Disconnected => self.bus.publish("scheduler_disconnected_event", json!({})),
            Inbound::Removed => {
                // "Framework has been removed": the id is forgotten and the JVM ends
                // (MarathonScheduler.scala @ v1.1.1:112-150).
                self.keep(self.store.remove(store::FRAMEWORK, "id")).await;
                tracing::info!("Framework has been removed");
                std::process::exit(9);
            }
            Inbound::Error(error) => {
                tracing::info!("Driver error: {error}");
                std::process::exit(9);
            }
            Inbound::Offers(offers) => {
                for offer in offers {
                    self.use_offer(offer).await;
                }
            }
            Inbound::Status(status) => self.take_status(status).await,
        }
    }

    /// Launches what fits, declines the rest.
    async fn use_offer(&self, mut offer: Offer) {
        let now = Instant::now();
        let mut state = self.state.lock().await;
        let mut launches = Vec::new();
        let mut progress = true;
        while progress && launches.len() < TASKS_PER_OFFER {
            progress = false;
            let apps: Vec<App> = state.apps.values().cloned().collect();
            for app in apps {
                if launches.len() == TASKS_PER_OFFER || state.wanted(&app, now) == 0 {
                    continue;
                }
                let placed: Vec<Place<'_>> =
                    state.tasks_of(&app.id).iter().map(|task| task.place()).collect();
                let Some(ports) = offer.supply.take(&app, &placed) else {
                    continue;
                };
                let task = Task {
                    id: task::new_id(&app),
                    app: app.id.clone(),
                    version: app.version.clone(),
                    slave: offer.slave.clone(),
                    host: offer.supply.hostname.clone(),
                    attributes: offer.supply.attributes.clone(),
                    ports,
                    checks: app.health_checks.clone(),
                    staged_at: Stamp::now(),
                    started_at: None,
                    killed_at: None,
                    health: Vec::new(),
                };
                // Kept before it is launched: a new leader must know it.
                self.keep(self.store.put(store::TASK, &task.id, &task)).await;
                launches.push(Launch::new(&app, &task));
                state.tasks.insert(task.id.clone(), task);
                progress = true;
            }
        }
        self.call(if launches.is_empty() {
            Call::Decline { offer: offer.id }
        } else {
            Call::Accept {
                offer: offer.id,
                launches,
            }
        });
    }

    async fn take_status(self: &Arc<Self>, status: Status) {
        let mut state = self.state.lock().await;
        let Some(mut task) = state.tasks.get(&status.task).cloned() else {
            if !status.terminal() {
                tracing::info!("Killing unknown task {}", status.task);
                self.call(Call::Kill { task: status.task });
            }
            return;
        };
        let fresh = status.state == "TASK_RUNNING" && !task.running();
        if fresh {
            task.started_at = Some(Stamp::now());
            task.health = vec![Health::default(); task.checks.len()];
            self.keep(self.store.put(store::TASK, &task.id, &task)).await;
            state.tasks.insert(task.id.clone(), task.clone());
        }
        if status.terminal() {
            state.tasks.remove(&task.id);
            self.keep(self.store.remove(store::TASK, &task.id)).await;
            self.record_end(&mut state, &task, &status).await;
        }
        if fresh || status.terminal() || status.state != "TASK_RUNNING" {
            self.bus.publish(
                "status_update_event",
                json!({
                    "slaveId": task.slave, "taskId": task.id, "taskStatus": status.state,
                    "message": status.message, "appId": task.app, "host": task.host, "ipAddresses": [],
                    "ports": task.ports, "version": task.version,
                }),
            );
        }
        drop(state);
        if fresh {
            self.watch_health(&task.id, task.checks.len());
        }
    }

    /// A task that ended by itself delays the next launch; a failure is shown with its app.
    async fn record_end(&self, state: &mut State, task: &Task, status: &Status) {
        let Some(app) = state.apps.get(&task.app).cloned() else {
            return;
        };
        if status.state != "TASK_KILLED" {
            let config = &app.version_info.last_config_change_at;
            state
                .backoff
                .increase(&app.id, config, app.backoff(), Instant::now());
        }
        if matches!(status.state.as_str(), "TASK_FAILED" | "TASK_LOST" | "TASK_ERROR") {
            let failure = json!({
                "appId": task.app, "host": task.host, "message": status.message, "state": status.state,
                "taskId": task.id, "timestamp": Stamp::now(), "version": task.version, "slaveId": task.slave,
            });
            self.keep(self.store.put(store::FAILURE, &task.app, &failure))
                .await;
            state.failures.insert(task.app.clone(), failure);
        }
    }
}
