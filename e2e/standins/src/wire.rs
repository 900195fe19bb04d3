//! What the stand-ins say to each other: JSON over HTTP on the master's port, below `/standin`. This is **not** Mesos'
//! own protocol: it takes the place of libprocess' messages in protobuf, of which nothing outside Mesos ever sees more
//! than the one that the master's replica answers (`POST /log-replica(1)/…RecoverRequest`), and that one is the real one.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `POST /standin/slaves` | [`Register`] | 200 [`Registered`]; 403 [`Refused`]: shut down; 503: not the (recovered) leader |
//! | `GET /standin/slaves/{id}/commands` | | a stream of [`SlaveCommand`], one JSON a line; its end is the slave's disconnection; 404 |
//! | `POST /standin/slaves/{id}/updates` | [`TaskUpdate`] | 200: the framework hears it, now or when it is back; 404; 503 |
//! | `POST /standin/slaves/{id}/unregister` | | 200: forgotten at once; 503 |
//! | `POST /standin/frameworks` | [`Subscribe`] | a stream of [`FrameworkEvent`], one JSON a line; 403 [`Refused`]: removed for good; 503 |
//! | `POST /standin/frameworks/{id}/accept` | [`Accept`] | 200; what does not fit is `TASK_LOST`; 503 |
//! | `POST /standin/frameworks/{id}/decline` | [`Decline`] | 200 |
//! | `POST /standin/frameworks/{id}/revive` | | 200 |
//! | `POST /standin/frameworks/{id}/kill` | [`KillTask`] | 200; 503 |
//! | `POST /standin/frameworks/{id}/reconcile` | [`Reconcile`] | 200, and an update for each task, but for those that may be on slaves that are not back since the change of master; 503 |
//! | `POST /standin/log/…` | | between the replicas of the masters' log only |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Amounts of what Mesos hands out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs.
    pub cpus: f64,
    /// Megabytes.
    pub mem: f64,
    /// Megabytes.
    pub disk: f64,
    /// Closed ranges of ports.
    pub ports: Vec<(u16, u16)>,
}

/// A slave says that it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Register {
    /// Its id, when it has one already.
    pub id: Option<String>,
    /// Its hostname.
    pub hostname: String,
    /// Its IP address.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// What it has.
    pub resources: Resources,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// The tasks that it runs.
    pub tasks: Vec<RunningTask>,
}

/// A task that a slave runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningTask {
    /// The framework it belongs to.
    pub framework_id: String,
    /// The task.
    pub task: TaskInfo,
    /// `TASK_STAGING`, `TASK_RUNNING` …
    pub state: String,
}

/// The master knows the slave now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The slave's id.
    pub id: String,
}

/// The master wants nothing to do with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub reason: String,
}

/// What the master tells a slave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // A handful at a time.
pub enum SlaveCommand {
    /// Run this task.
    Launch {
        /// The framework it belongs to.
        framework_id: String,
        /// The task.
        task: TaskInfo,
    },
    /// End this task.
    Kill {
        /// The framework it belongs to.
        framework_id: String,
        /// The task.
        task_id: String,
    },
    /// End.
    Shutdown {
        /// Why.
        reason: String,
    },
    /// Nothing: shows that the stream lives.
    Ping,
}

/// News of a task from its slave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskUpdate {
    /// The framework it belongs to.
    pub framework_id: String,
    /// The task.
    pub task_id: String,
    /// `TASK_RUNNING`, `TASK_FINISHED`, `TASK_FAILED`, `TASK_KILLED`, `TASK_LOST`.
    pub state: String,
    /// In words.
    pub message: String,
}

/// A framework says that it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Its id, when it has one already.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its hostname.
    pub hostname: String,
    /// Its own pages.
    pub webui_url: String,
    /// How long it may be away, in seconds.
    pub failover_timeout: f64,
}

/// What the master tells a framework.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameworkEvent {
    /// The first: it is registered.
    Subscribed {
        /// The framework's id.
        framework_id: String,
        /// `host:port` of the master.
        master: String,
    },
    /// Resources it may use. They are its own until it accepts or declines.
    Offers {
        /// One for each slave.
        offers: Vec<Offer>,
    },
    /// News of a task.
    Update {
        /// The task.
        task_id: String,
        /// Its slave, when there is one.
        slave_id: Option<String>,
        /// As in [`TaskUpdate`].
        state: String,
        /// In words.
        message: String,
    },
    /// The framework cannot go on.
    Error {
        /// Why.
        message: String,
    },
    /// Nothing: shows that the stream lives.
    Ping,
}

/// What one slave has to spare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The offer.
    pub id: String,
    /// The slave.
    pub slave_id: String,
    /// The slave's hostname.
    pub hostname: String,
    /// What it has to spare.
    pub resources: Resources,
    /// The slave's attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Launches tasks on an offer. None is a way to decline it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accept {
    /// The offer.
    pub offer_id: String,
    /// The tasks.
    pub tasks: Vec<TaskInfo>,
}

/// Has no use for an offer. It is made again after five seconds, or when the framework revives offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// The offer.
    pub offer_id: String,
}

/// Ends a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillTask {
    /// The task.
    pub task_id: String,
}

/// Asks what became of tasks; with none, of all tasks of the framework.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconcile {
    /// The tasks.
    pub task_ids: Vec<String>,
}

/// A task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is given; the ports are the ones it got.
    pub resources: Resources,
    /// A shell command, or arguments of the image's own entrypoint.
    pub command: Command,
    /// Docker container; none for a command that runs beside the slave.
    pub container: Option<Container>,
}

/// What a task runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// For `sh -c`.
    pub shell: Option<String>,
    /// Arguments, when it is no shell command.
    pub arguments: Vec<String>,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
}

/// A Docker container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its image.
    pub image: String,
    /// `HOST`, `BRIDGE` or `NONE`.
    pub network: String,
    /// Ports that are published on the host.
    pub port_mappings: Vec<PortMapping>,
    /// Whether the image is pulled even if it is there.
    pub force_pull_image: bool,
    /// Whether it is privileged.
    pub privileged: bool,
    /// Further options of `docker run`.
    pub parameters: Vec<(String, String)>,
    /// Volumes: path in the container, path on the host, `RO` or `RW`.
    pub volumes: Vec<(String, String, String)>,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// In the container.
    pub container_port: u16,
    /// On the host.
    pub host_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}
