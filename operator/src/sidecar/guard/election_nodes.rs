//! The neighbour's candidacies in ZooKeeper, and a session that is ready to end them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use zookeeper_client::{Client, Error};

use super::replicas;
use crate::cloud::election::Candidate;
use crate::leader::session::connector;

/// Pause before a lost session is replaced: doubled after each failure, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

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
}

/// What ZooKeeper knows of the neighbour.
#[derive(Clone)]
pub struct ElectionNodes {
    path: Arc<str>,
    session: watch::Receiver<Option<Client>>,
    own: watch::Receiver<BTreeSet<String>>,
    peers: watch::Receiver<BTreeSet<SocketAddr>>,
}

impl ElectionNodes {
    /// The nodes, and what keeps them up to date for as long as it is polled.
    pub fn new(ensemble: String, election: Election) -> (Self, impl Future<Output = ()>) {
        let (session, live) = watch::channel(None);
        let (own, own_seen) = watch::channel(BTreeSet::new());
        let (peers, peers_seen) = watch::channel(BTreeSet::new());
        let nodes = Self {
            path: election.path.as_str().into(),
            session: live,
            own: own_seen,
            peers: peers_seen,
        };
        (nodes, follow(ensemble, election, session, own, peers))
    }

    /// Names of the neighbour's candidacies, as last seen.
    pub fn own(&self) -> BTreeSet<String> {
        self.own.borrow().clone()
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
}

async fn follow(
    ensemble: String,
    election: Election,
    session: watch::Sender<Option<Client>>,
    own: watch::Sender<BTreeSet<String>>,
    peers: watch::Sender<BTreeSet<SocketAddr>>,
) {
    let mut pause = PAUSE.0;
    loop {
        let ended = match connector().connect(&ensemble).await {
            Ok(client) => {
                pause = PAUSE.0;
                session.send_replace(Some(client.clone()));
                let replicas = format!("{}/{}", election.path, replicas::FOLDER);
                tokio::select! {
                    error = follow_candidates(&client, &election, &own) => error,
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
    client: &Client,
    election: &Election,
    own: &watch::Sender<BTreeSet<String>>,
) -> Error {
    // What a candidate wrote stays as it is.
    let mut read = BTreeMap::new();
    loop {
        let seen = children(client, &election.path, election.is_candidate, &mut read).await;
        let (candidates, watcher) = match seen {
            Ok(seen) => seen,
            Err(error) => return error,
        };
        let mine = candidates.iter().filter(|(node, data)| {
            (election.read)(node, data).is_some_and(|candidate| candidate.address == election.address)
        });
        let mine: BTreeSet<_> = mine.map(|(node, _)| node.clone()).collect();
        own.send_if_modified(|own| std::mem::replace(own, mine.clone()) != mine);
        watcher.changed().await;
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
                .filter_map(|data| replicas::address(data))
                .collect(),
        );
        watcher.changed().await;
    }
}

/// The wanted children of a folder with what is in them, and a watch that fires when others come or go. `known`
/// are those that have been read before.
async fn children<'a>(
    client: &Client,
    path: &str,
    wanted: fn(&str) -> bool,
    known: &'a mut BTreeMap<String, Vec<u8>>,
) -> Result<(&'a BTreeMap<String, Vec<u8>>, zookeeper_client::OneshotWatcher), Error> {
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
            Ok((data, _)) => {
                known.insert(name, data);
            }
            // Gone in between: the watch tells.
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((known, watcher))
}
