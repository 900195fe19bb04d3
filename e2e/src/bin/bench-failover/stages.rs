//! Where the time goes between a leader's death and the next leader's first answer.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use mesoscloud_e2e::{Cloud, Context as _, Result};

use crate::report::median;

/// What each stage ends with, in the order in which they happen; which container says so, and in which words.
const STAGES: [(&str, &str, &str, &str); 4] = [
    ("guard noticed", "", "guard", "the neighbour is dead"),
    ("candidacy withdrawn", "", "guard", "its candidacy is withdrawn"),
    ("HAProxy told", "mesos-proxy", "proxy-agent", "leads now"),
    ("first answer", "", "", ""),
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

    /// The stages of the run in which `old` died.
    pub async fn stop(
        self,
        cloud: &Cloud,
        old: &str,
        death: SystemTime,
        answered: SystemTime,
    ) -> Result<Stages> {
        let mut stages = Stages::default();
        for (stage, (name, component, container, words)) in STAGES.iter().enumerate() {
            let at = if container.is_empty() {
                Some(answered)
            } else {
                let pod = if component.is_empty() {
                    old.to_owned()
                } else {
                    let pods = cloud.pods(Some(component)).await?;
                    kube::ResourceExt::name_any(pods.first().context(*name)?)
                };
                let log = cloud.log(&pod, container).await?;
                log.lines()
                    .filter(|line| line.contains(words))
                    .filter_map(moment)
                    .find(|at| *at >= self.since)
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
        let named = self
            .0
            .iter()
            .map(|(stage, times)| (STAGES[*stage].0, median(times)));
        named.collect()
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, after) in self.medians() {
            writeln!(f, "  {name:<22} {after:7.1} ms after the death")?;
        }
        Ok(())
    }
}

/// When a line was written: it begins with `2026-11-23T12:16:16.926796Z`.
fn moment(line: &str) -> Option<SystemTime> {
    let stamp = line.split_whitespace().next()?;
    let at: k8s_openapi::jiff::Timestamp = stamp.parse().ok()?;
    let since = Duration::try_from(at.duration_since(k8s_openapi::jiff::Timestamp::UNIX_EPOCH)).ok()?;
    Some(SystemTime::UNIX_EPOCH + since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_line_is_read() {
        let at = moment("2026-11-23T12:16:16.500000Z  INFO x: the neighbour is dead");
        let expected = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_436_176_500);
        assert_eq!(at, Some(expected));
        assert_eq!(moment("no time"), None);
    }
}
