//! The ways in which a leader goes, and what is different about the cloud while it does.

use std::time::{Duration, Instant, SystemTime};

use kube::ResourceExt as _;
use mesoscloud_e2e::agent::Agent;
use mesoscloud_e2e::cloud::Life;
use mesoscloud_e2e::load::{Leader, Load, MARATHON_PROXY, MESOS_PROXY, Report, Target};
use mesoscloud_e2e::writer::Writer;
use mesoscloud_e2e::{Cloud, Context as _, Result, ZOOKEEPER, operator};
use serde_json::{Value, json};

use crate::blow;
use crate::stages::{Stages, Watch};

/// Pause between two requests on connections of their own.
const PACE: Duration = Duration::from_millis(5);
/// How long the load goes on after the next leader has answered.
const AFTER: Duration = Duration::from_secs(2);
/// Longest wait for the next leader; with the usual settings of ZooKeeper it takes up to 13 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// SIGKILL of the leading master.
    Killed,
    /// Its pod is deleted.
    Deleted,
    /// Its pod is deleted with `--force`.
    Forced,
    /// SIGKILL while no operator runs.
    WithoutOperator,
    /// Its pod is deleted while no operator runs.
    DeletedWithoutOperator,
    /// SIGKILL while the agent beside HAProxy is dead.
    WithoutAgent,
    /// SIGKILL without guards.
    WithoutGuard,
    /// SIGKILL without guards, with the session that ZooKeeper grants by default, and nothing but HAProxy's checks.
    Plain,
    /// All three masters are rolled.
    Rollout,
    /// SIGKILL of the leading Marathon.
    Marathon,
    /// SIGKILL of the leading ZooKeeper member: until a client's next write is acknowledged.
    ZooKeeper,
    /// SIGKILL of the HAProxy in front of Mesos: until the same leader answers again.
    Haproxy,
}

/// What was measured of one scenario.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// From the death to the next leader's first answer, of each run, in seconds; where no such leader died, the longest
    /// time without an answer.
    pub seconds: Vec<f64>,
    /// Requests sent.
    pub requests: usize,
    /// Of those, unanswered: a 503 or a broken connection.
    pub failed: usize,
    /// Of those, answered by somebody who does not lead.
    pub wrong: usize,
    /// Slowest answered request, in seconds.
    pub slowest: f64,
    /// Changes of leader, over all runs.
    pub changes: usize,
    /// Where the time went.
    pub stages: Stages,
}

