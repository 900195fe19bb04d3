//! The replicated log: its election and its writes (src/log/coordinator.cpp, consensus.cpp @ 0.28.1). What it
//! keeps is the registry: the slaves, and nothing of frameworks and tasks.

pub mod network;
mod recovery;
pub mod replica;

use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use self::network::Network;
use self::replica::{Entry, KnownSlave, Replica, Vote};

/// A change of the registry that takes longer ends the master (flags.cpp @ 0.28.1:98–103).
const STORE: Duration = Duration::from_secs(20);
/// Between two elections that a quorum ignored because it does not vote yet. The original does not pause at all;
/// this is short beside the recovery that it waits for, and spares the processor.
const IGNORED: Duration = Duration::from_millis(20);

/// Asks for promises.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Promise {
    /// Must be above everything promised before.
    pub proposal: u64,
}

/// This master's part of the log.
pub struct Log {
    /// Its replica.
    pub replica: Replica,
    /// All replicas.
    pub network: Network,
    quorum: usize,
    leader: Mutex<Option<Leader>>,
}

/// What a leader knows of the log.
struct Leader {
    proposal: u64,
    end: u64,
    registry: Vec<KnownSlave>,
}

/// What came of a question to all.
enum Outcome {
    /// A quorum agrees; the last entries of its replicas.
    Agreed(Vec<Entry>),
    /// Somebody has promised to follow this higher proposal.
    Rejected(u64),
    /// A quorum does not vote.
    Ignored,
}

impl Log {
    /// Of this replica, among these.
    pub fn new(replica: Replica, network: Network, quorum: usize) -> Self {
        Self {
            replica,
            network,
            quorum,
            leader: Mutex::default(),
        }
    }

    /// Reads the registry as the elected master, and writes it anew as its own. However long it takes: replicas that
    /// are not there when it asks are not asked again (docs/originals.md, "Scaling").
    pub async fn elect(&self) -> Vec<KnownSlave> {
        // The writer waits until the own replica has recovered (log.cpp @ 0.28.1, `LogWriterProcess::start`).
        self.replica.voting().await;
        let mut proposal = 0;
        let entries = loop {
            proposal = self.replica.record().promised.max(proposal) + 1;
            match self.gather("promise", &Promise { proposal }).await {
                Outcome::Agreed(entries) => break entries,
                Outcome::Rejected(higher) => proposal = higher,
                Outcome::Ignored => sleep(IGNORED).await,
            }
        };
        let newest = entries.into_iter().max().unwrap_or_default();
        let registry: Vec<KnownSlave> = serde_json::from_str(&newest.registry).unwrap_or_default();
        let mut leader = Leader {
            proposal,
            end: newest.end,
            registry: registry.clone(),
        };
        self.store(&mut leader).await;
        *self.leader.lock().await = Some(leader);
        registry
    }

    /// Adds a slave to the registry, if it is not there.
    pub async fn admit(&self, slave: KnownSlave) {
        self.update(|registry| {
            if registry.iter().all(|known| known.id != slave.id) {
                registry.push(slave);
            }
        })
        .await;
    }

    /// Takes slaves out of the registry.
    pub async fn remove(&self, ids: &[String]) {
        self.update(|registry| registry.retain(|known| !ids.contains(&known.id)))
            .await;
    }

    async fn update(&self, change: impl FnOnce(&mut Vec<KnownSlave>)) {
        let mut leader = self.leader.lock().await;
        let Some(leader) = leader.as_mut() else {
            return;
        };
        let before = leader.registry.clone();
        change(&mut leader.registry);
        if leader.registry != before {
            self.store(leader).await;
        }
    }

    /// Writes the registry, then truncates what is before it (src/state/log.cpp @ 0.28.1).
    async fn store(&self, leader: &mut Leader) {
        let written = timeout(STORE, async {
            let begin = leader.end;
            self.append(leader, begin).await;
            let begin = leader.end;
            self.append(leader, begin).await;
        });
        if written.await.is_err() {
            fatal("Failed to update registry: Failed to perform store within 20secs");
        }
    }

    async fn append(&self, leader: &mut Leader, begin: u64) {
        leader.end += 1;
        let entry = Entry {
            proposal: leader.proposal,
            end: leader.end,
            begin,
            registry: serde_json::to_string(&leader.registry).unwrap_or_default(),
        };
        match self.gather("write", &entry).await {
            Outcome::Agreed(_) => {}
            Outcome::Rejected(_) => fatal("Failed to update registry: Coordinator demoted"),
            // Nothing is written; the time runs out.
            Outcome::Ignored => std::future::pending().await,
        }
    }

    /// Waits until a quorum has answered, for ever if it does not.
    async fn gather<Q: Serialize + Sync>(&self, what: &str, question: &Q) -> Outcome {
        let mut answers = self.network.ask(self.quorum, what, question).await;
        let (mut agreed, mut rejected, mut ignored) = (Vec::new(), Vec::new(), 0);
        while let Some(answer) = answers.next().await {
            match answer {
                Some(Vote::Accepted(entry)) => agreed.push(entry),
                Some(Vote::Rejected(promised)) => rejected.push(promised),
                Some(Vote::Ignored) => ignored += 1,
                None => {}
            }
            if ignored >= self.quorum {
                return Outcome::Ignored;
            }
            if agreed.len() + rejected.len() >= self.quorum {
                return match rejected.into_iter().max() {
                    Some(promised) => Outcome::Rejected(promised),
                    None => Outcome::Agreed(agreed),
                };
            }
        }
        std::future::pending().await
    }
}

/// The original's `LOG(FATAL)` and `EXIT(1)`: nothing is closed, in ZooKeeper least of all.
pub fn fatal(why: &str) -> ! {
    tracing::info!("{why}");
    std::process::exit(1)
}
