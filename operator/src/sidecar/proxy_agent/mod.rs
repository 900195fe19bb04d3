//! `proxy-agent`: runs beside each HAProxy, brings it the operator's configuration and tells it who leads.
//!
//! It follows the election in ZooKeeper by itself, and holds requests that find no leader until there is one. It
//! needs the API server to learn of changed members, and nothing to go on serving: HAProxy's own checks follow the
//! leader without it, within a second. A process that does nothing else keeps it running ([`supervisor`]).

mod agent;
mod config_map;
mod election;
mod files;
mod health;
mod heartline;
mod hold;
mod leader;
mod probe;
mod socket;
mod supervisor;

pub use agent::Agent;
pub use config_map::Desired;
pub use health::Status;
pub use hold::Hold;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use kube::Client;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cloud::haproxy::{HOLD_PORT, RUN_DIR};
use crate::runtime::shutdown;

/// Options of `proxy-agent`.
#[derive(Debug, Args)]
pub struct ProxyAgent {
    /// Namespace of the cloud.
    #[arg(long)]
    namespace: String,
    /// Name of the ConfigMap with this proxy's configuration.
    #[arg(long)]
    config_map: String,
    /// Folder shared with HAProxy.
    #[arg(long, default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Where health endpoints and metrics are served.
    #[arg(long, default_value = "0.0.0.0:9102")]
    listen: SocketAddr,
    /// Runs the agent itself, not the process that keeps it alive.
    #[arg(long = CHILD, hide = true)]
    child: bool,
}

/// Option of a process that is the agent itself.
const CHILD: &str = "child";

/// Why the agent ends.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server's address or the credentials are unknown.
    #[error("failed to make a client for the API server: {0}")]
    Client(#[source] Box<kube::Error>),
    /// Health endpoints or signal handlers could not be set up.
    #[error("failed to set up the process: {0}")]
    Process(#[from] std::io::Error),
}

/// Keeps an agent running, in a process of its own, until it is asked to end.
///
/// # Errors
/// When it cannot start, or its health endpoints end.
pub async fn run(options: ProxyAgent) -> Result<(), Error> {
    if !options.child {
        return Ok(supervisor::run(options.listen).await?);
    }
    let client = Client::try_default()
        .await
        .map_err(|e| Error::Client(Box::new(e)))?;
    let status = Arc::new(Status::default());
    let (sender, desired) = watch::channel(None);
    let hold = Arc::new(Hold::new(status.clone()));
    let waiting = TcpListener::bind((Ipv4Addr::LOCALHOST, HOLD_PORT)).await?;
    let agent = Agent::new(&options.run_dir, status.clone(), hold.clone());
    tokio::select! {
        served = health::serve(options.listen, status) => Ok(served?),
        held = hold.serve(waiting) => Ok(held?),
        () = config_map::follow(client, &options.namespace, &options.config_map, sender) => Ok(()),
        () = agent.run(desired) => Ok(()),
        asked = shutdown::requested() => Ok(asked?),
    }
}
