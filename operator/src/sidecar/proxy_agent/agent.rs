//! Makes HAProxy serve what the operator wrote.
//!
//! Everything is compared with what HAProxy itself says, so it does not matter which of the two was restarted, or
//! what of an earlier attempt arrived.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::config_map::Desired;
use super::election::{Elected, ElectionWatch};
use super::files::Files;
use super::health::{Cause, Status};
use super::heartline::{Heartlines, Pulse};
use super::hold::Hold;
use super::leader::Leader;
use super::socket::{self, Sockets, Worker};
use crate::cloud::haproxy::Kind;

/// How often HAProxy's own state is compared with what it should be: no event tells of its restart.
const CHECK: Duration = Duration::from_secs(1);
/// How often a new leader is asked whether it is ready, and HAProxy whether it has somebody for those who wait.
const NUDGE: Duration = Duration::from_millis(10);
/// How long it is asked so often before it is left to [`CHECK`] and HAProxy's own checks.
const AWAIT_LEADER: Duration = Duration::from_secs(10);
/// How long a new worker may take to answer after a successful reload.
const HANDOVER: Duration = Duration::from_secs(5);

/// Why HAProxy could not be brought to what is desired for now. It is tried again every second.
#[derive(Debug, Error)]
pub enum Error {
    /// HAProxy does not answer, or not as expected.
    #[error(transparent)]
    Haproxy(#[from] socket::Error),
    /// The folder cannot be written.
    #[error("failed to write HAProxy's files: {0}")]
    Files(#[from] std::io::Error),
    /// The worker that a reload promised does not come.
    #[error("HAProxy says that it reloaded, but worker {0} goes on serving")]
    NoNewWorker(u32),
}

/// The agent of one HAProxy.
pub struct Agent {
    files: Files,
    sockets: Sockets,
    status: Arc<Status>,
    hold: Arc<Hold>,
    /// What HAProxy has been seen to run with in this pod.
    good: Option<Desired>,
    /// What a HAProxy that is not there yet is given to start from.
    prepared: Option<Desired>,
    /// Settings that HAProxy refused; not tried again.
    refused: Option<String>,
}

enum Event {
    /// A connection to a server began or ended.
    Pulse(Pulse),
    /// ZooKeeper tells something else.
    Elected,
    /// Something else is desired.
    Changed,
    /// Time to ask the leader.
    Nudge,
    /// A request has found no leader.
    Held,
    /// Time to look.
    Check,
}

impl Agent {
    /// The agent of the HAProxy whose files and sockets are in `dir`, and whose requests wait in `hold`.
    pub fn new(dir: &Path, status: Arc<Status>, hold: Arc<Hold>) -> Self {
        Self {
            files: Files::new(dir),
            sockets: Sockets::new(dir),
            status,
            hold,
            good: None,
            prepared: None,
            refused: None,
        }
    }

    /// Follows what is desired for ever.
    pub async fn run(mut self, mut desired: watch::Receiver<Option<Desired>>) {
        // An agent before this one may have gone in the middle of a reload.
        self.good = self.files.good();
        let (sender, mut pulses) = mpsc::unbounded_channel();
        let (elections, mut elected) = watch::channel(Elected::Unknown);
        let mut heartlines: Option<Heartlines> = None;
        let mut election: Option<ElectionWatch> = None;
        let mut leads: Option<String> = None;
        // Since when the leader is new and not served, and whether it is time to look once.
        let (mut awaiting, mut due): (Option<Instant>, bool) = (None, false);
        let (mut checks, mut nudges) = (interval(CHECK), interval(NUDGE));
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        nudges.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let pressing = awaiting.is_some() || due || self.hold.is_held();
            let event = tokio::select! {
                // The end of a leader first. What an election has cut short comes after it.
                biased;
                Ok(()) = elected.changed() => Event::Elected,
                Some(pulse) = pulses.recv() => Event::Pulse(pulse),
                Ok(()) = desired.changed() => Event::Changed,
                _ = checks.tick() => Event::Check,
                _ = nudges.tick(), if pressing => Event::Nudge,
                () = self.hold.arrival(), if !pressing => Event::Held,
            };
            let arrived = Instant::now();
            let Some(want) = desired.borrow().clone().or_else(|| self.good.clone()) else {
                continue;
            };
            let servers = &want.state.servers;
            if want.state.kind == Kind::Mesos && !heartlines.as_ref().is_some_and(|held| held.are_of(servers))
            {
                heartlines = Some(Heartlines::hold(servers, &sender));
            }
            if !election.as_ref().is_some_and(|watch| watch.is_of(&want.state)) {
                election = Some(ElectionWatch::start(&want.state, &elections));
            }
            self.hold.set_patience(want.state.following.hold_timeout_ms);
            let known = elected.borrow().clone();
            self.status.election_known(known != Elected::Unknown);
            let name = known.leader(&want.state);
            if name != leads.as_deref() {
                leads = name.map(str::to_owned);
                awaiting = name.is_some().then_some(arrived);
                nudges.reset_immediately();
            }
            let leader = self.leader(&want, name, awaiting.unwrap_or(arrived));
            let outcome = match event {
                Event::Pulse(Pulse::Ended(server)) => leader.ended(&server).await.map_err(Error::from),
                Event::Pulse(Pulse::Began(server)) => tokio::select! {
                    biased;
                    // Whoever led leads no longer, and this one may take its time.
                    Ok(()) = elected.changed() => {
                        elected.mark_changed();
                        // It is asked after that. The other end is in this function.
                        let _ = sender.send(Pulse::Began(server));
                        Ok(())
                    }
                    done = leader.ask(&server) => done.map_err(Error::from),
                },
                Event::Elected if known == Elected::Unknown => Ok(()),
                Event::Elected => leader.elected().await.map_err(Error::from),
                Event::Nudge if awaiting.is_some() || due => tokio::select! {
                    biased;
                    // Somebody else is to be asked: the way to a pod that is gone is silence.
                    Ok(()) = elected.changed() => {
                        elected.mark_changed();
                        Ok(())
                    }
                    done = leader.nudge() => {
                        due = false;
                        awaiting = awaiting.filter(|since| {
                            !matches!(done, Ok(true)) && since.elapsed() < AWAIT_LEADER
                        });
                        done.map(drop).map_err(Error::from)
                    }
                },
                Event::Held => {
                    // HAProxy has lost the leader, for a connection that failed perhaps.
                    awaiting = name.map(|_| arrived);
                    // The next ones are heard after that, so a flood of them is as frequent as nudges are.
                    due = true;
                    Ok(())
                }
                Event::Nudge => leader.look().await.map(drop).map_err(Error::from),
                Event::Changed | Event::Check => {
                    due = true;
                    self.converge(&want, arrived).await
                }
            };
            match outcome {
                Ok(()) => {}
                // It starts, or starts again.
                Err(Error::Haproxy(error @ socket::Error::Silent { .. })) => tracing::debug!(%error),
                Err(error) => tracing::warn!(%error, "HAProxy is not as desired, trying again"),
            }
        }
    }

    fn leader<'a>(&'a self, want: &'a Desired, name: Option<&'a str>, since: Instant) -> Leader<'a> {
        Leader {
            sockets: &self.sockets,
            want: &want.state,
            name,
            hold: &self.hold,
            status: &self.status,
            since,
        }
    }

    /// Files and settings of HAProxy become what is wanted, as far as they can without waiting.
    async fn converge(&mut self, want: &Desired, since: Instant) -> Result<(), Error> {
        let worker = match self.sockets.worker().await {
            Ok(worker) => worker,
            Err(error) => {
                self.status.silent();
                // It starts from what it has been seen to run with, or else from what is wanted.
                let from = self.good.as_ref().unwrap_or(want);
                self.files.write_for_start(from)?;
                self.status.started();
                self.prepared = Some(from.clone());
                return Err(error.into());
            }
        };
        self.status.started();
        self.learn(&worker, want)?;
        if worker.settings != want.state.settings && self.refused.as_ref() != Some(&want.state.settings) {
            self.reload(want, &worker, since).await?;
        }
        let served = self.good.as_ref().map_or(&want.state, |good| &good.state);
        self.status.serves(served, &self.sockets.servers().await?);
        Ok(())
    }

    /// Takes up what the worker runs with, whoever brought it, for its next start.
    fn learn(&mut self, worker: &Worker, want: &Desired) -> Result<(), Error> {
        let serves = |known: &&Desired| known.state.settings == worker.settings;
        if serves(&want) {
            self.refused = None;
            self.status.accepted();
        }
        // The wanted one first, for its leader is the newest.
        let known = [Some(want), self.good.as_ref(), self.prepared.as_ref()];
        let runs = known.into_iter().flatten().find(serves);
        if let Some(runs) = runs.filter(|runs| self.good.as_ref() != Some(*runs)).cloned() {
            self.files.write_for_start(&runs)?;
            self.files.remember(&runs)?;
            self.good = Some(runs);
        }
        Ok(())
    }

    async fn reload(&mut self, want: &Desired, old: &Worker, since: Instant) -> Result<(), Error> {
        self.files
            .write_for_reload(want, &self.sockets.servers().await?)?;
        let answer = self.sockets.reload().await;
        if let Ok(Ok(())) = answer {
            let worker = self.await_worker_after(old).await?;
            self.learn(&worker, want)?;
            // Whatever starts from now on must check for itself again.
            self.files.write_for_start(want)?;
            self.leader(want, None, since).ask_believed().await?;
            self.status.reloaded(Ok(()));
            self.status.applied(Cause::Settings, since.elapsed());
            tracing::info!(
                settings = want.state.settings,
                pid = worker.pid,
                "HAProxy reloaded"
            );
            return Ok(());
        }
        // What it starts from next is what it goes on with.
        if let Some(good) = &self.good {
            self.files.write_for_start(good)?;
        }
        if let Err(why) = answer? {
            tracing::error!(
                settings = want.state.settings,
                why,
                "HAProxy refuses the configuration and keeps the last"
            );
            self.refused = Some(want.state.settings.clone());
            self.status.reloaded(Err(why));
        }
        Ok(())
    }

    /// The worker that a reload started. The old one may still answer for a moment.
    async fn await_worker_after(&self, old: &Worker) -> Result<Worker, Error> {
        let mut pace = interval(NUDGE);
        let begun = Instant::now();
        loop {
            pace.tick().await;
            match self.sockets.worker().await {
                Ok(worker) if worker.pid != old.pid => return Ok(worker),
                Err(error) if begun.elapsed() > HANDOVER => return Err(error.into()),
                Ok(_) if begun.elapsed() > HANDOVER => return Err(Error::NoNewWorker(old.pid)),
                _ => {}
            }
        }
    }
}
