//! Withdraws the candidacies of a dead neighbour, and of nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::election_nodes::ElectionNodes;
use super::health::Status;
use super::replicas::Replicas;

/// Pause before what could not be done is tried again: doubled each time, for every replica notes down that it was
/// asked.
const AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));
/// How long too few replicas must have voted before the end of the guard waits for no more: one that misses a single
/// question may only be busy.
const TOO_FEW: Duration = Duration::from_millis(300);
/// Longest time that the end of the guard itself waits for what is under way.
const LAST: Duration = Duration::from_secs(5);

/// What is to be withdrawn, and who does it.
pub struct Withdrawal {
    nodes: ElectionNodes,
    replicas: Option<Arc<Replicas>>,
    status: Arc<Status>,
    /// Candidacies of processes that are dead, and when they died.
    doomed: watch::Sender<BTreeMap<String, Instant>>,
    /// There is one more.
    more: Notify,
    /// Since when too few replicas vote for what is doomed.
    waits: watch::Sender<Option<Instant>>,
}

impl Withdrawal {
    /// Withdraws from `nodes`; beside a master only while enough of `replicas` vote.
    pub fn new(nodes: ElectionNodes, replicas: Option<Arc<Replicas>>, status: Arc<Status>) -> Self {
        Self {
            nodes,
            replicas,
            status,
            doomed: watch::Sender::default(),
            more: Notify::new(),
            waits: watch::Sender::default(),
        }
    }

    /// These candidacies belong to a process that died at `ended`.
    pub fn doom(&self, nodes: BTreeSet<String>, ended: Instant) {
        let more = self.doomed.send_if_modified(|doomed| {
            let before = doomed.len();
            for node in nodes {
                doomed.entry(node).or_insert(ended);
            }
            doomed.len() > before
        });
        if more {
            self.waits.send_replace(None);
            self.more.notify_one();
        }
    }

    /// Withdraws for ever: tries until a node is gone, whoever removed it.
    pub async fn run(&self) {
        let mut pause = AGAIN.0;
        loop {
            self.withdraw().await;
            let more = self.more.notified();
            if self.doomed.borrow().is_empty() {
                self.waits.send_replace(None);
                more.await;
                pause = AGAIN.0;
            } else if timeout(pause, more).await.is_ok() {
                pause = AGAIN.0;
            } else {
                pause = (pause * 2).min(AGAIN.1);
            }
        }
    }

    /// Withdraws what can be withdrawn now.
    async fn withdraw(&self) {
        let doomed = self.doomed.borrow().clone();
        if doomed.is_empty() {
            return;
        }
        if !self.allowed().await {
            // One that is gone by itself needs nobody's permission.
            let own = self.nodes.own();
            self.doomed
                .send_modify(|doomed| doomed.retain(|node, _| own.contains(node)));
            return;
        }
        for (node, died) in doomed {
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
                Err(error) => tracing::debug!(node, %error, "its candidacy cannot be withdrawn now"),
            }
        }
    }

    /// Completes when nothing is left that can be withdrawn now.
    pub async fn finish(&self) {
        let mut doomed = self.doomed.subscribe();
        let done = async {
            tokio::select! {
                _ = doomed.wait_for(BTreeMap::is_empty) => {}
                // The pod's successor brings the replica back, but not before this pod is gone.
                () = self.too_few() => {}
            }
        };
        let _ = timeout(LAST, done).await;
    }

    /// Completes when too few replicas have voted for a while.
    async fn too_few(&self) {
        let mut waits = self.waits.subscribe();
        loop {
            let since = *waits.borrow_and_update();
            // The sender is this one's own.
            let changed = waits.changed();
            let Some(since) = since else {
                let _ = changed.await;
                continue;
            };
            if timeout(TOO_FEW.saturating_sub(since.elapsed()), changed)
                .await
                .is_err()
            {
                return;
            }
        }
    }

    async fn allowed(&self) -> bool {
        let Some(replicas) = &self.replicas else {
            return true;
        };
        let votes = replicas.prompt_votes().await;
        let suffice = votes.suffice();
        let changed = self.waits.send_if_modified(|waits| {
            let changed = waits.is_some() == suffice;
            if changed {
                *waits = (!suffice).then(Instant::now);
            }
            changed
        });
        if changed && !suffice {
            tracing::warn!(
                voting = votes.voting,
                quorum = votes.quorum,
                "too few replicas vote: the candidacy stays until the neighbour's is back"
            );
        }
        suffice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::election::{is_master_candidate, master};
    use crate::sidecar::guard::election_nodes::Election;
    use crate::sidecar::guard::replicas::Inbox;

    /// Beside a master whose log has no replica that votes, with a ZooKeeper that is never asked.
    fn without_a_quorum() -> (ElectionNodes, Withdrawal) {
        let election = Election {
            path: "/mesos".to_owned(),
            is_candidate: is_master_candidate,
            read: master,
            address: "10.0.0.7:5050".to_owned(),
            ip: [10, 0, 0, 7].into(),
        };
        let (nodes, _) = ElectionNodes::new("10.0.0.1:2181".to_owned(), election);
        let address = "10.0.0.7:5050".parse().unwrap();
        let replicas = Replicas::new(address, address, Arc::new(Inbox::default()), nodes.peers());
        let withdrawal = Withdrawal::new(
            nodes.clone(),
            Some(Arc::new(replicas)),
            Arc::new(Status::default()),
        );
        (nodes, withdrawal)
    }

    fn candidacy(number: u8) -> String {
        format!("json.info_{number:010}")
    }

    #[tokio::test]
    async fn without_a_quorum_the_end_is_put_off_for_a_while() {
        let (nodes, withdrawal) = without_a_quorum();
        let ends = async {
            for number in 1..3 {
                nodes.see([(candidacy(number), 7)].into());
                let doomed = Instant::now();
                withdrawal.doom([candidacy(number)].into(), doomed);
                withdrawal.finish().await;
                let put_off = doomed.elapsed();
                assert!(put_off >= TOO_FEW && put_off < LAST, "{put_off:?}");
                // It goes with its session.
                nodes.see(BTreeMap::new());
                let mut left = withdrawal.doomed.subscribe();
                let _ = left.wait_for(BTreeMap::is_empty).await;
            }
        };
        tokio::select! {
            () = withdrawal.run() => {}
            () = ends => {}
        }
    }

    #[tokio::test]
    async fn nothing_is_waited_for_that_went_by_itself() {
        let (nodes, withdrawal) = without_a_quorum();
        nodes.see([(candidacy(1), 7)].into());
        withdrawal.doom([candidacy(1)].into(), Instant::now());
        let ends = async {
            let begun = Instant::now();
            let finished = withdrawal.finish();
            nodes.see(BTreeMap::new());
            finished.await;
            assert!(begun.elapsed() < TOO_FEW);
        };
        tokio::select! {
            () = withdrawal.run() => {}
            () = ends => {}
        }
    }
}
