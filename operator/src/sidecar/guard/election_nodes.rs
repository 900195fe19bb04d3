//! The neighbour's candidacies in ZooKeeper, and a session that is ready to end them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use zookeeper_client::{Client, Error, SessionId};

use super::candidacies::Candidacies;
use super::replicas;
use crate::cloud::election::Candidate;
use crate::leader::{ensemble, session};

/// Pause before a lost session is replaced: doubled after each failure, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Pause before it is asked again whose a session is.
const DOUBT: Duration = Duration::from_secs(1);

/// The election that the neighbour takes part in.
#[derive(Clone, Debug)]
pub struct Election {
    /// Folder of the candidates.
    pub path: String,
    /// Which of its children are candidates.
    pub is_candidate: fn(&str) -> bool,
    /// Reads a candidate.
    pub read: fn(&str, &[u8]) -> Option<Candidate>,
    /// The neighbour's address as it stands in its candidacy.
    pub address: String,
    /// Address of the pod, from which the neighbour uses its session, and the guard its own.
    pub ip: IpAddr,
}

/// What ZooKeeper knows of the neighbour.
#[derive(Clone)]
pub struct ElectionNodes {
    path: Arc<str>,
    session: watch::Receiver<Option<Client>>,
    candidacies: Arc<Mutex<Candidacies>>,
    peers: watch::Receiver<BTreeSet<SocketAddr>>,
}

impl ElectionNodes {
    /// The nodes, and what keeps them up to date for as long as it is polled.
    pub fn new(ensemble: String, election: Election) -> (Self, impl Future<Output = ()>) {
        let (session, live) = watch::channel(None);
        let (peers, peers_seen) = watch::channel(BTreeSet::new());
        let nodes = Self {
            path: election.path.as_str().into(),
            session: live,
            candidacies: Arc::default(),
            peers: peers_seen,
        };
        (nodes.clone(), follow(ensemble, election, nodes, session, peers))
    }

    /// Names of the neighbour's candidacies, as last seen.
    pub fn own(&self) -> BTreeSet<String> {
        self.candidacies().own()
    }

    /// The process that these candidacies belonged to is dead.
    pub fn died(&self, nodes: &BTreeSet<String>) {
        self.candidacies().died(nodes);
    }

    /// These candidacies with the neighbour's address are there now, with the sessions that own them.
    pub fn see(&self, there: BTreeMap<String, i64>) {
        self.candidacies().see(there);
    }

    /// Addresses of the replicas that have announced themselves; empty where there are none.
    pub fn peers(&self) -> watch::Receiver<BTreeSet<SocketAddr>> {
        self.peers.clone()
    }

    /// Ends one candidacy. Returns whether it was there.
    ///
    /// Sequence numbers are never used twice, so the name alone makes sure that it is nobody else's.
    ///
    /// # Errors
    /// When ZooKeeper cannot be asked now.
    pub async fn delete(&self, node: &str) -> Result<bool, Error> {
        let Some(client) = self.session.borrow().clone() else {
            return Err(Error::ConnectionLoss);
        };
        match client.delete(&format!("{}/{node}", self.path), None).await {
            Ok(()) => Ok(true),
            Err(Error::NoNode) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks the members of the ensemble, for ever, whose the sessions are of which that is not certain.
    async fn clear_up(&self, ensemble: &str, own: SessionId, ip: IpAddr) {
        loop {
            let doubtful = self.candidacies().doubtful();
            if doubtful.is_empty() {
                return std::future::pending().await;
            }
            let sessions = ensemble::sessions(ensemble).await;
            // Where a network hides who connects, the addresses tell nothing.
            if sessions.get(&own.0) == Some(&ip) {
                self.candidacies().learn(&sessions, ip);
            }
            tracing::debug!(?doubtful, ?sessions, "several sessions have its words");
            sleep(DOUBT).await;
        }
    }

    fn candidacies(&self) -> MutexGuard<'_, Candidacies> {
        // Nothing is half done when a holder panics.
        self.candidacies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow(
    ensemble: String,
    election: Election,
    nodes: ElectionNodes,
    session: watch::Sender<Option<Client>>,
    peers: watch::Sender<BTreeSet<SocketAddr>>,
) {
    let mut pause = PAUSE.0;
    loop {
        let ended = match session::open(&ensemble).await {
            Ok(client) => {
                pause = PAUSE.0;
                session.send_replace(Some(client.clone()));
                let replicas = format!("{}/{}", election.path, replicas::FOLDER);
                tokio::select! {
                    error = follow_candidates(&ensemble, &client, &election, &nodes) => error,
                    error = follow_replicas(&client, &replicas, &peers) => error,
                }
            }
            Err(error) => error,
        };
        session.send_replace(None);
        tracing::debug!(error = %ended, "ZooKeeper cannot be asked");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn follow_candidates(
    ensemble: &str,
    client: &Client,
    election: &Election,
    nodes: &ElectionNodes,
) -> Error {
    // What a candidate wrote stays as it is.
    let mut read = BTreeMap::new();
    loop {
        let seen = children(client, &election.path, election.is_candidate, &mut read).await;
        let (candidates, watcher) = match seen {
            Ok(seen) => seen,
            Err(error) => return error,
        };
        let named = candidates.iter().filter(|(node, (data, _))| {
            (election.read)(node, data).is_some_and(|candidate| candidate.address == election.address)
        });
        nodes.see(named.map(|(node, (_, owner))| (node.clone(), *owner)).collect());
        tokio::select! {
            _ = watcher.changed() => {}
            () = nodes.clear_up(ensemble, client.session_id(), election.ip) => {}
        }
    }
}

async fn follow_replicas(client: &Client, path: &str, peers: &watch::Sender<BTreeSet<SocketAddr>>) -> Error {
    let mut read = BTreeMap::new();
    loop {
        let (announced, watcher) = match children(client, path, |_| true, &mut read).await {
            Ok(seen) => seen,
            Err(error) => return error,
        };
        peers.send_replace(
            announced
                .values()
                .filter_map(|(data, _)| replicas::address(data))
                .collect(),
        );
        watcher.changed().await;
    }
}

/// Nodes by name: what is in them, and the session that owns them.
type Children = BTreeMap<String, (Vec<u8>, i64)>;

/// The wanted children of a folder, and a watch that fires when others come or go. `known` are those that have been
/// read before.
async fn children<'a>(
    client: &Client,
    path: &str,
    wanted: fn(&str) -> bool,
    known: &'a mut Children,
) -> Result<(&'a Children, zookeeper_client::OneshotWatcher), Error> {
    let (names, watcher) = loop {
        match client.list_and_watch_children(path).await {
            Err(Error::NoNode) => {
                let (stat, watcher) = client.check_and_watch_stat(path).await?;
                if stat.is_none() {
                    break (Vec::new(), watcher);
                }
            }
            listed => break listed?,
        }
    };
    let names: BTreeSet<_> = names.into_iter().filter(|name| wanted(name)).collect();
    known.retain(|name, _| names.contains(name));
    for name in names {
        if known.contains_key(&name) {
            continue;
        }
        match client.get_data(&format!("{path}/{name}")).await {
            Ok((data, stat)) => {
                known.insert(name, (data, stat.ephemeral_owner));
            }
            // Gone in between: the watch tells.
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((known, watcher))
}
