//! Where the time goes between a leader's death and the next leader's first answer.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use kube::ResourceExt as _;
use mesoscloud_e2e::{Cloud, Context as _, Result};

use crate::report::median;

/// Who tells of the end of a stage, and in which words.
enum Source {
    /// The guard beside the old leader.
    Guard(&'static str),
    /// The next leader.
    Next(&'static str),
    /// The agent beside HAProxy.
    Agent(&'static str),
    /// The client.
    Client,
}

/// What each stage ends with, in the order in which they happen.
const STAGES: [(&str, Source); 6] = [
    ("guard noticed", Source::Guard("the neighbour is dead")),
    ("candidacy withdrawn", Source::Guard("its candidacy is withdrawn")),
    ("next elected", Source::Next("Elected as the leading master!")),
    // "Recovered 2 slaves from the registry"
    ("registry recovered", Source::Next("Recovered ")),
    ("HAProxy told", Source::Agent("leads now")),
    ("first answer", Source::Client),
];

/// Milliseconds from the death to the end of each stage, of every run.
#[derive(Clone, Debug, Default)]
pub struct Stages(BTreeMap<usize, Vec<f64>>);

/// Reads the logs of one run.
pub struct Watch {
    since: SystemTime,
}

impl Watch {
    /// From now on.
    pub async fn start(cloud: &Cloud) -> Result<Self> {
        cloud.status().await?;
        Ok(Self {
            since: SystemTime::now(),
        })
    }

    /// The stages of the run in which `old` died, if its pod is still there, and `new` took over.
    pub async fn stop(
        self,
        cloud: &Cloud,
        old: Option<&str>,
        new: &str,
        death: SystemTime,
        answered: SystemTime,
    ) -> Result<Stages> {
        let mut stages = Stages::default();
        for (stage, (_, source)) in STAGES.iter().enumerate() {
            let said = match source {
                Source::Guard(words) => match old {
                    Some(old) => Some((old.to_owned(), "guard", words)),
                    None => continue,
                },
                Source::Next(words) => Some((new.to_owned(), "master", words)),
                Source::Agent(words) => {
                    let proxies = cloud.pods(Some("mesos-proxy")).await?;
                    let proxy = proxies.first().context("no proxy")?;
                    Some((proxy.name_any(), "proxy-agent", words))
                }
                Source::Client => None,
            };
            let at = match said {
                None => Some(answered),
                Some((pod, container, words)) => {
                    let log = cloud.timed_log(&pod, container).await?;
                    let mut said = log.lines().filter(|line| line.contains(words));
                    said.find_map(|line| moment(line).filter(|at| *at >= self.since))
                }
            };
            if let Some(after) = at.and_then(|at| at.duration_since(death).ok()) {
                stages
                    .0
                    .entry(stage)
                    .or_default()
                    .push(after.as_secs_f64() * 1000.0);
            }
        }
        Ok(stages)
    }
}

impl Stages {
    /// Takes up another run.
    pub fn add(&mut self, other: Self) {
        for (stage, times) in other.0 {
            self.0.entry(stage).or_default().extend(times);
        }
    }

    /// Median of each stage's end, in milliseconds after the death.
    pub fn medians(&self) -> Vec<(&'static str, f64)> {
        let named = self.0.iter();
        named
            .map(|(stage, times)| (STAGES[*stage].0, median(times)))
            .collect()
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, after), times) in self.medians().into_iter().zip(self.0.values()) {
            let runs = times.len();
            writeln!(f, "  {name:<22} {after:7.1} ms after the death, {runs} told")?;
        }
        Ok(())
    }
}

/// When a line was written: a program begins its lines with `2026-11-23T12:16:16.926796Z`. Before that stands when the
/// container runtime took it, which is later.
fn moment(line: &str) -> Option<SystemTime> {
    let mut words = line.split_whitespace();
    let (taken, written) = (words.next()?, words.next()?);
    let at: k8s_openapi::jiff::Timestamp = written.parse().or_else(|_| taken.parse()).ok()?;
    let since = Duration::try_from(at.duration_since(k8s_openapi::jiff::Timestamp::UNIX_EPOCH)).ok()?;
    Some(SystemTime::UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_line_is_read() {
        let half_past = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_436_176_500);
        let table = [
            (
                "2026-11-23T12:16:16.700000000Z 2026-11-23T12:16:16.500000Z  INFO x: dead",
                Some(half_past),
            ),
            (
                "2026-11-23T12:16:16.500000000Z the neighbour is dead",
                Some(half_past),
            ),
            ("no time at all", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(moment(line), expected, "{line}");
        }
    }
}
