//! Makes HAProxy serve what the operator wrote.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::config_map::Desired;
use super::files::Files;
use super::health::Status;
use super::heartline::Heartlines;
use super::probe;
use super::socket::{Sockets, all_checked};
use crate::cloud::haproxy::Kind;

/// How often HAProxy's own state is compared with what it should be: after a restart of either there is no
/// event that tells.
const CHECK: Duration = Duration::from_secs(1);
/// How often a new leader is asked whether it is ready, and for how long before it is left to HAProxy's checks.
const NUDGE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));
/// How long a new worker may take to answer after a successful reload.
const HANDOVER: Duration = Duration::from_secs(5);

/// The agent of one HAProxy.
pub struct Agent {
    files: Files,
    sockets: Sockets,
    status: Arc<Status>,
    /// What HAProxy has been seen to run with, and starts from.
    good: Option<Desired>,
    /// Settings that HAProxy refused; not tried again.
    refused: Option<String>,
}

impl Agent {
    /// The agent of the HAProxy whose files and sockets are in `dir`.
    pub fn new(dir: &Path, status: Arc<Status>) -> Self {
        Self {
            files: Files::new(dir),
            sockets: Sockets::new(dir),
            status,
            good: None,
            refused: None,
        }
    }

    /// Follows what is desired for ever.
    pub async fn run(mut self, mut desired: watch::Receiver<Option<Desired>>) {
        if let Some(left) = self.files.read() {
            // A restarted agent goes on where it was; HAProxy may have been serving all the time.
            self.status.started();
            self.good = Some(left);
        }
        let (ended, mut ends) = mpsc::unbounded_channel();
        let mut heartlines: Option<(String, Heartlines)> = None;
        let mut checks = interval(CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                // The death of a leader first.
                biased;
                Some(server) = ends.recv() => Event::Ended(server),
                Ok(()) = desired.changed() => Event::Changed(Instant::now()),
                _ = checks.tick() => Event::Check,
            };
            let Some(want) = desired.borrow_and_update().clone().or_else(|| self.good.clone()) else {
                continue;
            };
            if want.state.kind == Kind::Mesos
                && heartlines
                    .as_ref()
                    .is_none_or(|(of, _)| *of != want.state.settings)
            {
                heartlines = Some((
                    want.state.settings.clone(),
                    Heartlines::hold(&want.state.servers, &ended),
                ));
            }
            let outcome = match event {
                Event::Ended(server) => self.take_down(&want, &server).await,
                Event::Check => self.converge(&want).await,
                Event::Changed(at) => {
                    let outcome = self.converge(&want).await;
                    if outcome.is_ok() && self.await_leader(&want, &mut desired, &mut ends, at).await {
                        // Something newer happened meanwhile.
                        desired.mark_changed();
                    }
                    outcome
                }
            };
            self.status.reachable(outcome.is_ok());
            if let Err(error) = outcome {
                tracing::debug!(%error, "HAProxy does not answer");
            }
        }
    }

    /// Files, settings and leader of HAProxy become what is wanted, as far as they can without waiting.
    async fn converge(&mut self, want: &Desired) -> io::Result<()> {
        let Ok(worker) = self.sockets.worker().await else {
            // It starts from the files: from what it has been seen to run with, or else from what is wanted.
            let from = self
                .good
                .as_ref()
                .filter(|_| self.status.is_confirmed())
                .unwrap_or(want)
                .clone();
            if self.files.read().as_ref() != Some(&from) {
                self.files.write(&from)?;
            }
            self.status.started();
            self.good = Some(from);
            return Err(io::ErrorKind::NotConnected.into());
        };
        self.status.confirm();
        let settings = &want.state.settings;
        if self.good.as_ref().map(|good| &good.state.settings) != Some(settings) {
            if self.refused.as_ref() != Some(settings) {
                self.reload(want, worker).await?;
            }
        } else if self.good.as_ref() != Some(want) {
            // Only the leader changed: HAProxy is told, not reloaded, and the file is for its next start.
            self.files.write(want)?;
            self.good = Some(want.clone());
        }
        self.nudge(want).await?;
        self.report(want).await
    }

    async fn reload(&mut self, want: &Desired, worker: u32) -> io::Result<()> {
        let servers = self.sockets.dump_servers().await?;
        self.files.write(want)?;
        self.files.hand_over(&servers)?;
        let answer = self.sockets.reload().await;
        if let Ok(Ok(())) = answer {
            let deadline = Instant::now() + HANDOVER;
            // The old worker may still answer: only a new one is the new configuration.
            while self.sockets.worker().await.is_ok_and(|pid| pid == worker) && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // Whatever starts from now on must check for itself again.
            self.files.write(want)?;
            self.good = Some(want.clone());
            self.refused = None;
            self.status.reloaded(true);
            tracing::info!(settings = want.state.settings, "HAProxy reloaded");
            return Ok(());
        }
        let why = match answer {
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
            Ok(Ok(())) => String::new(),
        };
        tracing::error!(
            settings = want.state.settings,
            why,
            "HAProxy refuses the configuration and keeps the last"
        );
        if let Some(good) = &self.good {
            self.files.write(good)?;
        }
        self.refused = Some(want.state.settings.clone());
        self.status.reloaded(false);
        Ok(())
    }

    /// Tells HAProxy who leads, if that one says so itself. Returns whether it does.
    ///
    /// What the operator wrote may be old. A member that answers as the leader is the leader, and the others
    /// are not; one that does not changes nothing.
    async fn nudge(&self, want: &Desired) -> io::Result<bool> {
        let (Some(backend), Some(leader)) = (want.state.kind.leader_backend(), &want.state.leader) else {
            return Ok(true);
        };
        let states = self.sockets.servers(backend).await?;
        let is_up = |name: &str| states.get(name).is_some_and(|s| s.up);
        let others_up: Vec<_> = want
            .state
            .servers
            .iter()
            .filter(|s| s.name != *leader && is_up(&s.name))
            .collect();
        if is_up(leader) && others_up.is_empty() {
            return Ok(true);
        }
        let Some(server) = want.state.servers.iter().find(|s| s.name == *leader) else {
            return Ok(true);
        };
        if !states.contains_key(leader) || !probe::leads(want.state.kind, &server.address).await {
            return Ok(false);
        }
        for other in others_up {
            self.sockets.set_health(backend, &other.name, false).await?;
        }
        if !is_up(leader) {
            self.sockets.set_health(backend, leader, true).await?;
            tracing::info!(leader, "leads now");
        }
        Ok(true)
    }

    /// Asks a new leader until it is ready. Returns whether something newer came in between.
    async fn await_leader(
        &self,
        want: &Desired,
        desired: &mut watch::Receiver<Option<Desired>>,
        ends: &mut mpsc::UnboundedReceiver<String>,
        since: Instant,
    ) -> bool {
        let mut pace = interval(NUDGE.0);
        while since.elapsed() < NUDGE.1 {
            tokio::select! {
                biased;
                changed = desired.changed() => return changed.is_ok(),
                Some(server) = ends.recv() => {
                    // The leader that is waited for, or another: take it down and go on waiting.
                    let _ = self.take_down(want, &server).await;
                }
                _ = pace.tick() => match self.nudge(want).await {
                    Ok(false) => {}
                    Ok(true) => {
                        self.status.applied(since.elapsed());
                        return false;
                    }
                    Err(_) => return false,
                },
            }
        }
        false
    }

    /// A server's process ended, or it closed a connection: it is no longer the leader until it says so.
    async fn take_down(&self, want: &Desired, server: &str) -> io::Result<()> {
        let Some(backend) = want.state.kind.leader_backend() else {
            return Ok(());
        };
        self.sockets.set_health(backend, server, false).await?;
        tracing::info!(server, "its connection ended");
        let Some(found) = want.state.servers.iter().find(|s| s.name == server) else {
            return Ok(());
        };
        if probe::leads(want.state.kind, &found.address).await {
            // It only closed a connection.
            self.sockets.set_health(backend, server, true).await?;
        }
        Ok(())
    }

    async fn report(&self, want: &Desired) -> io::Result<()> {
        let backend = want.state.kind.backends()[0];
        let states = self.sockets.servers(backend).await?;
        let served = self.good.as_ref().map_or(&want.state, |good| &good.state);
        let up = served
            .servers
            .iter()
            .filter(|s| states.get(&s.name).is_some_and(|s| s.up));
        self.status.serves(
            served,
            up.map(|s| s.name.clone()).collect(),
            all_checked(&served.servers, &states),
        );
        Ok(())
    }
}

enum Event {
    /// A server's connection ended.
    Ended(String),
    /// Something else is desired, since this moment.
    Changed(Instant),
    /// Time to look.
    Check,
}
