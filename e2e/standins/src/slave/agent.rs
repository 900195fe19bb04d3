//! The slave itself: its identity, its tasks, and the news of them that the master has not heard yet.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::docker::Docker;
use super::executor::{self, Report, Work};
use super::flags::Settings;
use super::meta::{Run, SlaveInfo, WorkDir};
use super::resources;
use super::show;
use crate::wire::{Register, RunningTask, TaskInfo, TaskUpdate};

/// A task of this slave.
pub struct Task {
    /// Its run.
    pub run: Run,
    /// `TASK_STAGING` …
    pub state: &'static str,
    /// Its sandbox.
    pub directory: PathBuf,
    kill: watch::Sender<bool>,
}

/// What changes.
#[derive(Default)]
pub struct Inner {
    /// Given by a master.
    pub id: Option<String>,
    /// The hostname of the master it is registered with.
    pub master: Option<String>,
    /// Its tasks, by id.
    pub tasks: BTreeMap<String, Task>,
    /// Executors that ended, as `/state` shows them.
    pub completed: Vec<Value>,
    /// News the master has not heard, and the task of each.
    unsent: VecDeque<(TaskUpdate, TaskInfo)>,
}

/// A slave.
pub struct Agent {
    /// Its settings.
    pub settings: Settings,
    /// When it was started.
    pub started: Instant,
    /// What changes.
    pub inner: Mutex<Inner>,
    work: WorkDir,
    docker: Docker,
    news: Notify,
    ended: Notify,
}

impl Agent {
    /// A slave that has done nothing yet.
    pub fn new(settings: Settings) -> Self {
        let work = WorkDir::new(&settings.work_dir);
        let docker = Docker::new(&settings.docker, &settings.docker_socket);
        Self {
            settings,
            started: Instant::now(),
            inner: Mutex::default(),
            work,
            docker,
            news: Notify::new(),
            ended: Notify::new(),
        }
    }

    fn info(&self) -> SlaveInfo {
        SlaveInfo {
            hostname: self.settings.hostname.clone(),
            port: self.settings.advertised.1,
            resources: resources::show(&self.settings.resources),
            attributes: resources::show_attributes(&self.settings.attributes),
        }
    }

    fn does(&self, containerizer: &str) -> bool {
        self.settings
            .containerizers
            .iter()
            .any(|name| name == containerizer)
    }

    /// Takes up the last life: the id, and the tasks whose executors ended with it. Their containers **run on**
    /// (docs/originals.md, "Slaves"); only containers it does not know are stopped.
    pub async fn recover(self: &Arc<Self>) -> Result<(), String> {
        let id = self.work.recover(&self.info())?;
        let lost = id.as_ref().map(|id| self.work.unfinished(id)).unwrap_or_default();
        if self.does("docker") {
            let prefix = format!("mesos-{}", id.as_deref().unwrap_or_default());
            let listed = self.docker.containers(&prefix).await;
            let containers = listed.map_err(|error| format!("Collect failed: {error}"))?;
            // Without an id it has no containers; it asked only to see whether Docker answers.
            for name in containers.into_iter().filter(|_| id.is_some()) {
                let container = name.split('.').nth(1).unwrap_or_default();
                if lost.iter().any(|run| run.container == container) {
                    self.remove_later(name);
                } else if self.settings.docker_kill_orphans {
                    tracing::info!("Stopping orphaned container {name}");
                    self.docker.stop_and_remove(&name).await?;
                }
            }
        }
        let mut inner = self.inner.lock().await;
        for run in lost {
            if let Some(id) = &id {
                self.work.end(id, &run).map_err(|error| error.to_string())?;
            }
            self.tell(&mut inner, &run, "TASK_LOST", "Abnormal executor termination");
        }
        inner.id = id;
        Ok(())
    }

