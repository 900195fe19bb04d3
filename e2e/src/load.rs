//! Clients that never stop asking the Mesos proxy who answers, while a test does something to the masters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::{Answer, Connection, get};
use crate::{Error, Result};

/// Pause between two requests that each come on a connection of their own: 50 a second.
const FRESH: Duration = Duration::from_millis(20);
/// Pause between two requests on the connection that is kept.
const KEPT: Duration = Duration::from_millis(100);
/// Requests that wait for their answers at the same time, at most.
const WAITING: usize = 500;
/// No load lasts longer.
const LONGEST: Duration = Duration::from_secs(300);
const PATH: &str = "/state.json";

/// A leading master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Name of its pod.
    pub name: String,
    /// What it calls itself, with its pod's address: another one in its next life.
    pub pid: String,
}

/// Who answered one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This master, which leads.
    Leader(Leader),
    /// Nobody, and the proxy said so: 503.
    Unavailable,
    /// Nobody: the connection was refused or broke.
    Broken(String),
    /// Somebody who should not have.
    Wrong(String),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was sent, since the load began.
    pub sent: Duration,
    /// When it was over, since the load began.
    pub over: Duration,
    /// Whether on the connection that is kept.
    pub kept: bool,
    /// Its outcome.
    pub outcome: Outcome,
}

impl Sample {
    /// The leader who answered, if one did.
    pub fn leader(&self) -> Option<&Leader> {
        match &self.outcome {
            Outcome::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    fn is_lost(&self) -> bool {
        matches!(self.outcome, Outcome::Unavailable | Outcome::Broken(_))
    }
}

/// A load that is going on; it ends when it is stopped or dropped.
pub struct Load {
    began: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts both clients on the proxy of the cloud with this name.
    pub fn start(address: &'static str, cloud: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let log = Log {
            began: Instant::now(),
            samples: Arc::default(),
            cloud: cloud.to_owned(),
            kept: false,
        };
        let own = Log {
            kept: true,
            ..log.clone()
        };
        let (began, samples) = (log.began, log.samples.clone());
        let mut clients = JoinSet::new();
        clients.spawn(fresh(address, log, stopped.clone()));
        clients.spawn(kept(address, own, stopped));
        Self {
            began,
            samples,
            stop,
            clients,
        }
    }

    /// Time since it began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until both clients have been answered often enough to know what is usual; returns who leads.
    pub async fn usual(&self) -> Result<Leader> {
        let answered = |samples: &[Sample]| {
            let (kept, fresh): (Vec<_>, Vec<_>) = samples.iter().partition(|s| s.kept);
            let enough = fresh.len() >= 100 && kept.len() >= 10;
            samples
                .iter()
                .rev()
                .filter(|_| enough)
                .find_map(Sample::leader)
                .cloned()
        };
        self.until("the load is answered", Duration::from_secs(15), answered)
            .await
    }

    /// Waits until both clients have been answered by another leader than `old`; returns it.
    pub async fn another(&self, old: &Leader, patience: Duration) -> Result<Leader> {
        let answered = |samples: &[Sample]| {
            let next = |kept| {
                let mut answers = samples.iter().rev().filter(move |s| s.kept == kept);
                answers.find_map(|s| s.leader().filter(|l| l.pid != old.pid))
            };
            next(true).and(next(false)).cloned()
        };
        self.until("another leader answers", patience, answered).await
    }

    async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        wanted: impl Fn(&[Sample]) -> Option<T>,
    ) -> Result<T> {
        let mut tick = interval(KEPT);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            tick.tick().await;
            if let Some(found) = wanted(&self.samples.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Ok(found);
            }
        }
        let report = Report::of(&self.samples);
        Err(Error::new(format!(
            "within {patience:?} it did not come about that {what}: {report}"
        )))
    }

    /// Ends it, waits for the answers that are still to come, and tells how it went.
    pub async fn stop(mut self) -> Result<Report> {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            ended?;
        }
        Ok(Report::of(&self.samples))
    }
}

/// Where a client writes its samples.
#[derive(Clone)]
struct Log {
    began: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    cloud: String,
    kept: bool,
}

