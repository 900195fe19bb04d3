//! The connection to the leading Mesos master: the framework's side of the stand-ins' wire protocol.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::time::Instant;

use super::app::App;
use super::flags::Settings;
use super::matcher::Supply;
use super::task::{self, Task};
use crate::slave::detector::{self, Master};
use crate::slave::link::{self, Failure};
use crate::wire::{
    Accept, Command, Container, Decline, FrameworkEvent, KillTask, Reconcile, Resources, Subscribe, TaskInfo,
};

/// A (re)subscription waits a random part of this, then twice as much each time, up to a minute
/// (`scheduler/constants.hpp @ 0.28.1`).
const BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// `min_revive_offers_interval`.
const REVIVE_EVERY: Duration = Duration::from_secs(5);

/// What the leader tells the master.
#[derive(Debug)]
pub enum Call {
    /// Launches tasks on an offer.
    Accept {
        /// The offer.
        offer: String,
        /// The tasks.
        launches: Vec<Launch>,
    },
    /// Has no use for an offer.
    Decline {
        /// The offer.
        offer: String,
    },
    /// Has use for offers again.
    Revive,
    /// Ends a task.
    Kill {
        /// The task.
        task: String,
    },
    /// Asks what became of tasks.
    Reconcile(Vec<String>),
}

/// What the master tells the leader.
#[derive(Debug)]
pub enum Inbound {
    /// The framework is registered.
    Registered {
        /// Its id.
        framework: String,
        /// The master.
        master: String,
    },
    /// No master for now.
    Disconnected,
    /// The master has removed the framework for good.
    Removed,
    /// The master refuses the framework.
    Error(String),
    /// Offers.
    Offers(Vec<Offer>),
    /// News of a task.
    Status(Status),
}

/// One offer.
#[derive(Debug)]
pub struct Offer {
    /// Its id.
    pub id: String,
    /// The slave.
    pub slave: String,
    /// What is offered.
    pub supply: Supply,
}

/// News of a task.
#[derive(Debug)]
pub struct Status {
    /// The task.
    pub task: String,
    /// `TASK_RUNNING` …
    pub state: String,
    /// In words.
    pub message: String,
}

impl Status {
    /// Whether the task has ended.
    pub fn terminal(&self) -> bool {
        !matches!(
            self.state.as_str(),
            "TASK_STAGING" | "TASK_STARTING" | "TASK_RUNNING" | "TASK_KILLING"
        )
    }
}

/// A task to launch.
#[derive(Debug)]
pub struct Launch(TaskInfo);

impl Launch {
    /// From an app and the task made for it.
    pub fn new(app: &App, task: &Task) -> Self {
        let docker = app
            .container
            .as_ref()
            .and_then(|container| container.docker.as_ref());
        let volumes = app
            .container
            .as_ref()
            .map(|container| container.volumes.as_slice())
            .unwrap_or_default();
        let container = docker.map(|docker| Container {
            image: docker.image.clone(),
            // Mesos' own default.
            network: docker.network.clone().unwrap_or_else(|| "HOST".to_owned()),
            port_mappings: task::mappings(docker.port_mappings.as_deref().unwrap_or_default(), &task.ports),
            force_pull_image: docker.force_pull_image,
            privileged: docker.privileged,
            parameters: docker
                .parameters
                .iter()
                .map(|parameter| (parameter.key.clone(), parameter.value.clone()))
                .collect(),
            volumes: volumes
                .iter()
                .map(|volume| {
                    let host = volume.host_path.clone().unwrap_or_default();
                    (volume.container_path.clone(), host, volume.mode.clone())
                })
                .collect(),
        });
        Self(TaskInfo {
            id: task.id.clone(),
            // Marathon names a task after its app, the parts turned around: `web.shop`.
            name: app
                .id
                .trim_start_matches('/')
                .rsplit('/')
                .collect::<Vec<_>>()
                .join("."),
            resources: Resources {
                cpus: app.cpus,
                mem: app.mem,
                disk: app.disk,
                ports: task.ports.iter().map(|port| (*port, *port)).collect(),
            },
            command: Command {
                shell: app.cmd.clone(),
                arguments: app.args.clone().unwrap_or_default(),
                environment: task::environment(app, &task.id, &task.host, &task.ports),
            },
            container,
        })
    }
}

/// The socket of libprocess: bound when this process leads for the first time, and kept.
static LIBPROCESS: OnceCell<TcpListener> = OnceCell::const_new();

/// `LIBPROCESS_IP` and `LIBPROCESS_PORT`: an address that cannot be bound is the end of the original.
async fn bind_libprocess() {
    let Ok(ip) = std::env::var("LIBPROCESS_IP") else {
        return;
    };
    let port = std::env::var("LIBPROCESS_PORT").unwrap_or_else(|_| "0".to_owned());
    let address = format!("{ip}:{port}");
    if let Err(error) = LIBPROCESS.get_or_try_init(|| TcpListener::bind(&address)).await {
        tracing::info!("Failed to initialize: Failed to bind on {address}: {error}");
        std::process::abort();
    }
}

