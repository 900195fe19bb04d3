//! What only the leading Marathon does: it holds the framework, launches, kills and checks tasks.
//!
//! A [`Leader`] lives as long as one leadership; everything it must not forget is in the [`Store`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::Instant;
use zookeeper_client as zk;

use super::app::App;
use super::backoff::Backoff;
use super::deployment::Deployment;
use super::driver::{self, Call, Inbound};
use super::events::Bus;
use super::flags::Settings;
use super::plan;
use super::store::{self, Store};
use super::task::Task;
use super::time::Stamp;

/// An unanswered kill is repeated (`TaskReplaceActor.scala`, `RetryKills`).
const RETRY_KILLS: Duration = Duration::from_secs(15);
/// The loop looks at least so often for kills to repeat and tasks that never started.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// `reconciliation_initial_delay` and `reconciliation_interval`.
const RECONCILE_AFTER: Duration = Duration::from_secs(15);
const RECONCILE_EVERY: Duration = Duration::from_secs(600);

/// Everything a leader knows.
#[derive(Debug, Default)]
pub struct State {
    /// Given by the master; kept for ever.
    pub framework: Option<String>,
    /// Apps by id.
    pub apps: BTreeMap<String, App>,
    /// Tasks by id.
    pub tasks: BTreeMap<String, Task>,
    /// Changes under way.
    pub deployments: Vec<Deployment>,
    /// Launch delays.
    pub backoff: Backoff,
    /// The last failure of each app.
    pub failures: BTreeMap<String, Value>,
}

impl State {
    async fn load(store: &Store) -> Result<Self, zk::Error> {
        let framework = store.all::<String>(store::FRAMEWORK).await?.pop();
        let apps = store.all::<App>(store::APP).await?;
        let tasks = store.all::<Task>(store::TASK).await?;
        let failures = store.all::<Value>(store::FAILURE).await?;
        let app_of = |failure: &Value| failure["appId"].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            framework,
            apps: apps.into_iter().map(|app| (app.id.clone(), app)).collect(),
            tasks: tasks.into_iter().map(|task| (task.id.clone(), task)).collect(),
            deployments: store.all(store::DEPLOYMENT).await?,
            backoff: Backoff::default(),
            failures: failures
                .into_iter()
                .map(|failure| (app_of(&failure), failure))
                .collect(),
        })
    }

    /// The tasks of one app.
    pub fn tasks_of(&self, app: &str) -> Vec<&Task> {
        self.tasks.values().filter(|task| task.app == app).collect()
    }

    /// How many tasks of `app` may be launched at this moment.
    pub fn wanted(&self, app: &App, now: Instant) -> usize {
        let config = &app.version_info.last_config_change_at;
        if self
            .backoff
            .deadline(&app.id, config)
            .is_some_and(|deadline| deadline > now)
        {
            return 0;
        }
        plan::need(app, &self.tasks_of(&app.id)).launch
    }
}

/// One leadership.
#[derive(Debug)]
pub struct Leader {
    /// This Marathon's settings.
    pub settings: Arc<Settings>,
    /// Where its state is kept.
    pub store: Store,
    /// Its events.
    pub bus: Bus,
    /// What it knows.
    pub state: Mutex<State>,
    /// Asked to step down through the API.
    pub abdicated: Notify,
    /// A master knows the framework.
    pub registered: Notify,
    changed: Notify,
    calls: mpsc::UnboundedSender<Call>,
    stopped: watch::Sender<bool>,
}

impl Leader {
    /// Reads the state and begins to lead.
    pub async fn start(settings: Arc<Settings>, store: Store) -> Result<Arc<Self>, zk::Error> {
        let state = State::load(&store).await?;
        let (calls, called) = mpsc::unbounded_channel();
        let (report, inbound) = mpsc::unbounded_channel();
        let framework = state.framework.clone();
        let known: Vec<(String, usize)> = state
            .tasks
            .values()
            .filter(|task| task.running())
            .map(|task| (task.id.clone(), task.checks.len()))
            .collect();
        let leader = Arc::new(Self {
            settings: Arc::clone(&settings),
            store,
            bus: Bus::default(),
            state: Mutex::new(state),
            abdicated: Notify::new(),
            registered: Notify::new(),
            changed: Notify::new(),
            calls,
            stopped: watch::Sender::new(false),
        });
        leader.spawn(driver::run(settings, framework, called, report));
        leader.spawn(Arc::clone(&leader).run(inbound));
        leader.spawn(Arc::clone(&leader).reconcile());
        for (task, checks) in known {
            leader.watch_health(&task, checks);
        }
        Ok(leader)
    }