impl Log {
    fn note(&self, sent: Instant, answer: &Result<Answer>) {
        let outcome = match answer {
            Ok(answer) => judge(answer, &self.cloud),
            Err(error) => Outcome::Broken(error.to_string()),
        };
        let sample = Sample {
            sent: sent.saturating_duration_since(self.began),
            over: self.began.elapsed(),
            kept: self.kept,
            outcome,
        };
        self.samples
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sample);
    }
}

async fn fresh(address: &'static str, log: Log, mut stopped: watch::Receiver<bool>) {
    let mut tick = interval(FRESH);
    let waiting = Arc::new(Semaphore::new(WAITING));
    let mut requests = JoinSet::new();
    while log.began.elapsed() < LONGEST {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopped.changed() => break,
        }
        while requests.try_join_next().is_some() {}
        let Ok(place) = waiting.clone().acquire_owned().await else {
            break;
        };
        let log = log.clone();
        requests.spawn(async move {
            let sent = Instant::now();
            log.note(sent, &get(address, PATH).await);
            drop(place);
        });
    }
    while requests.join_next().await.is_some() {}
}

async fn kept(address: &'static str, log: Log, mut stopped: watch::Receiver<bool>) {
    let mut tick = interval(KEPT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    while log.began.elapsed() < LONGEST {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopped.changed() => return,
        }
        let sent = Instant::now();
        let answer = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(address).await?,
            };
            let answer = open.send("GET", PATH, None).await?;
            // HAProxy closes after an error page of its own.
            connection = (answer.header("connection") != "close").then_some(open);
            Ok(answer)
        };
        let answer = answer.await;
        log.note(sent, &answer);
    }
}

/// A master tells its own pid and hostname, and whom it takes for the leader; the proxy tells which server it
/// asked. Only when all of that is one master was it the leader who answered.
pub fn judge(answer: &Answer, cloud: &str) -> Outcome {
    let server = answer.header("x-mesoscloud-server");
    if answer.status == 503 {
        return Outcome::Unavailable;
    }
    let state = answer.json();
    let text = |key: &str| state[key].as_str().unwrap_or_default().to_owned();
    let (pid, leader, hostname) = (text("pid"), text("leader"), text("hostname"));
    let member = hostname.split('.').next().unwrap_or_default();
    let same = member == format!("{cloud}-{server}");
    if answer.status == 200 && same && !pid.is_empty() && pid == leader {
        let name = member.to_owned();
        return Outcome::Leader(Leader { name, pid });
    }
    Outcome::Wrong(format!(
        "status {} from server {server:?}: pid {pid:?}, leader {leader:?}, hostname {hostname:?}",
        answer.status
    ))
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every request, in the order in which they were over.
    pub samples: Vec<Sample>,
}

impl Report {
    fn of(samples: &Mutex<Vec<Sample>>) -> Self {
        Self {
            samples: samples.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Answers by somebody who should not have answered.
    pub fn wrong(&self) -> Vec<&Sample> {
        self.samples
            .iter()
            .filter(|s| matches!(s.outcome, Outcome::Wrong(_)))
            .collect()
    }

    /// When another leader than `old` first answered: until then, requests may go unanswered.
    pub fn next_leader(&self, old: &Leader) -> Option<Duration> {
        let mut answers = self
            .samples
            .iter()
            .filter(|s| s.leader().is_some_and(|l| l.pid != old.pid));
        answers.next().map(|s| s.over)
    }

    /// Requests that nobody answered although they were over before `from` or sent after `to`.
    pub fn lost_outside(&self, from: Duration, to: Duration) -> Vec<&Sample> {
        let outside = |s: &&Sample| s.over < from || s.sent > to;
        self.samples
            .iter()
            .filter(|s| s.is_lost())
            .filter(outside)
            .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for sample in &self.samples {
            let key = match &sample.outcome {
                Outcome::Leader(leader) => &leader.name,
                Outcome::Unavailable => "503",
                Outcome::Broken(_) => "no answer",
                Outcome::Wrong(_) => "wrong",
            };
            *counts.entry(key).or_default() += 1;
        }
        let slowest = self
            .samples
            .iter()
            .map(|s| s.over.saturating_sub(s.sent))
            .max()
            .unwrap_or_default();
        write!(
            f,
            "{} requests {counts:?}, slowest {slowest:.3?}",
            self.samples.len()
        )
    }
}