/// Follows the leading master until the leadership ends.
pub async fn run(
    settings: Arc<Settings>,
    mut framework: Option<String>,
    mut calls: mpsc::UnboundedReceiver<Call>,
    report: mpsc::UnboundedSender<Inbound>,
) {
    bind_libprocess().await;
    let mut detected = match detector::detect(&settings.master) {
        Ok(detected) => detected,
        Err(error) => {
            let _ = report.send(Inbound::Error(error));
            return;
        }
    };
    loop {
        let Some(master) = detected.borrow_and_update().clone() else {
            tokio::select! {
                () = changed(&mut detected) => {}
                // Without a master every call is dropped, as libmesos does.
                Some(_) = calls.recv() => {}
            }
            continue;
        };
        tokio::select! {
            () = stay_with(&settings, &master, &mut framework, &mut calls, &report) => {}
            () = changed(&mut detected) => {}
        }
        let _ = report.send(Inbound::Disconnected);
    }
}

async fn changed(detected: &mut watch::Receiver<Option<Master>>) {
    if detected.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Subscribes to one master and serves the connection until it ends.
async fn stay_with(
    settings: &Settings,
    master: &Master,
    framework: &mut Option<String>,
    calls: &mut mpsc::UnboundedReceiver<Call>,
    report: &mpsc::UnboundedSender<Inbound>,
) {
    let mut backoff = BACKOFF;
    let mut events = loop {
        tokio::time::sleep(link::part_of(backoff)).await;
        let subscribe = Subscribe {
            id: framework.clone(),
            name: settings.framework_name.clone(),
            hostname: settings.hostname.clone(),
            webui_url: format!("http://{}", settings.host_port()),
            failover_timeout: settings.failover_timeout,
        };
        let path = "/standin/frameworks";
        match link::subscribe::<FrameworkEvent>(&master.address, path, &subscribe).await {
            Ok(events) => break events,
            Err(Failure::Refused(reason)) => {
                let _ = report.send(refused(reason));
            }
            Err(Failure::Unavailable(error)) => {
                tracing::info!("Cannot subscribe to {}: {error}", master.address);
            }
        }
        backoff = (backoff * 2).min(MAX_BACKOFF);
    };
    let mut revived: Option<Instant> = None;
    let mut waiting = false;
    loop {
        let at = revived.map_or_else(Instant::now, |at| at + REVIVE_EVERY);
        tokio::select! {
            event = events.next() => match event {
                None => return,
                Some(FrameworkEvent::Subscribed { framework_id, master }) => {
                    *framework = Some(framework_id.clone());
                    let _ = report.send(Inbound::Registered { framework: framework_id, master });
                }
                Some(event) => if let Some(message) = inbound(event) {
                    let _ = report.send(message);
                },
            },
            Some(call) = calls.recv() => match (&call, framework.as_deref()) {
                (Call::Revive, _) => waiting = true,
                (_, Some(id)) => perform(&master.address, id, call).await,
                (_, None) => {}
            },
            () = tokio::time::sleep_until(at), if waiting => {
                waiting = false;
                revived = Some(Instant::now());
                if let Some(id) = framework.as_deref() {
                    perform(&master.address, id, Call::Revive).await;
                }
            }
        }
    }
}

fn refused(reason: String) -> Inbound {
    if reason.contains("removed") {
        Inbound::Removed
    } else {
        Inbound::Error(reason)
    }
}

fn inbound(event: FrameworkEvent) -> Option<Inbound> {
    match event {
        FrameworkEvent::Subscribed { .. } | FrameworkEvent::Ping => None,
        FrameworkEvent::Error { message } => Some(refused(message)),
        FrameworkEvent::Update {
            task_id,
            state,
            message,
            ..
        } => Some(Inbound::Status(Status {
            task: task_id,
            state,
            message,
        })),
        FrameworkEvent::Offers { offers } => Some(Inbound::Offers(
            offers
                .into_iter()
                .map(|offer| Offer {
                    id: offer.id,
                    slave: offer.slave_id,
                    supply: Supply {
                        hostname: offer.hostname,
                        attributes: offer.attributes,
                        cpus: offer.resources.cpus,
                        mem: offer.resources.mem,
                        disk: offer.resources.disk,
                        ports: offer
                            .resources
                            .ports
                            .into_iter()
                            .map(|(start, end)| start..=end)
                            .collect(),
                    },
                })
                .collect(),
        )),
    }
}

/// Sends one call; one that fails is lost, as a libprocess message is.
async fn perform(address: &str, framework: &str, call: Call) {
    let path = |verb: &str| format!("/standin/frameworks/{framework}/{verb}");
    let sent = match call {
        Call::Accept { offer, launches } => {
            let tasks = launches.into_iter().map(|launch| launch.0).collect();
            link::tell(
                address,
                &path("accept"),
                &Accept {
                    offer_id: offer,
                    tasks,
                },
            )
            .await
        }
        Call::Decline { offer } => link::tell(address, &path("decline"), &Decline { offer_id: offer }).await,
        Call::Revive => link::poke(address, &path("revive")).await,
        Call::Kill { task } => link::tell(address, &path("kill"), &KillTask { task_id: task }).await,
        Call::Reconcile(tasks) => {
            link::tell(address, &path("reconcile"), &Reconcile { task_ids: tasks }).await
        }
    };
    if let Err(error) = sent {
        tracing::info!("Cannot reach master@{address}: {error:?}");
    }
}
