//! Who leads in each cloud, watched in its ZooKeeper.

pub mod closed_election;
pub mod election_watch;
pub mod ensemble;
pub mod session;
mod watch;
pub mod withdrawal;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, mpsc, watch as channel};
use tokio::task::AbortHandle;
use zookeeper_client::Client;

use self::watch::Publisher;
use crate::cloud::election::Candidate;
use crate::reconcile::Guarded;

/// What is known of a cloud's elections. Kept as it last was while ZooKeeper cannot be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elected {
    /// The leading Mesos master.
    pub mesos: Option<Candidate>,
    /// The leading Marathon.
    pub marathon: Option<Candidate>,
    /// Name of the leading, or only, ZooKeeper member.
    pub zookeeper: Option<String>,
}

/// Where the elections of one cloud take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Electorate {
    /// ZooKeeper members: name, and `ip:port`.
    pub ensemble: Vec<(String, String)>,
    /// Path of the masters' candidates.
    pub mesos_path: String,
    /// Path of Marathon, whose candidates are in its folder `leader`.
    pub marathon_path: String,
}

impl Electorate {
    /// The members as ZooKeeper's clients take them.
    pub fn servers(&self) -> String {
        let servers = self.ensemble.iter().map(|(_, address)| address.as_str());
        servers.collect::<Vec<_>>().join(",")
    }
}

/// The watches of every cloud. One ZooKeeper session for each.
pub struct Watches {
    running: Mutex<HashMap<ObjectRef<Guarded>, Running>>,
    changed: mpsc::UnboundedSender<ObjectRef<Guarded>>,
}

struct Running {
    electorate: Electorate,
    elected: channel::Receiver<Elected>,
    session: channel::Receiver<Option<Client>>,
    ask_ensemble: Arc<Notify>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watches {
    /// No watch yet, and the stream of clouds in which somebody else leads now.
    pub fn new() -> (Self, impl Stream<Item = ObjectRef<Guarded>> + Send + 'static) {
        let (changed, mut changes) = mpsc::unbounded_channel();
        let stream = futures::stream::poll_fn(move |context| changes.poll_recv(context));
        (
            Self {
                running: Mutex::default(),
                changed,
            },
            stream,
        )
    }

    /// What is known of the cloud's elections. Starts watching them where that has not happened yet.
    pub fn follow(&self, cloud: &ObjectRef<Guarded>, electorate: Electorate) -> Elected {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = running.get(cloud).filter(|w| w.electorate == electorate) {
            // Something happened in the cloud; ZooKeeper has no watch for its own leader.
            watch.ask_ensemble.notify_one();
            return watch.elected.borrow().clone();
        }
        let known = running
            .get(cloud)
            .map(|w| w.elected.borrow().clone())
            .unwrap_or_default();
        let (sender, elected) = channel::channel(known.clone());
        let (live, session) = channel::channel(None);
        let ask_ensemble = Arc::new(Notify::new());
        let publisher = Publisher {
            elected: sender,
            session: live,
            changed: self.changed.clone(),
            cloud: cloud.clone(),
        };
        let task =
            tokio::spawn(watch::run(electorate.clone(), publisher, ask_ensemble.clone())).abort_handle();
        running.insert(
            cloud.clone(),
            Running {
                electorate,
                elected,
                session,
                ask_ensemble,
                task,
            },
        );
        known
    }

    /// The session in which the cloud's elections are watched, while there is one.
    pub fn session(&self, cloud: &ObjectRef<Guarded>) -> Option<Client> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(cloud)?.session.borrow().clone()
    }

    /// Ends the watch of a cloud that is gone.
    pub fn forget(&self, cloud: &ObjectRef<Guarded>) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(cloud);
    }
}
