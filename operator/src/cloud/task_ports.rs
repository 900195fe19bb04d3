//! The tasks' ports, split among the slaves that share a node's Docker.

use mesoscloud_crds::spec::PortRange;

/// The part of `range` that belongs to slave `index` of `slaves` on the node: consecutive parts of equal size,
/// the first ones a port larger where it does not divide evenly.
///
/// Two slaves that share a Docker host and offered the same port would give it to two tasks, of which one
/// cannot start: what the seed's two slaves do.
pub fn share(range: PortRange, index: i32, slaves: i32) -> PortRange {
    let ports = range.end - range.begin + 1;
    let (size, larger) = (ports / slaves, ports % slaves);
    let begin = range.begin + index * size + index.min(larger);
    let end = begin + size - 1 + i32::from(index < larger);
    PortRange { begin, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_the_range_and_never_overlap() {
        for (begin, end, slaves) in [
            (31000, 32000, 2),
            (31000, 31001, 2),
            (31000, 31000, 1),
            (1024, 65535, 16),
        ] {
            let range = PortRange { begin, end };
            let mut next = begin;
            for index in 0..slaves {
                let part = share(range, index, slaves);
                assert_eq!(part.begin, next, "slave {index} of {slaves} in {begin}-{end}");
                assert!(part.end >= part.begin);
                next = part.end + 1;
            }
            assert_eq!(next, end + 1);
        }
    }

    #[test]
    fn the_default_range_is_split_in_halves() {
        let range = PortRange::default();
        assert_eq!(
            share(range, 0, 2),
            PortRange {
                begin: 31000,
                end: 31500
            }
        );
        assert_eq!(
            share(range, 1, 2),
            PortRange {
                begin: 31501,
                end: 32000
            }
        );
    }
}
