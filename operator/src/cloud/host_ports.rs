//! Ports of the nodes that slaves take, and clouds that would take the same.

use std::ops::RangeInclusive;

use mesoscloud_crds::spec::Slaves;

/// The ports of a node that a cloud's slaves take: their own, and those of their tasks.
pub fn taken(slaves: &Slaves) -> [RangeInclusive<i32>; 2] {
    [
        slaves.base_port..=slaves.base_port + slaves.per_node - 1,
        slaves.task_ports.begin..=slaves.task_ports.end,
    ]
}

/// The ports that both would take of one node; `None` when they can live side by side: their ports differ, or
/// their node selectors cannot match the same node.
pub fn conflict(ours: &Slaves, theirs: &Slaves) -> Option<RangeInclusive<i32>> {
    let apart = ours.pod.node_selector.iter().any(|(label, value)| {
        theirs
            .pod
            .node_selector
            .get(label)
            .is_some_and(|other| other != value)
    });
    if apart {
        return None;
    }
    let theirs = taken(theirs);
    taken(ours).into_iter().find_map(|a| {
        theirs.iter().find_map(|b| {
            let common = *a.start().max(b.start())..=*a.end().min(b.end());
            (!common.is_empty()).then_some(common)
        })
    })
}

#[cfg(test)]
mod tests {
    use mesoscloud_crds::spec::PortRange;

    use super::*;

    fn slaves(base_port: i32, begin: i32, end: i32, zone: Option<&str>) -> Slaves {
        let mut slaves = Slaves {
            base_port,
            task_ports: PortRange { begin, end },
            ..Slaves::default()
        };
        slaves
            .pod
            .node_selector
            .extend(zone.map(|z| ("zone".to_owned(), z.to_owned())));
        slaves
    }

    #[test]
    fn ports_conflict_only_on_a_common_node() {
        let ours = slaves(5051, 31000, 32000, Some("a"));
        let table = [
            (slaves(5061, 32001, 32100, Some("a")), None),
            (slaves(5052, 32001, 32100, Some("a")), Some(5052..=5052)),
            (slaves(5061, 31900, 32100, None), Some(31900..=32000)),
            (slaves(5051, 31000, 32000, Some("b")), None),
            (slaves(31500, 32001, 32100, Some("a")), Some(31500..=31501)),
        ];
        for (theirs, expected) in table {
            assert_eq!(conflict(&ours, &theirs), expected);
            assert_eq!(conflict(&theirs, &ours), expected);
        }
    }
}