    /// What it tells a master about itself. A task whose end the master has not heard of still counts.
    pub async fn registration(&self) -> Register {
        let inner = self.inner.lock().await;
        let (ip, port) = self.settings.advertised;
        let mut tasks: BTreeMap<String, RunningTask> = BTreeMap::new();
        for (update, task) in &inner.unsent {
            let framework_id = update.framework_id.clone();
            let state = "TASK_RUNNING".to_owned();
            let task = task.clone();
            tasks.insert(
                task.id.clone(),
                RunningTask {
                    framework_id,
                    task,
                    state,
                },
            );
        }
        for (id, task) in &inner.tasks {
            let framework_id = task.run.framework.clone();
            let state = task.state.to_owned();
            let task = task.run.task.clone();
            tasks.insert(
                id.clone(),
                RunningTask {
                    framework_id,
                    task,
                    state,
                },
            );
        }
        Register {
            id: inner.id.clone(),
            hostname: self.settings.hostname.clone(),
            ip: ip.to_string(),
            port,
            resources: self.settings.resources.clone(),
            attributes: self.settings.attributes.clone(),
            tasks: tasks.into_values().collect(),
        }
    }

    /// A master knows it now, or (`None`) does not any more.
    pub async fn registered(&self, id: Option<&str>, master: Option<&str>) -> Result<(), String> {
        let mut inner = self.inner.lock().await;
        inner.master = master.map(str::to_owned);
        if let Some(id) = id.filter(|id| inner.id.as_deref() != Some(*id)) {
            let saved = self.work.save(id, &self.info());
            saved.map_err(|error| format!("Failed to checkpoint slave info: {error}"))?;
            inner.id = Some(id.to_owned());
        }
        Ok(())
    }

    fn tell(&self, inner: &mut Inner, run: &Run, state: &str, message: &str) {
        let update = TaskUpdate {
            framework_id: run.framework.clone(),
            task_id: run.task.id.clone(),
            state: state.to_owned(),
            message: message.to_owned(),
        };
        inner.unsent.push_back((update, run.task.clone()));
        self.news.notify_one();
    }

    /// The oldest news the master has not heard.
    pub async fn next_update(&self) -> TaskUpdate {
        loop {
            if let Some((update, _)) = self.inner.lock().await.unsent.front() {
                return update.clone();
            }
            self.news.notified().await;
        }
    }

    /// The master has heard the oldest news.
    pub async fn heard(&self) {
        self.inner.lock().await.unsent.pop_front();
    }

    /// Begins a task.
    pub async fn launch(self: &Arc<Self>, framework: String, task: TaskInfo) {
        let mut inner = self.inner.lock().await;
        let Some(id) = inner.id.clone() else { return };
        if inner.tasks.contains_key(&task.id) {
            return;
        }
        tracing::info!("Got assigned task {} for framework {framework}", task.id);
        let container = Uuid::new_v4().to_string();
        let name = format!("mesos-{id}.{container}");
        let run = Run {
            framework,
            task,
            container,
        };
        let directory = match self.begin(&id, &run) {
            Ok(directory) => directory,
            Err(error) => {
                let message = format!("Failed to launch container: {error}");
                self.tell(&mut inner, &run, "TASK_FAILED", &message);
                return;
            }
        };
        let (kill, killed) = watch::channel(false);
        let (reports, reported) = mpsc::unbounded_channel();
        let settings = executor::Settings {
            docker: self.docker.clone(),
            hostname: self.settings.hostname.clone(),
            mapped: self.settings.sandbox_directory.clone(),
            stop_timeout: self.settings.docker_stop_timeout,
            registration_timeout: self.settings.executor_registration_timeout,
            environment: self.executor_environment(&id, &run, &directory),
        };
        let work = Work::of(&run.task, &name);
        let task_id = run.task.id.clone();
        tokio::spawn(executor::execute(
            settings,
            task_id.clone(),
            work,
            directory.clone(),
            killed,
            reports,
        ));
        tokio::spawn(Arc::clone(self).follow(run.clone(), name, reported));
        inner.tasks.insert(
            task_id,
            Task {
                run,
                state: "TASK_STAGING",
                directory,
                kill,
            },
        );
    }

    /// Makes the sandbox, if one of the containerizers can have use for it.
    fn begin(&self, id: &str, run: &Run) -> Result<PathBuf, String> {
        let sandbox = self.work.begin(id, run).map_err(|error| error.to_string())?;
        let wanted = if run.task.container.is_some() {
            "docker"
        } else {
            "mesos"
        };
        if self.does(wanted) {
            return Ok(sandbox);
        }
        self.work.end(id, run).map_err(|error| error.to_string())?;
        let enabled = self.settings.containerizers.join(",");
        Err(format!(
            "None of the enabled containerizers ({enabled}) could create a container"
        ))
    }

