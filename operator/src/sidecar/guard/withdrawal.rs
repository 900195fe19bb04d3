//! Withdraws the candidacies of a dead neighbour, and of nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::election_nodes::ElectionNodes;
use super::health::Status;
use super::replicas::Replicas;

/// Pause before what could not be done is tried again.
const AGAIN: Duration = Duration::from_millis(20);
/// Longest time that the end of the guard itself waits for what is under way.
const LAST: Duration = Duration::from_secs(5);

/// What is to be withdrawn, and who does it.
pub struct Withdrawal {
    nodes: ElectionNodes,
    replicas: Option<Arc<Replicas>>,
    status: Arc<Status>,
    /// Candidacies of processes that are dead, and when they died.
    doomed: watch::Sender<BTreeMap<String, Instant>>,
    /// Whether too few replicas vote.
    waits: watch::Sender<bool>,
}

impl Withdrawal {
    /// Withdraws from `nodes`; beside a master only while enough of `replicas` vote.
    pub fn new(nodes: ElectionNodes, replicas: Option<Arc<Replicas>>, status: Arc<Status>) -> Self {
        Self {
            nodes,
            replicas,
            status,
            doomed: watch::Sender::default(),
            waits: watch::Sender::default(),
        }
    }

    /// These candidacies belong to a process that died at `ended`.
    pub fn doom(&self, nodes: BTreeSet<String>, ended: Instant) {
        self.doomed.send_if_modified(|doomed| {
            let before = doomed.len();
            for node in nodes {
                doomed.entry(node).or_insert(ended);
            }
            doomed.len() > before
        });
    }

    /// Withdraws for ever: tries until a node is gone, whoever removed it.
    pub async fn run(&self) {
        let mut doomed = self.doomed.subscribe();
        loop {
            // The sender is this one's own.
            let _ = doomed.wait_for(|doomed| !doomed.is_empty()).await;
            if !self.allowed().await {
                // One that is gone by itself needs nobody's permission.
                let own = self.nodes.own();
                self.doomed
                    .send_modify(|doomed| doomed.retain(|node, _| own.contains(node)));
                sleep(AGAIN).await;
                continue;
            }
            let now = self.doomed.borrow().clone();
            for (node, died) in now {
                match self.nodes.delete(&node).await {
                    Ok(withdrawn) => {
                        self.doomed.send_modify(|doomed| {
                            doomed.remove(&node);
                        });
                        if withdrawn {
                            let after = died.elapsed();
                            self.status.withdrawn(after);
                            tracing::info!(node, after_ms = after.as_millis(), "its candidacy is withdrawn");
                        }
                    }
                    Err(error) => {
                        tracing::debug!(node, %error, "its candidacy cannot be withdrawn now");
                        sleep(AGAIN).await;
                    }
                }
            }
        }
    }

    /// Completes when nothing is left that can be withdrawn now.
    pub async fn finish(&self) {
        let (mut doomed, mut waits) = (self.doomed.subscribe(), self.waits.subscribe());
        let done = async {
            tokio::select! {
                _ = doomed.wait_for(BTreeMap::is_empty) => {}
                // The pod's successor brings the replica back, but not before this pod is gone.
                _ = waits.wait_for(|waits| *waits) => {}
            }
        };
        let _ = timeout(LAST, done).await;
    }

    async fn allowed(&self) -> bool {
        let Some(replicas) = &self.replicas else {
            return true;
        };
        let votes = replicas.votes().await;
        let waits = !votes.suffice();
        if self.waits.send_replace(waits) != waits && waits {
            tracing::warn!(
                voting = votes.voting,
                quorum = votes.quorum,
                "too few replicas vote: the candidacy stays until the neighbour's is back"
            );
        }
        !waits
    }
}
