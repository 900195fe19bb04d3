//! `MESOS_RESOURCES` and `MESOS_ATTRIBUTES`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::wire::Resources;

/// Kept back for the system when memory or disk are found out (`slave/constants.cpp @ 0.28.1:42-45`), in MB.
const MEM_KEPT: f64 = 1024.0;
const DISK_KEPT: f64 = 5.0 * 1024.0;
/// Ports offered by default.
const PORTS: (u16, u16) = (31_000, 32_000);

/// What was said of a slave's resources.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    cpus: Option<f64>,
    mem: Option<f64>,
    disk: Option<f64>,
    ports: Option<Vec<(u16, u16)>>,
}

impl Said {
    /// Reads `cpus:2;mem:1024;disk:4096;ports:[31000-31999,33000-33001]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut said = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once(':')
                .ok_or_else(|| format!("Bad value for resources, missing or extra ':' in {part}"))?;
            let name = name.trim().trim_end_matches("(*)");
            let value = value.trim();
            let scalar = || {
                value
                    .parse::<f64>()
                    .map_err(|_| format!("Bad value '{value}' for {name}"))
            };
            match name {
                "cpus" => said.cpus = Some(scalar()?),
                "mem" => said.mem = Some(scalar()?),
                "disk" => said.disk = Some(scalar()?),
                "ports" => said.ports = Some(parse_ranges(value)?),
                _ => return Err(format!("resource '{name}' is not done by the stand-in")),
            }
        }
        Ok(said)
    }

    /// What was not said is found out, as the original does (`containerizer.cpp @ 0.28.1:59-163`).
    pub fn complete(self, work_dir: &Path) -> Resources {
        let cpus = || {
            let count = std::thread::available_parallelism().map_or(1, usize::from);
            f64::from(u32::try_from(count).unwrap_or(1))
        };
        Resources {
            cpus: self.cpus.unwrap_or_else(cpus),
            mem: self
                .mem
                .unwrap_or_else(|| memory().map_or(0.0, |total| less(total, MEM_KEPT))),
            disk: self
                .disk
                .unwrap_or_else(|| disk(work_dir).map_or(0.0, |total| less(total, DISK_KEPT))),
            ports: self.ports.unwrap_or_else(|| vec![PORTS]),
        }
    }
}

/// Resources in one order.
pub fn show(resources: &Resources) -> String {
    let Resources {
        cpus,
        mem,
        disk,
        ports,
    } = resources;
    format!(
        "cpus(*):{cpus}; mem(*):{mem}; disk(*):{disk}; ports(*):{}",
        show_ranges(ports)
    )
}

/// `[31000-31999, 33000-33001]`.
pub fn show_ranges(ranges: &[(u16, u16)]) -> String {
    let ranges: Vec<String> = ranges
        .iter()
        .map(|(start, end)| format!("{start}-{end}"))
        .collect();
    format!("[{}]", ranges.join(", "))
}

fn parse_ranges(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let bad = || format!("Expecting a range such as [31000-32000], not '{text}'");
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .ok_or_else(bad)?;
    let mut ranges = Vec::new();
    for part in inner.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (start, end) = part.split_once('-').ok_or_else(bad)?;
        let start: u16 = start.trim().parse().map_err(|_| bad())?;
        let end: u16 = end.trim().parse().map_err(|_| bad())?;
        if start > end {
            return Err(bad());
        }
        ranges.push((start, end));
    }
    ranges.sort_unstable();
    Ok(ranges)
}

/// Reads `rack:r1;zone:a`.
pub fn parse_attributes(text: &str) -> Result<BTreeMap<String, String>, String> {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once(':') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => Err(format!("Invalid attribute key:value pair '{part}'")),
        })
        .collect()
}

/// The attributes in one order.
pub fn show_attributes(attributes: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = attributes
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();
    pairs.join(";")
}

fn less(total: f64, kept: f64) -> f64 {
    if total > 2.0 * kept {
        total - kept
    } else {
        total / 2.0
    }
}

fn memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kilobytes: f64 = text
        .lines()
        .find(|line| line.starts_with("MemTotal:"))?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    Some((kilobytes / 1024.0).floor())
}

fn disk(work_dir: &Path) -> Option<f64> {
    let existing = work_dir.ancestors().find(|path| path.exists())?;
    let output = Command::new("df").arg("-Pm").arg(existing).output().ok()?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .nth(1)?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_read_and_shown_in_one_order() {
        let read = |text| Said::parse(text).unwrap().complete(Path::new("/"));
        let one = read("ports:[31005-31009,31000-31001];mem:512;cpus(*):0.5;disk:1000");
        let two = read("cpus:0.5;mem:512.0; disk:1000; ports:[31000-31001, 31005-31009]");
        assert_eq!(one, two);
        assert_eq!(
            show(&one),
            "cpus(*):0.5; mem(*):512; disk(*):1000; ports(*):[31000-31001, 31005-31009]"
        );
        for bad in [
            "cpus=1",
            "cpus:x",
            "ports:31000",
            "ports:[2-1]",
            "ports:[1-99999]",
            "gpus:1",
        ] {
            assert!(Said::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_said_is_found_out() {
        let found = Said::parse("cpus:3")
            .unwrap()
            .complete(Path::new("/tmp/no/such/folder"));
        assert!((found.cpus - 3.0).abs() < f64::EPSILON);
        assert!(found.mem > 0.0 && found.disk > 0.0);
        assert_eq!(found.ports, [PORTS]);
    }

    #[test]
    fn attributes_are_pairs() {
        let attributes = parse_attributes("zone:a; rack:r1").unwrap();
        assert_eq!(show_attributes(&attributes), "rack:r1;zone:a");
        assert!(parse_attributes("rack").is_err());
    }
}
