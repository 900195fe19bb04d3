//! How many members must agree.

/// The smallest majority of `members`: what ZooKeeper needs to serve and what Mesos is given as
/// `MESOS_QUORUM`. Derived, never typed in, because a wrong one corrupts the masters' log
/// (Mesos 0.28.1, docs/operational-guide.md).
pub fn quorum(members: i32) -> i32 {
    members / 2 + 1
}

#[cfg(test)]
mod tests {
    use super::quorum;

    #[test]
    fn is_the_smallest_majority() {
        for (members, expected) in [(1, 1), (3, 2), (4, 3), (5, 3), (7, 4), (9, 5)] {
            assert_eq!(quorum(members), expected, "{members} members");
        }
    }
}
