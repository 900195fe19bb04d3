//! The MesosCloud operator: turns one `MesosCloud` resource into a running Mesos cloud and keeps it so.
//!
//! - [`cloud`]: the rules of the domain, pure functions without client or clock;
//! - [`reconcile`]: the five steps from resource to status;
//! - [`leader`]: who leads, read from ZooKeeper;
//! - [`sidecar`]: what runs inside the cloud's own pods;
//! - [`runtime`]: what every long-running command shares (logs, metrics, health endpoints);
//! - [`command`]: what the binary can be asked to do.

pub mod cloud;
pub mod command;
pub mod leader;
pub mod reconcile;
pub mod runtime;
pub mod sidecar;
