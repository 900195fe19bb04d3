//! The watch of one cloud's elections.

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, mpsc, watch as channel};
use zookeeper_client::{Client, Error, OneshotWatcher};

use super::{Elected, Electorate, ensemble};
use crate::cloud::election::{
    Candidate, is_marathon_candidate, is_master_candidate, leading_node, marathon, master,
};
use crate::reconcile::Guarded;

const SESSION: Duration = Duration::from_secs(10);
/// Pause before a lost session is replaced: doubled after each failure, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// One election: where its candidates are, which of the children they are, and how they are read.
struct Election {
    path: String,
    is_candidate: fn(&str) -> bool,
    read: fn(&str, &[u8]) -> Option<Candidate>,
    publish: fn(&mut Elected, Option<Candidate>),
}

/// Where a watch tells what it sees.
pub struct Publisher {
    /// Holds what is known.
    pub elected: channel::Sender<Elected>,
    /// Is sent the cloud's name after each change.
    pub changed: mpsc::UnboundedSender<ObjectRef<Guarded>>,
    /// The cloud.
    pub cloud: ObjectRef<Guarded>,
}

impl Publisher {
    fn update(&self, change: impl FnOnce(&mut Elected)) {
        let differs = self.elected.send_if_modified(|elected| {
            let before = elected.clone();
            change(elected);
            *elected != before
        });
        if differs {
            // Nobody listens any more only when the operator ends.
            let _ = self.changed.send(self.cloud.clone());
        }
    }
}

/// Watches until the task is aborted. `ask_ensemble` makes it ask again who leads ZooKeeper itself.
pub async fn run(electorate: Electorate, publisher: Publisher, ask_ensemble: Arc<Notify>) {
    let addresses: Vec<_> = electorate
        .ensemble
        .iter()
        .map(|(_, address)| address.as_str())
        .collect();
    let cluster = addresses.join(",");
    let elections = [
        Election {
            path: electorate.mesos_path.clone(),
            is_candidate: is_master_candidate,
            read: master,
            publish: |elected, leader| elected.mesos = leader,
        },
        Election {
            path: format!("{}/leader", electorate.marathon_path),
            is_candidate: is_marathon_candidate,
            read: marathon,
            publish: |elected, leader| elected.marathon = leader,
        },
    ];
    let watch_ensemble = async {
        loop {
            let leader = ensemble::leader(&electorate.ensemble).await;
            publisher.update(|elected| elected.zookeeper = leader);
            ask_ensemble.notified().await;
        }
    };
    let watch_candidates = async {
        let mut pause = PAUSE.0;
        loop {
            // The oldest protocol that is still spoken: a 3.4 server drops a connection that asks for more.
            let connector = Client::connector()
                .with_server_version(3, 4, 8)
                .with_session_timeout(SESSION);
            let ended = match connector.connect(&cluster).await {
                Ok(client) => {
                    pause = PAUSE.0;
                    ask_ensemble.notify_one();
                    let [mesos, marathon] = &elections;
                    tokio::select! {
                        error = follow(&client, mesos, &publisher) => error,
                        error = follow(&client, marathon, &publisher) => error,
                    }
                }
                Err(error) => error,
            };
            tracing::debug!(cloud = %publisher.cloud, error = %ended, "ZooKeeper cannot be asked");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    };
    tokio::join!(watch_ensemble, watch_candidates);
}

/// Follows one election for as long as the session lasts.
async fn follow(client: &Client, election: &Election, publisher: &Publisher) -> Error {
    loop {
        match leader(client, election).await {
            Ok((leader, watcher)) => {
                publisher.update(|elected| (election.publish)(elected, leader));
                watcher.changed().await;
            }
            // The leader's node went between the list and the read: look again at once.
            Err(Error::NoNode) => {}
            Err(error) => return error,
        }
    }
}

async fn leader(client: &Client, election: &Election) -> Result<(Option<Candidate>, OneshotWatcher), Error> {
    let (children, watcher) = match client.list_and_watch_children(&election.path).await {
        Ok(listed) => listed,
        Err(Error::NoNode) => {
            let (stat, watcher) = client.check_and_watch_stat(&election.path).await?;
            return if stat.is_some() {
                Err(Error::NoNode)
            } else {
                Ok((None, watcher))
            };
        }
        Err(error) => return Err(error),
    };
    let Some(node) = leading_node(children.iter().map(String::as_str), election.is_candidate) else {
        return Ok((None, watcher));
    };
    let (data, _) = client.get_data(&format!("{}/{node}", election.path)).await?;
    Ok(((election.read)(node, &data), watcher))
}