    /// Nothing of the slave's own environment but this (`executorEnvironment`, containerizer.cpp @ 0.28.1:265-330).
    fn executor_environment(&self, id: &str, run: &Run, directory: &Path) -> BTreeMap<String, String> {
        let (ip, port) = self.settings.advertised;
        let mut environment = self.settings.executor_environment.clone();
        environment.extend([
            ("MESOS_FRAMEWORK_ID".to_owned(), run.framework.clone()),
            ("MESOS_EXECUTOR_ID".to_owned(), run.task.id.clone()),
            ("MESOS_DIRECTORY".to_owned(), directory.display().to_string()),
            ("MESOS_SLAVE_ID".to_owned(), id.to_owned()),
            ("MESOS_SLAVE_PID".to_owned(), format!("slave(1)@{ip}:{port}")),
            ("MESOS_CHECKPOINT".to_owned(), "1".to_owned()),
        ]);
        environment
    }

    /// Takes the reports of one executor in.
    async fn follow(
        self: Arc<Self>,
        run: Run,
        container: String,
        mut reported: mpsc::UnboundedReceiver<Report>,
    ) {
        while let Some(report) = reported.recv().await {
            tracing::info!("Task {} is {} {}", run.task.id, report.state, report.message);
            let mut inner = self.inner.lock().await;
            if report.state == "TASK_RUNNING" {
                if let Some(task) = inner.tasks.get_mut(&run.task.id) {
                    task.state = report.state;
                }
            } else {
                self.end(&mut inner, &run, &report, &container);
            }
            self.tell(&mut inner, &run, report.state, &report.message);
            drop(inner);
            self.ended.notify_waiters();
        }
    }

    fn end(self: &Arc<Self>, inner: &mut Inner, run: &Run, report: &Report, container: &str) {
        if let Some(id) = &inner.id {
            // Without the sentinel its container would be taken for a ghost at the next start.
            if let Err(error) = self.work.end(id, run) {
                tracing::info!("Failed to checkpoint the end of {}: {error}", run.task.id);
            }
        }
        if let Some(mut task) = inner.tasks.remove(&run.task.id) {
            task.state = report.state;
            inner.completed.push(show::executor(&task, inner.id.as_deref()));
            if run.task.container.is_some() {
                self.remove_later(container.to_owned());
            }
        }
    }

    /// A container that ended, or a ghost, is removed by force after `docker_remove_delay`.
    fn remove_later(self: &Arc<Self>, container: String) {
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(agent.settings.docker_remove_delay).await;
            if let Err(error) = agent.docker.remove(&container).await {
                tracing::info!("Failed to remove container {container}: {error}");
            }
        });
    }

    /// Ends a task.
    pub async fn kill(&self, framework: String, id: String) {
        let mut inner = self.inner.lock().await;
        if let Some(task) = inner.tasks.get(&id) {
            task.kill.send_replace(true);
            return;
        }
        let task = TaskInfo {
            id,
            ..TaskInfo::default()
        };
        let run = Run {
            framework,
            task,
            container: String::new(),
        };
        self.tell(&mut inner, &run, "TASK_LOST", "Cannot find executor");
    }

    /// Ends all tasks, waits for them as long as executors are given, and forgets its id.
    pub async fn shut_down(&self) {
        for task in self.inner.lock().await.tasks.values() {
            task.kill.send_replace(true);
        }
        let all_ended = async {
            loop {
                let ended = self.ended.notified();
                if self.inner.lock().await.tasks.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        let patience = self.settings.executor_shutdown_grace_period;
        if tokio::time::timeout(patience, all_ended).await.is_err() {
            tracing::info!("Some executors have not ended");
        }
        self.work.forget();
    }

    /// Its id, if a master gave it one.
    pub async fn id(&self) -> Option<String> {
        self.inner.lock().await.id.clone()
    }
}
