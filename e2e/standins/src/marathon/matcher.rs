//! Which task fits which offer (`ResourceMatcher.scala`, `PortsMatcher.scala`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::Rng;

use super::app::App;
use super::constraints::{Constraint, Place};

/// What is left of one offer while tasks are taken from it.
#[derive(Debug, Clone, Default)]
pub struct Supply {
    /// The slave's `MESOS_HOSTNAME`.
    pub hostname: String,
    /// The slave's attributes.
    pub attributes: BTreeMap<String, String>,
    /// CPUs.
    pub cpus: f64,
    /// Megabytes.
    pub mem: f64,
    /// Megabytes.
    pub disk: f64,
    /// Host ports.
    pub ports: Vec<RangeInclusive<u16>>,
}

impl Supply {
    /// Takes one task of `app` out of the offer, beside those `placed` already; returns its host ports.
    pub fn take(&mut self, app: &App, placed: &[Place<'_>]) -> Option<Vec<u16>> {
        if self.cpus < app.cpus || self.mem < app.mem || self.disk < app.disk {
            return None;
        }
        let place = Place {
            hostname: &self.hostname,
            attributes: &self.attributes,
        };
        let allowed = app
            .constraints
            .iter()
            .all(|parts| Constraint::parse(parts).is_ok_and(|constraint| constraint.meets(&place, placed)));
        if !allowed {
            return None;
        }
        let ports = self.choose_ports(&app.host_ports())?;
        self.cpus -= app.cpus;
        self.mem -= app.mem;
        self.disk -= app.disk;
        self.ports = ports
            .iter()
            .fold(std::mem::take(&mut self.ports), |ranges, port| {
                without(ranges, *port)
            });
        Some(ports)
    }

    /// Fixed ports as wanted, the others by chance, as the original.
    fn choose_ports(&self, wanted: &[u16]) -> Option<Vec<u16>> {
        let fixed: Vec<u16> = wanted.iter().copied().filter(|port| *port != 0).collect();
        if !fixed
            .iter()
            .all(|port| self.ports.iter().any(|range| range.contains(port)))
        {
            return None;
        }
        let mut free: Vec<u16> = self.ports.iter().cloned().flatten().collect();
        free.retain(|port| !fixed.contains(port));
        wanted
            .iter()
            .map(|port| match port {
                0 if free.is_empty() => None,
                0 => Some(free.swap_remove(rand::rng().random_range(0..free.len()))),
                port => Some(*port),
            })
            .collect()
    }
}

fn without(ranges: Vec<RangeInclusive<u16>>, port: u16) -> Vec<RangeInclusive<u16>> {
    ranges
        .into_iter()
        .flat_map(|range| {
            if !range.contains(&port) {
                return vec![range];
            }
            let (start, end) = range.into_inner();
            let before = (start < port).then(|| start..=port - 1);
            let after = (port < end).then(|| port + 1..=end);
            before.into_iter().chain(after).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn supply() -> Supply {
        Supply {
            hostname: "a".to_owned(),
            cpus: 1.0,
            mem: 100.0,
            ports: vec![31000..=31001],
            ..Supply::default()
        }
    }

    fn app(extra: &Value) -> App {
        let base = App::read(
            None,
            None,
            &json!({"id": "/a", "cmd": "x", "cpus": 0.1, "mem": 10}),
        )
        .unwrap();
        App::read(Some(&base), None, extra).unwrap()
    }

    #[test]
    fn ports_are_never_given_twice() {
        let mut supply = supply();
        let app = app(&json!({}));
        let mut taken: Vec<u16> = (0..2).flat_map(|_| supply.take(&app, &[]).unwrap()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [31000, 31001]);
        assert_eq!(supply.take(&app, &[]), None);
    }

    #[test]
    fn fixed_ports_must_be_offered() {
        let mapping = |port: u16| {
            app(
                &json!({"cmd": null, "container": {"docker": {"image": "i", "network": "BRIDGE",
                "portMappings": [{"containerPort": 80, "hostPort": port}, {"containerPort": 81}]}}}),
            )
        };
        assert_eq!(supply().take(&mapping(31000), &[]), Some(vec![31000, 31001]));
        assert_eq!(supply().take(&mapping(80), &[]), None);
    }

    #[test]
    fn resources_and_constraints_decide() {
        assert_eq!(supply().take(&app(&json!({"cpus": 2})), &[]), None);
        assert_eq!(supply().take(&app(&json!({"mem": 101})), &[]), None);
        let unique = app(&json!({"constraints": [["hostname", "UNIQUE"]]}));
        let attributes = BTreeMap::new();
        let here = Place {
            hostname: "a",
            attributes: &attributes,
        };
        assert!(supply().take(&unique, &[]).is_some());
        assert_eq!(supply().take(&unique, &[here]), None);
    }
}
