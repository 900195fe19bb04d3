//! Tells HAProxy who leads, through its runtime socket: nothing is reloaded, and nothing in flight is lost.

use std::time::{Duration, Instant};

use super::health::{Cause, Status};
use super::hold::Hold;
use super::probe;
use super::socket::{Error, ServerState, Sockets, States};
use crate::cloud::haproxy::ProxyState;

/// Time that a member has to answer that it leads, when it would be good news. It is asked again in a moment.
const GLANCE: Duration = Duration::from_millis(250);
/// Time that a member has when it is taken for the leader already, as in HAProxy's own check.
const PATIENCE: Duration = Duration::from_secs(1);

/// The leading server of one proxy.
pub struct Leader<'a> {
    /// HAProxy.
    pub sockets: &'a Sockets,
    /// The members.
    pub want: &'a ProxyState,
    /// Name of the one that leads, as far as is known.
    pub name: Option<&'a str>,
    /// Those who wait for it.
    pub hold: &'a Hold,
    /// Where it is told.
    pub status: &'a Status,
    /// When there was reason to look.
    pub since: Instant,
}

impl Leader<'_> {
    /// Lets those go who wait, if HAProxy has somebody for them. Returns what HAProxy knows.
    pub async fn look(&self) -> Result<States, Error> {
        let looked = Instant::now();
        let states = self.sockets.servers().await?;
        if let Some(backend) = self.want.kind.leader_backend()
            && self
                .want
                .servers
                .iter()
                .any(|server| states.is_up(backend, &server.name))
        {
            self.hold.release(looked);
        }
        Ok(states)
    }

    /// Makes the named leader HAProxy's only one, if it says itself that it leads. Returns whether there is
    /// nothing left to do.
    ///
    /// What is known may be old. A member that answers as the leader is the leader, and the others are not; one
    /// that does not changes nothing.
    pub async fn nudge(&self) -> Result<bool, Error> {
        let states = self.look().await?;
        let (Some(backend), Some(leader)) = (self.want.kind.leader_backend(), self.name) else {
            return Ok(true);
        };
        let others_up = self.others_up(backend, &states);
        if states.is_up(backend, leader) && others_up.is_empty() {
            return Ok(true);
        }
        // Addressed as HAProxy does: it may have refused the settings in which the address is another.
        let Some(known) = states.of(backend, leader) else {
            return Ok(false);
        };
        if !probe::leads(self.want.kind, &known.address, GLANCE).await {
            return Ok(false);
        }
        // First up, then down, so that there is always somebody to ask.
        if !known.up {
            self.sockets.set_health(backend, leader, true).await?;
        }
        self.hold.release(Instant::now());
        for other in others_up {
            self.sockets.set_health(backend, other, false).await?;
        }
        self.status.applied(Cause::Leader, self.since.elapsed());
        tracing::info!(leader, "leads now");
        Ok(true)
    }

    /// Another was elected, or nobody: whoever led leads no longer, though it may answer still, and the next one
    /// may take its time.
    pub async fn elected(&self) -> Result<(), Error> {
        let Some(backend) = self.want.kind.leader_backend() else {
            return Ok(());
        };
        let states = self.sockets.servers().await?;
        for other in self.others_up(backend, &states) {
            self.sockets.set_health(backend, other, false).await?;
            self.status.applied(Cause::Election, self.since.elapsed());
            tracing::info!(server = other, "leads no longer, by election");
        }
        Ok(())
    }

    /// A server's process ended, or closed a connection: it no longer leads until it says so.
    ///
    /// It is not asked now: the way to a pod that is gone is silence, and the next leader would have to wait.
    pub async fn ended(&self, server: &str) -> Result<(), Error> {
        if let Some((backend, known)) = self.known(server).await?
            && known.up
        {
            self.sockets.set_health(backend, server, false).await?;
            self.status.applied(Cause::Death, self.since.elapsed());
            tracing::info!(server, "its connection ended, so it leads no longer");
        }
        Ok(())
    }

    /// A server may have become another process unseen, or only closed a connection: what HAProxy believes of it
    /// becomes what it says.
    pub async fn ask(&self, server: &str) -> Result<(), Error> {
        let Some((backend, known)) = self.known(server).await? else {
            return Ok(());
        };
        let leads = probe::leads(self.want.kind, &known.address, PATIENCE).await;
        if leads != known.up {
            self.sockets.set_health(backend, server, leads).await?;
            tracing::info!(server, leads, "asked");
        }
        Ok(())
    }

    /// The same for all that HAProxy believes to lead: a new worker took over what the old one believed.
    pub async fn ask_believed(&self) -> Result<(), Error> {
        for server in &self.want.servers {
            if let Some((_, known)) = self.known(&server.name).await?
                && known.up
            {
                self.ask(&server.name).await?;
            }
        }
        Ok(())
    }

    /// Servers that HAProxy believes to lead, besides the leader.
    fn others_up(&self, backend: &str, states: &States) -> Vec<&str> {
        let names = self.want.servers.iter().map(|server| server.name.as_str());
        names
            .filter(|name| Some(*name) != self.name && states.is_up(backend, name))
            .collect()
    }

    /// What HAProxy knows of a server in the backend where it matters who leads.
    async fn known(&self, server: &str) -> Result<Option<(&'static str, ServerState)>, Error> {
        let Some(backend) = self.want.kind.leader_backend() else {
            return Ok(None);
        };
        let states = self.sockets.servers().await?;
        Ok(states.of(backend, server).map(|known| (backend, known.clone())))
    }
}
