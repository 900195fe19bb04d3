//! The watch of one cloud's elections.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, mpsc, watch as channel};
use zookeeper_client::Client;

use super::election_watch::{News, follow};
use super::{Elected, Electorate, ensemble};
use crate::cloud::election::Election;
use crate::reconcile::Guarded;

/// Where a watch tells what it sees.
pub struct Publisher {
    /// Holds what is known.
    pub elected: channel::Sender<Elected>,
    /// Holds the session in which it is watched, while there is one.
    pub session: channel::Sender<Option<Client>>,
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
        .map(|(_, address)| address.clone())
        .collect();
    let elections = [
        Election::of_masters(&electorate.mesos_path),
        Election::of_marathons(&electorate.marathon_path),
    ];
    let watch_ensemble = async {
        loop {
            let leader = ensemble::leader(&electorate.ensemble).await;
            publisher.update(|elected| elected.zookeeper = leader);
            ask_ensemble.notified().await;
        }
    };
    let watch_candidates = follow(&addresses, &elections, |news| match news {
        News::Connected(session) => {
            publisher.session.send_replace(Some(session));
            ask_ensemble.notify_one();
        }
        News::Leads(0, leader) => publisher.update(|elected| elected.mesos = leader),
        News::Leads(_, leader) => publisher.update(|elected| elected.marathon = leader),
        // What was last known is told until it is known better.
        News::Lost => drop(publisher.session.send_replace(None)),
    });
    tokio::join!(watch_ensemble, watch_candidates);
}
