//! Keeps a cloud's masters from electing a leader that would stand still.
//!
//! When masters grow, the last of them is restarted while the others already need one replica more than is there
//! without it: whoever is elected then stands still for a minute (docs/originals.md, "Scaling"). The candidacy of
//! the one that restarts lasts as long as its session, four seconds, whether it is back by then or not. So the operator
//! stands between it and the others in the election, with the same words: whoever reads them goes on as before.
//!
//! The node belongs to a session of its own: should the operator end, it is as if it had never been there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kube::runtime::reflector::ObjectRef;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::{Electorate, session};
use crate::cloud::election::{Candidate, is_master_candidate, master};
use crate::reconcile::Guarded;

/// The operator's own nodes in elections, by cloud.
#[derive(Default)]
pub struct ClosedElections(Mutex<HashMap<ObjectRef<Guarded>, Closed>>);

struct Closed {
    session: Client,
    path: String,
    node: String,
    since: Instant,
    /// Since when the leader it stands behind is gone.
    stands_in_since: Option<Instant>,
}

/// How long a closed election is looked at again and again, for the moment in which it can be opened. A change that
/// takes longer is held up.
const PRESSING: Duration = Duration::from_secs(120);

impl ClosedElections {
    /// Name of the operator's node in the cloud's election, if it is there.
    ///
    /// # Errors
    /// When ZooKeeper cannot be asked.
    pub async fn node(&self, cloud: &ObjectRef<Guarded>) -> Result<Option<String>, Error> {
        let known = self
            .all()
            .get(cloud)
            .map(|closed| (closed.session.clone(), closed.path.clone()));
        let Some((session, path)) = known else {
            return Ok(None);
        };
        // Sessions end, and a node can be deleted by anybody.
        if session.state().is_terminated() || session.check_stat(&path).await?.is_none() {
            self.forget(cloud);
        }
        Ok(self.all().get(cloud).map(|closed| closed.node.clone()))
    }

    /// Notes whether the operator's node is the first now, so that nobody leads. Returns how long it has been.
    pub fn stands_in(&self, cloud: &ObjectRef<Guarded>, now: bool) -> Duration {
        let mut all = self.all();
        let Some(closed) = all.get_mut(cloud) else {
            return Duration::ZERO;
        };
        closed.stands_in_since = now.then(|| closed.stands_in_since.unwrap_or_else(Instant::now));
        closed
            .stands_in_since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether nobody leads because of the operator's node, or may not in a moment.
    pub fn is_pressing(&self, cloud: &ObjectRef<Guarded>) -> bool {
        let pressing =
            |closed: &Closed| closed.stands_in_since.is_some() || closed.since.elapsed() < PRESSING;
        self.all().get(cloud).is_some_and(pressing)
    }

    /// Stands behind every candidate there is now, with the words of the one that leads, but before those that are
    /// `not_yet` to be elected: these, which already stand before it when another operator stood there, contend
    /// again, as standbys do when their candidacies are gone (Mesos 0.28.1, src/master/master.cpp:1681).
    ///
    /// # Errors
    /// When ZooKeeper cannot be asked, or the leader's candidacy is gone.
    pub async fn close(
        &self,
        cloud: &ObjectRef<Guarded>,
        electorate: &Electorate,
        leader: &Candidate,
        not_yet: impl Fn(&Candidate) -> bool,
    ) -> Result<(), Error> {
        let folder = &electorate.mesos_path;
        let session = session::open(&electorate.servers()).await?;
        let (words, _) = session.get_data(&format!("{folder}/{}", leader.node)).await?;
        let label = leader.node.trim_end_matches(|c: char| c.is_ascii_digit());
        let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
        let (_, sequence) = session
            .create(&format!("{folder}/{label}"), &words, &options)
            .await?;
        let node = format!("{label}{:010}", sequence.into_i64());
        let closed = Closed {
            session: session.clone(),
            path: format!("{folder}/{node}"),
            node: node.clone(),
            since: Instant::now(),
            stands_in_since: None,
        };
        self.all().insert(cloud.clone(), closed);
        let candidates = session.list_children(folder).await?;
        // Sequence numbers have ten digits.
        let before = |other: &&String| is_master_candidate(other) && leader.node < **other && **other < node;
        for node in candidates.iter().filter(before) {
            let path = format!("{folder}/{node}");
            let read = match session.get_data(&path).await {
                Ok((words, _)) => master(node, &words),
                Err(Error::NoNode) => None,
                Err(error) => return Err(error),
            };
            if read.is_some_and(|candidate| not_yet(&candidate)) {
                match session.delete(&path, None).await {
                    Ok(()) | Err(Error::NoNode) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Leaves the election. Returns whether the operator was in it.
    pub async fn open(&self, cloud: &ObjectRef<Guarded>) -> bool {
        let Some(closed) = self.all().remove(cloud) else {
            return false;
        };
        // Where it cannot be deleted it goes with the session, which ends here.
        let _ = closed.session.delete(&closed.path, None).await;
        true
    }

    /// Ends the session of a cloud that is gone.
    pub fn forget(&self, cloud: &ObjectRef<Guarded>) {
        self.all().remove(cloud);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ObjectRef<Guarded>, Closed>> {
        // Nothing is half done when a holder panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
