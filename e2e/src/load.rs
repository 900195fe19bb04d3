//! Clients that never stop asking the Mesos proxy who answers, while a test does something to the masters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::{Answer, Connection, get};
use crate::{Context as _, Error, MARATHON, MESOS, Result};

/// Usual pause between two requests that each come on a connection of their own: 50 a second.
pub const FRESH: Duration = Duration::from_millis(20);
/// Pause between two requests on the connection that is kept.
const KEPT: Duration = Duration::from_millis(100);
/// Requests that wait for their answers at the same time, at most.
const WAITING: usize = 500;
/// No load lasts longer.
pub const LONGEST: Duration = Duration::from_secs(1200);

/// Whom a load asks.
#[derive(Clone, Copy)]
pub struct Target {
    /// Where the proxy listens.
    pub address: &'static str,
    /// What it is asked for.
    pub path: &'static str,
    /// Says who answered, of the cloud with this name.
    pub judge: fn(&Answer, &str) -> Outcome,
}

/// The proxy of Mesos: its state tells which master answered.
pub const MESOS_PROXY: Target = Target {
    address: MESOS,
    path: "/state.json",
    judge,
};

/// The proxy of Marathon, asked who leads.
pub const MARATHON_PROXY: Target = Target {
    address: MARATHON,
    path: "/v2/leader",
    judge: judge_marathon,
};

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

    /// Whether nobody answered.
    pub fn is_lost(&self) -> bool {
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
    /// Starts both clients on the proxy of Mesos of the cloud with this name.
    pub fn start(cloud: &str) -> Self {
        Self::on(MESOS_PROXY, FRESH, cloud)
    }

    /// Starts both clients on a proxy; `pace` is the pause between two requests on connections of their own.
    pub fn on(target: Target, pace: Duration, cloud: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let log = Log {
            began: Instant::now(),
            samples: Arc::default(),
            cloud: cloud.to_owned(),
            target,
            kept: false,
        };
        let own = Log {
            kept: true,
            ..log.clone()
        };
        let (began, samples) = (log.began, log.samples.clone());
        let mut clients = JoinSet::new();
        clients.spawn(fresh(pace, log, stopped.clone()));
        clients.spawn(kept(own, stopped));
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

    /// Waits until a leader has answered a request that was sent after `since`; returns when.
    ///
    /// # Errors
    /// When none does within `patience`.
    pub async fn answered_after(&self, since: Instant, patience: Duration) -> Result<Instant> {
        let since = since.saturating_duration_since(self.began);
        let answered = |samples: &[Sample]| {
            let after = samples.iter().filter(|s| s.sent > since && s.leader().is_some());
            after.map(|s| s.over).min()
        };
        let over = self.until("a leader answers", patience, answered).await?;
        Ok(self.began + over)
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
        let report = Report::of(self.began, &self.samples);
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
        Ok(Report::of(self.began, &self.samples))
    }
}

/// Where a client writes its samples.
#[derive(Clone)]
struct Log {
    began: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    cloud: String,
    target: Target,
    kept: bool,
}

impl Log {
    fn note(&self, sent: Instant, answer: &Result<Answer>) {
        let outcome = match answer {
            Ok(answer) => (self.target.judge)(answer, &self.cloud),
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

async fn fresh(pace: Duration, log: Log, mut stopped: watch::Receiver<bool>) {
    let mut tick = interval(pace);
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
            log.note(sent, &get(log.target.address, log.target.path).await);
            drop(place);
        });
    }
    while requests.join_next().await.is_some() {}
}

async fn kept(log: Log, mut stopped: watch::Receiver<bool>) {
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
                None => Connection::open(log.target.address).await?,
            };
            let answer = open.send("GET", log.target.path, None).await?;
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
    if server.is_empty() {
        return strangers(answer);
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

/// Whatever the proxy passes on, it says from whom it has it. While its own pod is being replaced, packets to the
/// address that pod had leave the machine, and there may be somebody who answers them.
fn strangers(answer: &Answer) -> Outcome {
    Outcome::Broken(format!("status {}, and not from the proxy", answer.status))
}

/// Marathon's leader is what it calls itself, and the answer is its own, also when another one relayed it.
fn judge_marathon(answer: &Answer, cloud: &str) -> Outcome {
    let leader = answer.json()["leader"].as_str().unwrap_or_default().to_owned();
    match answer.status {
        // No leader: of all answers the honest one.
        404 | 502 | 503 => Outcome::Unavailable,
        _ if answer.header("x-mesoscloud-server").is_empty() => strangers(answer),
        200 if leader.starts_with(&format!("{cloud}-marathon-")) => {
            let name = leader.split('.').next().unwrap_or_default().to_owned();
            Outcome::Leader(Leader { name, pid: leader })
        }
        status => Outcome::Wrong(format!("status {status}, leader {leader:?}")),
    }
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Report {
    /// When the load began.
    pub began: Instant,
    /// Every request, in the order in which they were over.
    pub samples: Vec<Sample>,
}

impl Report {
    fn of(began: Instant, samples: &Mutex<Vec<Sample>>) -> Self {
        Self {
            began,
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

    /// How many requests nobody answered.
    pub fn lost(&self) -> usize {
        self.samples.iter().filter(|s| s.is_lost()).count()
    }

    /// When another leader than `old` first answered: until then, requests may go unanswered.
    pub fn next_leader(&self, old: &Leader) -> Option<Duration> {
        let mut answers = self
            .samples
            .iter()
            .filter(|s| s.leader().is_some_and(|l| l.pid != old.pid));
        answers.next().map(|s| s.over)
    }

    /// Who answered last.
    pub fn last_leader(&self) -> Option<Leader> {
        self.samples.iter().rev().find_map(Sample::leader).cloned()
    }

    /// When `leader` first answered.
    pub fn first_answer(&self, leader: &Leader) -> Option<Duration> {
        let mut answers = self.samples.iter().filter(|s| s.leader() == Some(leader));
        answers.next().map(|s| s.over)
    }

    /// When the last request was sent that `leader` answered: then it lived.
    pub fn last_asked(&self, leader: &Leader) -> Option<Duration> {
        let answers = self.samples.iter().filter(|s| s.leader() == Some(leader));
        answers.map(|s| s.sent).max()
    }

    /// From the last request that `old` answered to the first answer of the next leader.
    pub fn gap(&self, old: &Leader) -> Result<Duration> {
        let gone = self.last_asked(old).context("it never answered")?;
        let back = self.next_leader(old).context("nobody answered")?;
        Ok(back.saturating_sub(gone))
    }

    /// The longest time between two answers of a leader.
    pub fn longest_pause(&self) -> Duration {
        let answered = self.samples.iter().filter(|s| s.leader().is_some());
        let mut times: Vec<_> = answered.map(|s| s.over).collect();
        times.sort();
        let pauses = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        pauses.max().unwrap_or_default()
    }

    /// How often the leader changed, by the answers in the order of their requests.
    pub fn changes(&self) -> usize {
        let mut answered: Vec<_> = self.samples.iter().filter(|s| s.leader().is_some()).collect();
        answered.sort_by_key(|s| s.over);
        let mut leaders: Vec<_> = answered.iter().filter_map(|s| s.leader()).collect();
        leaders.dedup();
        leaders.len().saturating_sub(1)
    }

    /// The longest that an answered request took.
    pub fn slowest(&self) -> Duration {
        let answered = self.samples.iter().filter(|s| s.leader().is_some());
        let times = answered.map(|s| s.over.saturating_sub(s.sent));
        times.max().unwrap_or_default()
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