impl Scenario {
    /// Every scenario; those that change the cloud's settings, and are slow, come last.
    pub const ALL: [Self; 12] = [
        Self::Killed,
        Self::Deleted,
        Self::Forced,
        Self::WithoutOperator,
        Self::DeletedWithoutOperator,
        Self::WithoutAgent,
        Self::Marathon,
        Self::ZooKeeper,
        Self::Haproxy,
        Self::Rollout,
        Self::WithoutGuard,
        Self::Plain,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Deleted => "pod-deleted",
            Self::Forced => "pod-forced",
            Self::WithoutOperator => "without-operator",
            Self::DeletedWithoutOperator => "deleted-without-operator",
            Self::WithoutAgent => "without-agent",
            Self::WithoutGuard => "without-guard",
            Self::Plain => "plain",
            Self::Rollout => "rollout",
            Self::Marathon => "marathon",
            Self::ZooKeeper => "zookeeper",
            Self::Haproxy => "haproxy",
        }
    }

    /// What happens in it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Killed => "SIGKILL of the leading master",
            Self::Deleted => "the leading master's pod is deleted",
            Self::Forced => "the leading master's pod is deleted with --force",
            Self::WithoutOperator => "SIGKILL of the leading master, no operator running",
            Self::DeletedWithoutOperator => "the leading master's pod is deleted, no operator running",
            Self::WithoutAgent => "SIGKILL of the leading master, proxy-agent stopped",
            Self::WithoutGuard => "SIGKILL of the leading master, no guard",
            Self::Plain => {
                "SIGKILL of the leading master, no guard, ZooKeeper as it comes, leader found by HAProxy's checks"
            }
            Self::Rollout => "all three masters replaced by a change of their spec",
            Self::Marathon => "SIGKILL of the leading Marathon",
            Self::ZooKeeper => {
                "SIGKILL of the leading ZooKeeper member, until the next write through 127.0.0.1:2181"
            }
            Self::Haproxy => "SIGKILL of the HAProxy in front of Mesos, until it serves again",
        }
    }

    /// How often it is run, when the fast ones are run `runs` times.
    pub fn runs(self, runs: usize) -> usize {
        match self {
            Self::Plain => runs.min(3),
            Self::ZooKeeper | Self::Haproxy => runs.min(5),
            _ => runs,
        }
    }

    fn target(self) -> Target {
        match self {
            Self::Marathon => MARATHON_PROXY,
            _ => MESOS_PROXY,
        }
    }

    /// Settings of the cloud while it lasts.
    fn settings(self) -> Option<Value> {
        match self {
            Self::WithoutGuard => Some(json!({"masters": {"guard": false}})),
            Self::Plain => Some(json!({
                "masters": {"guard": false},
                "zookeeper": {"tickTime": 2000, "maxSessionTimeout": 40000}
            })),
            _ => None,
        }
    }

    /// Runs it.
    pub async fn measure(self, cloud: &Cloud, runs: usize) -> Result<Measured> {
        if let Some(settings) = self.settings() {
            cloud.change(&settings, false).await?;
        }
        cloud.settled().await?;
        if matches!(self, Self::WithoutOperator | Self::DeletedWithoutOperator) {
            operator::scale(&cloud.cluster, 0).await?;
        }
        let pods = cloud.pods(None).await?.len();
        let mut measured = Measured::default();
        for run in 1..=runs {
            cloud.pods_ready(pods).await?;
            let seconds = if matches!(self, Self::ZooKeeper | Self::Haproxy) {
                self.beside(cloud, &mut measured).await?
            } else if self.is_without_agent() {
                let agent = Agent::of(cloud).await?;
                agent.kill().await?;
                let seconds = self.once(cloud, run, &mut measured).await;
                agent.revive().await?;
                seconds?
            } else {
                self.once(cloud, run, &mut measured).await?
            };
            println!("  {run:2}: {seconds:.3} s");
            measured.seconds.push(seconds);
        }
        Ok(measured)
    }

    fn is_without_agent(self) -> bool {
        matches!(self, Self::WithoutAgent | Self::Plain)
    }

    /// Whether no request may fail: there are guards, and a proxy with an agent that holds.
    pub fn holds(self) -> bool {
        !matches!(
            self,
            Self::WithoutAgent | Self::WithoutGuard | Self::Plain | Self::Haproxy
        )
    }

    async fn once(self, cloud: &Cloud, run: usize, measured: &mut Measured) -> Result<f64> {
        let load = Load::on(self.target(), PACE, &cloud.name);
        // The clock of the machine and the one of the load, at the same moment.
        let clocks = (SystemTime::now(), Instant::now());
        let old = load.usual().await?;
        let watch = match self {
            Self::Killed
            | Self::Deleted
            | Self::Forced
            | Self::WithoutOperator
            | Self::DeletedWithoutOperator => Some(Watch::start(cloud).await?),
            _ => None,
        };
        let death = self.strike(cloud, &old, run).await?;
        let new = load.another(&old, PATIENCE).await?;
        if self == Self::Rollout {
            cloud.settled().await?;
        }
        tokio::time::sleep(AFTER).await;
        let report = load.stop().await?;
        let began = clocks.0 - clocks.1.duration_since(report.began);
        let answered = report.next_leader(&old).context("nobody answered")?;
        let killed = death.is_some();
        let death = match death {
            Some(death) => death.duration_since(began)?,
            // A pod that is deleted goes on for a while: it lived when the last request came that it answered.
            None => report.last_asked(&old).context("it never answered")?,
        };
        if let Some(watch) = watch {
            let death = began + death;
            let answered = began + answered;
            // With a pod goes its log.
            let old = killed.then_some(old.name.as_str());
            let stages = watch.stop(cloud, old, &new.name, death, answered).await?;
            print!("{stages}");
            measured.stages.add(stages);
        }
        if killed {
            // A container that was killed several times is started again later and later; in a new pod it is not.
            cloud.delete_pod(&old.name, false).await?;
        }
        self.count(&report, measured);
        Ok(answered.saturating_sub(death).as_secs_f64())
    }

    /// Somebody dies who leads no masters. Returns the longest time that his own clients got no answer.
    async fn beside(self, cloud: &Cloud, measured: &mut Measured) -> Result<f64> {
        let load = Load::on(self.target(), PACE, &cloud.name);
        load.usual().await?;
        let writer = Writer::start(ZOOKEEPER);
        writer.acknowledged_after(Instant::now(), PATIENCE).await?;
        let victim = if self == Self::ZooKeeper {
            cloud.leading_zookeeper().await?
        } else {
            let mut proxies = cloud.pods(Some("mesos-proxy")).await?;
            proxies.pop().context("no proxy")?
        };
        let name = victim.name_any();
        blow::kill(cloud, &name).await?;
        cloud.reborn(&name, &Life::of(&victim)).await?;
        tokio::time::sleep(AFTER).await;
        let (report, written) = (load.stop().await?, writer.stop().await?);
        let kept = written.lost.is_empty().then_some(());
        kept.context("acknowledged writes are lost")?;
        self.count(&report, measured);
        cloud.delete_pod(&name, false).await?;
        cloud.settled().await?;
        // A Service follows its proxy a moment later.
        Load::on(self.target(), PACE, &cloud.name).usual().await?;
        let pause = if self == Self::ZooKeeper {
            written.longest_pause
        } else {
            report.longest_pause()
        };
        Ok(pause.as_secs_f64())
    }

    /// Adds up what came of the load, and shows what should not have.
    fn count(self, report: &Report, measured: &mut Measured) {
        measured.requests += report.samples.len();
        measured.failed += report.lost();
        measured.wrong += report.wrong().len();
        measured.changes += report.changes();
        measured.slowest = measured.slowest.max(report.slowest().as_secs_f64());
        for sample in report.wrong() {
            println!("  wrong: {sample:?}");
        }
        for sample in report.samples.iter().filter(|s| self.holds() && s.is_lost()) {
            println!("  failed: {sample:?}");
        }
    }

    /// Returns the moment of death, where it is known.
    async fn strike(self, cloud: &Cloud, leader: &Leader, run: usize) -> Result<Option<SystemTime>> {
        match self {
            Self::Deleted | Self::DeletedWithoutOperator => cloud.delete_pod(&leader.name, false).await?,
            Self::Forced => cloud.delete_pod(&leader.name, true).await?,
            Self::Rollout => {
                // A variable that Mesos does not know changes nothing but the template.
                let env = json!([{"name": "BENCH_ROLLOUT", "value": run.to_string()}]);
                cloud.change(&json!({"masters": {"env": env}}), false).await?;
            }
            _ => return Ok(Some(blow::kill(cloud, &leader.name).await?)),
        }
        Ok(None)
    }
}

/// Brings the cloud back to what the sample is.
pub async fn restore(cloud: &Cloud) -> Result {
    operator::scale(&cloud.cluster, 1).await?;
    let sample = json!({
        "masters": {"guard": null, "env": null},
        "zookeeper": {"tickTime": null, "maxSessionTimeout": null}
    });
    cloud.change(&sample, false).await?;
    cloud.settled().await?;
    Ok(())
}
