//! What the REST API does to apps: every change is a deployment (`AppsResource.scala`, `GroupManager.scala`).

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::app::App;
use super::deployment::{Deployment, Kind};
use super::leader::{Leader, State};
use super::store;
use super::task::Task;
use super::time::Stamp;
use super::validate;

/// Why a request is not done: status and body.
pub type Refusal = (StatusCode, Value);

/// What to do to one app.
#[derive(Debug)]
pub struct Change {
    /// The app.
    pub id: String,
    /// Its new definition; `None` deletes it.
    pub app: Option<App>,
    /// Replace its tasks even if nothing changed.
    pub restart: bool,
}

/// 404 for an app.
pub fn unknown(id: &str) -> Refusal {
    (
        StatusCode::NOT_FOUND,
        json!({"message": format!("App '{id}' does not exist")}),
    )
}

/// 400 for what is no app at all.
pub fn invalid_json(error: &serde_json::Error) -> Refusal {
    let details = json!([{"path": "", "errors": [error.to_string()]}]);
    (
        StatusCode::BAD_REQUEST,
        json!({"message": "Invalid JSON", "details": details}),
    )
}

impl Leader {
    /// Reads an app of a request: a new one, or an update of what there is.
    pub async fn read_app(&self, id: Option<&str>, body: &Value, create: bool) -> Result<App, Refusal> {
        let state = self.state.lock().await;
        let wanted = id
            .map(str::to_owned)
            .or_else(|| body["id"].as_str().map(absolute));
        let existing = wanted.as_ref().and_then(|id| state.apps.get(id));
        if let (true, Some(app)) = (create, existing) {
            let message = format!("An app with id [{}] already exists.", app.id);
            return Err((StatusCode::CONFLICT, json!({"message": message})));
        }
        let mut app = App::read(existing, id, body).map_err(|error| invalid_json(&error))?;
        let others: Vec<&String> = state.apps.keys().filter(|other| **other != app.id).collect();
        let violations = validate::app(&app, others.into_iter());
        if !violations.is_empty() {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, validate::body(&violations)));
        }
        let taken: Vec<u16> = state
            .apps
            .values()
            .filter(|other| other.id != app.id)
            .flat_map(|other| other.ports.iter().copied())
            .collect();
        let previous = existing.map(|app| app.ports.clone()).unwrap_or_default();
        app.assign_service_ports(&taken, &previous);
        Ok(app)
    }

    /// Makes changes in one deployment. An app that is in another one is locked, unless `force`.
    pub async fn change(&self, changes: Vec<Change>, force: bool) -> Result<Deployment, Refusal> {
        let mut state = self.state.lock().await;
        let locking: Vec<Deployment> = state
            .deployments
            .iter()
            .filter(|deployment| changes.iter().any(|change| deployment.affects(&change.id)))
            .cloned()
            .collect();
        if !locking.is_empty() && !force {
            return Err(locked(&locking));
        }
        for deployment in locking {
            self.cancel(&mut state, &deployment).await;
        }
        let version = next_version(&state);
        let mut actions = Vec::new();
        for change in changes {
            let kind = self.apply(&mut state, &change, &version).await;
            actions.extend(kind.map(|kind| (change.id, kind)));
        }
        let deployment = Deployment::new(&version, actions);
        if !deployment.actions.is_empty() {
            self.keep(self.store.put(store::DEPLOYMENT, &deployment.id, &deployment))
                .await;
            state.deployments.push(deployment.clone());
            let info =
                json!({"plan": deployment.plan(), "currentStep": deployment.to_json()["currentActions"]});
            self.bus.publish("deployment_info", info);
        }
        drop(state);
        self.wake();
        Ok(deployment)
    }

    async fn apply(&self, state: &mut State, change: &Change, version: &str) -> Option<Kind> {
        let old = state.apps.get(&change.id).cloned();
        let Some(app) = &change.app else {
            state.apps.remove(&change.id);
            state.failures.remove(&change.id);
            state.backoff.reset(&change.id);
            self.keep(self.store.remove(store::APP, &change.id)).await;
            self.keep(self.store.remove(store::FAILURE, &change.id)).await;
            self.bus
                .publish("app_terminated_event", json!({"appId": change.id}));
            return old.map(|_| Kind::Stop);
        };
        let kind = match &old {
            None => Kind::Start,
            Some(old) if change.restart || app.needs_restart_from(old) => Kind::Restart,
            Some(old) if app.instances != old.instances => Kind::Scale,
            Some(old) if app.upgrade_strategy == old.upgrade_strategy => return None,
            Some(_) => Kind::Restart,
        };
        let mut app = app.clone();
        version.clone_into(&mut app.version);
        version.clone_into(&mut app.version_info.last_scaling_at);
        if kind != Kind::Scale {
            version.clone_into(&mut app.version_info.last_config_change_at);
            state.backoff.reset(&app.id);
        }
        self.keep(self.store.put(store::APP, &app.id, &app)).await;
        state.apps.insert(app.id.clone(), app);
        Some(kind)
    }

    async fn cancel(&self, state: &mut State, deployment: &Deployment) {
        state.deployments.retain(|other| other.id != deployment.id);
        self.keep(self.store.remove(store::DEPLOYMENT, &deployment.id))
            .await;
        self.bus.publish(
            "deployment_failed",
            json!({"id": deployment.id, "plan": deployment.plan()}),
        );
    }

    /// Gives up a deployment; what it started stays as it is.
    pub async fn cancel_deployment(&self, id: &str) -> bool {
        let mut state = self.state.lock().await;
        let found = state
            .deployments
            .iter()
            .find(|deployment| deployment.id == id)
            .cloned();
        if let Some(deployment) = &found {
            self.cancel(&mut state, deployment).await;
        }
        found.is_some()
    }

    /// Kills tasks that `chosen` picks; with `scale` the apps lose as many instances.
    pub async fn kill_tasks(
        &self,
        scale: bool,
        chosen: impl Fn(&Task) -> bool,
    ) -> Result<Vec<Value>, Refusal> {
        let mut state = self.state.lock().await;
        let killed: Vec<Task> = state
            .tasks
            .values()
            .filter(|task| chosen(task))
            .cloned()
            .collect();
        let mut smaller = Vec::new();
        if scale {
            for app in state.apps.values() {
                let count = killed.iter().filter(|task| task.app == app.id).count();
                if count > 0 {
                    let left = (app.instances as usize).saturating_sub(count);
                    let instances = u32::try_from(left).unwrap_or(0);
                    smaller.push(App {
                        instances,
                        ..app.clone()
                    });
                }
            }
        }
        for task in &killed {
            if let Some(task) = state.tasks.get_mut(&task.id) {
                self.kill(task);
            }
        }
        drop(state);
        if !smaller.is_empty() {
            let changes = smaller.into_iter().map(|app| Change {
                id: app.id.clone(),
                app: Some(app),
                restart: false,
            });
            self.change(changes.collect(), true).await?;
        }
        Ok(killed.iter().map(Task::to_json).collect())
    }
}

fn locked(deployments: &[Deployment]) -> Refusal {
    let ids: Vec<Value> = deployments
        .iter()
        .map(|deployment| json!({"id": deployment.id}))
        .collect();
    let message = "App is locked by one or more deployments. Override with the option '?force=true'. \
                   View details at '/v2/deployments/<DEPLOYMENT_ID>'.";
    (
        StatusCode::CONFLICT,
        json!({"message": message, "deployments": ids}),
    )
}

/// The present, or a moment after the youngest version: versions are compared.
fn next_version(state: &State) -> String {
    let now = Stamp::now().to_string();
    let youngest = state
        .apps
        .values()
        .map(|app| app.version.as_str())
        .max()
        .unwrap_or_default();
    if now.as_str() > youngest {
        return now;
    }
    let after = serde_json::from_value::<Stamp>(json!(youngest)).unwrap_or_else(|_| Stamp::now());
    (after + std::time::Duration::from_millis(1)).to_string()
}

/// An id as the API takes it: with or without the first slash.
pub fn absolute(id: &str) -> String {
    format!("/{}", id.trim_matches('/'))
}
