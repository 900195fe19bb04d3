//! How many members must agree.

/// The smallest majority of `members`: what ZooKeeper needs to serve and what Mesos is given as
/// `MESOS_QUORUM`. Derived, never typed in, because a wrong one corrupts the masters' log
/// (Mesos 0.28.1, docs/operational-guide.md).
pub fn quorum(members: i32) -> i32 {
    members / 2 + 1
}

/// Whether the masters' log can never be written again unless a person helps, as far as all of its replicas tell:
/// whether each of them `votes`, `None` of one that does not say.
///
/// A replica that lost its disk learns from a quorum that votes; a new log begins only when all are empty
/// (Mesos 0.28.1, src/log/recover.cpp:211-290). Between the two there is no way out, though one of them may lead and
/// answer as if nothing were wrong (docs/originals.md).
pub fn is_log_lost(votes: &[Option<bool>], quorum: i32) -> bool {
    let voting = votes.iter().filter(|votes| **votes == Some(true)).count();
    votes.iter().all(Option::is_some) && voting > 0 && i32::try_from(voting).is_ok_and(|n| n < quorum)
}

#[cfg(test)]
mod tests {
    use super::{is_log_lost, quorum};

    #[test]
    fn is_the_smallest_majority() {
        for (members, expected) in [(1, 1), (3, 2), (4, 3), (5, 3), (7, 4), (9, 5)] {
            assert_eq!(quorum(members), expected, "{members} members");
        }
    }

    #[test]
    fn a_log_is_lost_between_a_minority_and_none() {
        // A letter per replica: votes, empty, silent.
        let table = [
            ("vvv", false),
            ("vve", false),
            ("vee", true),
            ("ves", false),
            ("eee", false),
            ("e", false),
            ("v", false),
        ];
        for (text, expected) in table {
            let votes: Vec<_> = text.chars().map(|c| (c != 's').then_some(c == 'v')).collect();
            let members = i32::try_from(votes.len()).unwrap();
            assert_eq!(is_log_lost(&votes, quorum(members)), expected, "{text}");
        }
    }
}
