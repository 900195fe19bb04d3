//! What all scenarios together say.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::json;

use crate::scenario::{Measured, Scenario};

/// Everything that was measured in one run of the program.
#[derive(Default)]
pub struct Report {
    /// What ran as Mesos and Marathon.
    pub programs: String,
    scenarios: Vec<(Scenario, Measured)>,
}

/// The middle one; of an even number, the mean of the two in the middle. Not a number without any.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

fn worst(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

fn best(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

impl Report {
    /// One about these programs.
    pub fn of(programs: String) -> Self {
        Self {
            programs,
            scenarios: Vec::new(),
        }
    }

    /// Takes up a scenario.
    pub fn add(&mut self, scenario: Scenario, measured: Measured) {
        self.scenarios.push((scenario, measured));
    }

    /// The scenarios in the order in which they were run.
    pub fn scenarios(&self) -> &[(Scenario, Measured)] {
        &self.scenarios
    }

    fn measured(&self, scenario: Scenario) -> Option<&Measured> {
        let mut all = self.scenarios.iter();
        all.find(|(s, _)| *s == scenario).map(|(_, measured)| measured)
    }

    /// One object for each scenario.
    pub fn json(&self) -> String {
        let mut all = serde_json::Map::new();
        for (scenario, measured) in &self.scenarios {
            let one = json!({
                "runs": measured.seconds.len(),
                "min_s": best(&measured.seconds),
                "median_s": median(&measured.seconds),
                "max_s": worst(&measured.seconds),
                "seconds": measured.seconds,
                "requests": measured.requests,
                "failed": measured.failed,
                "standby_answers": measured.wrong,
                "slowest_s": measured.slowest,
                "leader_changes": measured.changes,
                "stages_ms": measured.stages.medians().into_iter().collect::<BTreeMap<_, _>>(),
            });
            all.insert(scenario.name().to_owned(), one);
        }
        format!("{:#}\n", serde_json::Value::from(all))
    }

    /// The goals: what is wanted, and whether it was reached. Those of scenarios that were not run are left out.
    fn goals(&self) -> Vec<(String, bool)> {
        let mut goals = Vec::new();
        let mut median_and_worst = |scenario: Scenario, within: f64, at_worst: f64| {
            if let Some(m) = self.measured(scenario) {
                let met = median(&m.seconds) <= within && worst(&m.seconds) <= at_worst;
                let name = scenario.name();
                goals.push((
                    format!("{name}: median <= {within} s, worst <= {at_worst} s"),
                    met,
                ));
            }
        };
        median_and_worst(Scenario::Killed, 0.25, 0.8);
        median_and_worst(Scenario::Deleted, 0.25, 0.8);
        median_and_worst(Scenario::Forced, 0.25, 0.8);
        median_and_worst(Scenario::WithoutOperator, 0.25, 0.8);
        median_and_worst(Scenario::DeletedWithoutOperator, 0.25, 0.8);
        median_and_worst(Scenario::WithoutAgent, f64::INFINITY, 1.5);
        median_and_worst(Scenario::Marathon, 1.0, f64::INFINITY);
        for (slow, factor) in [(Scenario::WithoutGuard, 12.0), (Scenario::Plain, 30.0)] {
            if let Some(ratio) = self.ratio(slow) {
                goals.push((
                    format!("killed: {factor} times faster than {}", slow.name()),
                    ratio >= factor,
                ));
            }
        }
        if let Some(m) = self.measured(Scenario::Rollout) {
            goals.push((
                "rollout: exactly one change of leader".to_owned(),
                m.changes == m.seconds.len(),
            ));
        }
        for (scenario, m) in &self.scenarios {
            if scenario.holds() {
                goals.push((format!("{}: no request failed", scenario.name()), m.failed == 0));
            }
        }
        let wrong: usize = self.scenarios.iter().map(|(_, m)| m.wrong).sum();
        goals.push(("a standby's answer was never served".to_owned(), wrong == 0));
        goals
    }

    /// The goals that were not reached.
    pub fn missed(&self) -> Vec<String> {
        let missed = self.goals().into_iter().filter(|(_, met)| !met);
        missed.map(|(goal, _)| goal).collect()
    }

    /// How many times slower another scenario is than [`Scenario::Killed`], by their medians.
    fn ratio(&self, slow: Scenario) -> Option<f64> {
        Some(median(&self.measured(slow)?.seconds) / median(&self.measured(Scenario::Killed)?.seconds))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.programs)?;
        writeln!(
            f,
            "{:<26}{:>5}{:>9}{:>9}{:>9}{:>10}{:>8}{:>8}{:>9}",
            "scenario", "runs", "min s", "median s", "max s", "requests", "failed", "standby", "slowest s"
        )?;
        for (scenario, m) in &self.scenarios {
            writeln!(
                f,
                "{:<26}{:>5}{:>9.3}{:>9.3}{:>9.3}{:>10}{:>8}{:>8}{:>9.3}",
                scenario.name(),
                m.seconds.len(),
                best(&m.seconds),
                median(&m.seconds),
                worst(&m.seconds),
                m.requests,
                m.failed,
                m.wrong,
                m.slowest
            )?;
        }
        for slow in [Scenario::WithoutGuard, Scenario::Plain] {
            if let Some(ratio) = self.ratio(slow) {
                writeln!(f, "{} takes {ratio:.1} times as long as killed", slow.name())?;
            }
        }
        if let Some(killed) = self.measured(Scenario::Killed) {
            write!(f, "where the time goes:\n{}", killed.stages)?;
        }
        for (goal, met) in self.goals() {
            writeln!(f, "{} {goal}", if met { "met   " } else { "MISSED" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_missed_goal_is_told() {
        let mut report = Report::default();
        let measured = |seconds: f64, failed| Measured {
            seconds: vec![seconds],
            failed,
            ..Measured::default()
        };
        report.add(Scenario::Killed, measured(0.1, 0));
        report.add(Scenario::WithoutGuard, measured(1.1, 7));
        let text = report.to_string();
        assert!(text.contains("met    killed: median"), "{text}");
        assert!(
            text.contains("MISSED killed: 12 times faster than without-guard"),
            "{text}"
        );
        assert_eq!(report.missed(), ["killed: 12 times faster than without-guard"]);
        assert!(text.contains("11.0 times"), "{text}");
    }
}
