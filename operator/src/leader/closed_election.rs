//! Keeps a cloud's masters from electing a leader that would stand still.
//!
//! When masters grow, the last of them is restarted while the others already need one replica more than is there
//! without it: whoever is elected then stands still for a minute (reference/measured.md, "Scaling"). The candidacy of
//! the one that restarts lasts as long as its session, four seconds, whether it is back by then or not. So the operator
//! stands between it and the others in the election, with the same words: whoever reads them goes on as before.
//!
//! The node belongs to a session of its own: should the operator end, it is as if it had never been there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::runtime::reflector::ObjectRef;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::{Electorate, session};
use crate::cloud::election::Candidate;
use crate::reconcile::Guarded;

/// The operator's own nodes in elections, by cloud.
#[derive(Default)]
pub struct ClosedElections(Mutex<HashMap<ObjectRef<Guarded>, Closed>>);

struct Closed {
    session: Client,
    path: String,
    node: String,
}

impl ClosedElections {
    /// Name of the operator's node in the cloud's election, if it has one.
    pub fn node(&self, cloud: &ObjectRef<Guarded>) -> Option<String> {
        let all = self.all();
        let closed = all.get(cloud)?;
        (!closed.session.state().is_terminated()).then(|| closed.node.clone())
    }

    /// Stands behind every candidate there is now, with the words of the one that leads.
    ///
    /// # Errors
    /// When ZooKeeper cannot be asked, or the leader's candidacy is gone.
    pub async fn close(
        &self,
        cloud: &ObjectRef<Guarded>,
        electorate: &Electorate,
        leader: &Candidate,
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
            session,
            path: format!("{folder}/{node}"),
            node,
        };
        self.all().insert(cloud.clone(), closed);
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
