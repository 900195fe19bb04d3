//! `guard`: runs beside each master, each Marathon and each slave. When its neighbour's process dies, it clears
//! away what the neighbour leaves behind.
//!
//! Of a master or Marathon that is its candidacy: the next leader is elected within milliseconds instead of when
//! the session ends. Of a slave it is the containers of its tasks.
//!
//! Without it a dead leader's election node stays for up to 4.5 s, and for 12 s with ZooKeeper's usual settings:
//! neither Mesos 0.28.1 nor a killed Marathon says goodbye. It is safe: a master that loses its candidacy exits
//! by itself, and what is written to the registry is decided by the replicas' votes.
//!
//! A native sidecar: it outlives the main container, so a crash, an OOM kill, a deleted pod and a rollout all
//! end the same way. It has no token; all it needs is ZooKeeper, or the node's Docker.

mod candidacies;
mod election_nodes;
mod health;
mod neighbour;
pub mod recover;
pub mod replicas;
mod task_containers;
mod withdrawal;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::sync::watch;

use self::election_nodes::{Election, ElectionNodes};
use self::health::Status;
use self::neighbour::Life;
use self::replicas::{Inbox, Replicas};
use self::task_containers::{Slave, TaskContainers};
use self::withdrawal::Withdrawal;
use crate::cloud::election::{is_marathon_candidate, is_master_candidate, marathon, master};
use crate::cloud::names::{GUARD_PORT, MARATHON_PORT, MASTER_PORT};
use crate::runtime::shutdown;

/// What stands beside this guard.
#[derive(Debug, Subcommand)]
pub enum Guard {
    /// A Mesos master.
    Master(Options),
    /// A Marathon.
    Marathon(Options),
    /// A Mesos slave.
    Slave(Slave),
}

/// Options of `guard`.
#[derive(Debug, Args)]
pub struct Options {
    /// Members of the ZooKeeper ensemble, `host:port` separated by commas.
    #[arg(long)]
    zookeeper: String,
    /// Folder of the candidates in ZooKeeper.
    #[arg(long)]
    path: String,
    /// Address of this pod, which is the neighbour's too.
    #[arg(long, env = "POD_IP")]
    ip: IpAddr,
    /// What the neighbour calls itself in the election, where that is not its address.
    #[arg(long)]
    host: Option<String>,
}

/// Runs the guard until it is asked to end.
///
/// # Errors
/// When it cannot listen.
pub async fn run(guard: Guard) -> std::io::Result<()> {
    match guard {
        Guard::Master(options) => candidate(options, MASTER_PORT, true).await,
        Guard::Marathon(options) => candidate(options, MARATHON_PORT, false).await,
        Guard::Slave(options) => slave(options).await,
    }
}

/// Beside a candidate of an election, a master or else a Marathon.
///
/// A Mesos listens before it becomes a candidate: whatever has been seen before a connection is refused is of a
/// process that is dead, also of one that died unseen. Marathon starts both at the same time, so only what it had
/// when it died is surely not its successor's.
async fn candidate(options: Options, port: i32, master: bool) -> std::io::Result<()> {
    let port = u16::try_from(port).unwrap_or_default();
    let listen = SocketAddr::new(options.ip, u16::try_from(GUARD_PORT).unwrap_or_default());
    let neighbour = SocketAddr::new(options.ip, port);
    let address = match &options.host {
        Some(host) => format!("{host}:{port}"),
        None => neighbour.to_string(),
    };
    let election = Election {
        path: options.path,
        is_candidate: if master {
            is_master_candidate
        } else {
            is_marathon_candidate
        },
        read: if master { self::master } else { marathon },
        address,
        ip: options.ip,
    };
    let status = Arc::new(Status::default());
    let (nodes, follow) = ElectionNodes::new(options.zookeeper, election);
    let inbox = Arc::new(Inbox::default());
    let replicas = master.then(|| Arc::new(Replicas::new(neighbour, listen, inbox.clone(), nodes.peers())));
    let withdrawal = Withdrawal::new(nodes.clone(), replicas.clone(), status.clone());
    let (alive, life) = watch::channel(Life::Unknown);
    let watched = neighbour::watch(
        neighbour,
        &alive,
        || nodes.own(),
        |known, refusal| {
            let died = refusal.before == Life::Alive;
            if died {
                status.death();
            }
            if died || master {
                nodes.died(&known);
                withdrawal.doom(known, refusal.ended);
            }
        },
    );
    tokio::select! {
        served = health::serve(listen, neighbour, status.clone(), replicas, inbox) => served,
        () = follow => Ok(()),
        () = watched => Ok(()),
        () = withdrawal.run() => Ok(()),
        ended = asked_to_end(life, withdrawal.finish()) => ended,
    }
}

/// Beside a slave. A slave listens before it takes tasks: what is there when a connection is refused was left by
/// one that is dead.
async fn slave(options: Slave) -> std::io::Result<()> {
    let neighbour = options.address();
    let containers = TaskContainers::of(options);
    let (alive, life) = watch::channel(Life::Unknown);
    let watched = neighbour::watch(
        neighbour,
        &alive,
        || (),
        |(), refusal| {
            if refusal.before != Life::Dead {
                containers.doom();
            }
        },
    );
    tokio::select! {
        () = watched => Ok(()),
        () = containers.run() => Ok(()),
        ended = asked_to_end(life, containers.finish()) => ended,
    }
}

/// Completes when the guard is asked to end and may. Kubernetes asks when the neighbour has ended; what is under way
/// then is brought to its end by the others that run, and `finished` when it is.
async fn asked_to_end(
    life: watch::Receiver<Life>,
    finished: impl Future<Output = ()>,
) -> std::io::Result<()> {
    shutdown::requested().await?;
    if neighbour::is_dead(life).await {
        finished.await;
    }
    Ok(())
}