    /// Ends everything this leadership does; its tasks run on.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Turns true when the leadership is over.
    pub fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.subscribe()
    }

    /// Does something for as long as the leadership lasts.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut stopped = self.stopped.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
    }

    /// Something may need doing.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Asks the master to end a task.
    pub fn kill(&self, task: &mut Task) {
        task.killed_at = Some(Stamp::now());
        self.call(Call::Kill {
            task: task.id.clone(),
        });
    }

    /// Tells the master something.
    pub fn call(&self, call: Call) {
        // The driver ends only with this leadership.
        let _ = self.calls.send(call);
    }

    /// A write that fails means that ZooKeeper is gone, and the leadership with it.
    pub async fn keep(&self, written: impl Future<Output = Result<(), zk::Error>>) {
        if let Err(error) = written.await {
            tracing::info!("Cannot write to ZooKeeper: {error}");
        }
    }

    async fn run(self: Arc<Self>, mut inbound: mpsc::UnboundedReceiver<Inbound>) {
        loop {
            let now = Instant::now();
            let backoff = self.state.lock().await.backoff.next_deadline(now);
            let next = backoff.map_or(now + HOUSEKEEPING, |deadline| deadline.min(now + HOUSEKEEPING));
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(next) => {}
                Some(message) = inbound.recv() => self.take_in(message).await,
            }
            self.settle().await;
        }
    }

    /// Asks the master what became of all tasks, now and then. Not at once after a registration: a new master may
    /// not know all slaves yet.
    async fn reconcile(self: Arc<Self>) {
        let mut pause = RECONCILE_AFTER;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {
                    let tasks: Vec<String> = self.state.lock().await.tasks.keys().cloned().collect();
                    // An empty list would ask for all tasks of the framework.
                    if !tasks.is_empty() {
                        self.call(Call::Reconcile(tasks));
                    }
                    pause = RECONCILE_EVERY;
                }
                () = self.registered.notified() => pause = RECONCILE_AFTER,
            }
        }
    }

    /// Kills what must go, finishes what is done. Launching waits for offers.
    async fn settle(&self) {
        let mut state = self.state.lock().await;
        let mut kill: Vec<String> = Vec::new();
        for app in state.apps.values() {
            kill.extend(plan::need(app, &state.tasks_of(&app.id)).kill);
        }
        let orphans = state
            .tasks
            .values()
            .filter(|task| !state.apps.contains_key(&task.app));
        kill.extend(
            orphans
                .filter(|task| task.killed_at.is_none())
                .map(|task| task.id.clone()),
        );
        let timeout = self.settings.task_launch_timeout;
        for task in state.tasks.values() {
            let unanswered = task.killed_at.is_some_and(|at| at.elapsed() >= RETRY_KILLS);
            let stuck = !task.running() && task.killed_at.is_none() && task.staged_at.elapsed() >= timeout;
            if unanswered || stuck {
                kill.push(task.id.clone());
            }
        }
        for id in kill {
            if let Some(task) = state.tasks.get_mut(&id) {
                self.kill(task);
            }
        }

        let now = Instant::now();
        state
            .backoff
            .forget_overdue(now.checked_sub(Duration::from_secs(60)).unwrap_or(now));
        let done: Vec<Deployment> = state
            .deployments
            .iter()
            .filter(|d| is_done(&state, d))
            .cloned()
            .collect();
        state.deployments.retain(|deployment| !done.contains(deployment));
        for deployment in done {
            self.keep(self.store.remove(store::DEPLOYMENT, &deployment.id))
                .await;
            self.bus
                .publish("deployment_step_success", json!({"plan": deployment.plan()}));
            self.bus.publish(
                "deployment_success",
                json!({"id": deployment.id, "plan": deployment.plan()}),
            );
        }
        if state.apps.values().any(|app| state.wanted(app, now) > 0) {
            self.call(Call::Revive);
        }
    }
}

fn is_done(state: &State, deployment: &Deployment) -> bool {
    deployment.actions.iter().all(|(id, _)| {
        let tasks = state.tasks_of(id);
        match state.apps.get(id) {
            Some(app) => plan::settled(app, &tasks),
            None => tasks.is_empty(),
        }
    })
}
