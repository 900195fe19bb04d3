//! What a slave offers, in Mesos' own notation.

use std::collections::BTreeMap;

use mesoscloud_crds::spec::{PortRange, Slaves};

/// `MESOS_RESOURCES`. Always explicit: what Mesos detects by itself changes with the node's free disk, and a
/// slave whose resources changed refuses to start (Mesos 0.28.1, slave.cpp:4431–4448).
pub fn resources(slaves: &Slaves, ports: PortRange) -> String {
    format!(
        "cpus:{};mem:{};disk:{};ports:[{}-{}]",
        slaves.cpus, slaves.mem, slaves.disk, ports.begin, ports.end
    )
}

/// `MESOS_ATTRIBUTES`, sorted by name so that the same attributes are always the same slave.
pub fn attributes(attributes: &BTreeMap<String, String>) -> String {
    attributes
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect::<Vec<_>>()
        .join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_written_as_mesos_reads_them() {
        let slaves = Slaves {
            cpus: 1.5,
            mem: 512,
            disk: 0,
            ..Slaves::default()
        };
        let ports = PortRange {
            begin: 31000,
            end: 31499,
        };
        assert_eq!(
            resources(&slaves, ports),
            "cpus:1.5;mem:512;disk:0;ports:[31000-31499]"
        );
        assert_eq!(
            resources(&Slaves::default(), ports),
            "cpus:1;mem:1024;disk:4096;ports:[31000-31499]"
        );
        let pairs = [("rack", "b2"), ("os", "debian")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(attributes(&pairs.into()), "os:debian;rack:b2");
    }
}
