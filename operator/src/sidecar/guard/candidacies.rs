//! Which of the candidacies with the neighbour's words are its own.
//!
//! Two others may say the same: the operator, which stands in for a leader (`leader/closed_election.rs`), and the
//! successor of a Marathon that goes by the same name in another pod. What no two processes share is the session
//! that owns the node, and ZooKeeper tells from which address a session is used.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Those that are there. Each is judged when it is first seen: as long as nothing else is known, the session that
/// came first is the neighbour's, for of its processes only one lives.
#[derive(Debug, Default)]
pub struct Candidacies(BTreeMap<String, Candidacy>);

#[derive(Debug)]
struct Candidacy {
    owner: i64,
    whose: Whose,
    /// Whether that is more than a guess.
    certain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The neighbour's.
    Neighbours,
    /// The neighbour's, whose process is dead.
    Dead,
    /// Somebody else's with the same words.
    Strangers,
}

impl Candidacies {
    /// These are there now, with the sessions that own them.
    pub fn see(&mut self, there: BTreeMap<String, i64>) {
        self.0.retain(|node, _| there.contains_key(node));
        // Their names differ in the sequence number alone: whoever joined first is judged first.
        for (node, owner) in there {
            if self.0.contains_key(&node) {
                continue;
            }
            let mut others = self.0.values();
            let (whose, certain) = match others.clone().find(|other| other.owner == owner) {
                Some(same) => (same.whose, same.certain),
                None if others.any(|other| other.whose == Whose::Neighbours) => (Whose::Strangers, false),
                None => (Whose::Neighbours, false),
            };
            let candidacy = Candidacy {
                owner,
                whose,
                certain,
            };
            self.0.insert(node, candidacy);
        }
    }

    /// Sessions of which it has to be found out whose they are: there are several, and no process has two.
    pub fn doubtful(&self) -> BTreeSet<i64> {
        let alive = || self.0.values().filter(|one| one.whose != Whose::Dead);
        let sessions: BTreeSet<_> = alive().map(|one| one.owner).collect();
        if sessions.len() < 2 {
            return BTreeSet::new();
        }
        alive().filter(|one| !one.certain).map(|one| one.owner).collect()
    }

    /// From where sessions are used, where the neighbour's is used from `address`.
    pub fn learn(&mut self, sessions: &BTreeMap<i64, IpAddr>, address: IpAddr) {
        for one in self.0.values_mut().filter(|one| one.whose != Whose::Dead) {
            if let Some(from) = sessions.get(&one.owner) {
                one.whose = if *from == address {
                    Whose::Neighbours
                } else {
                    Whose::Strangers
                };
                one.certain = true;
            }
        }
    }

    /// The process that these belonged to is dead. Its successor may join while they are still there.
    pub fn died(&mut self, nodes: &BTreeSet<String>) {
        for (_, candidacy) in self.0.iter_mut().filter(|(node, _)| nodes.contains(*node)) {
            candidacy.whose = Whose::Dead;
        }
    }

    /// Names of the neighbour's, of its dead processes too.
    pub fn own(&self) -> BTreeSet<String> {
        let own = self.0.iter().filter(|(_, one)| one.whose != Whose::Strangers);
        own.map(|(node, _)| node.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Candidacies;

    enum Step {
        /// Sequence numbers and owners.
        There(&'static [(u8, i64)]),
        Died(u8),
        /// What ZooKeeper tells: the session and the last part of the address it is used from.
        Used(&'static [(i64, u8)]),
    }
    use Step::{Died, There, Used};

    /// Last part of the neighbour's address.
    const OWN: u8 = 7;

    #[test]
    fn the_session_tells_whose_they_are() {
        let node = |number: u8| format!("member_{number:010}");
        // What happens, which are the neighbour's in the end, and of which sessions that has to be found out.
        let table: [(_, &[Step], &[u8], &[i64]); 19] = [
            ("nobody", &[There(&[])], &[], &[]),
            ("it joins", &[There(&[(1, 7)])], &[1], &[]),
            (
                "it joins again in its session",
                &[There(&[(1, 7)]), There(&[(1, 7), (2, 7)])],
                &[1, 2],
                &[],
            ),
            (
                "it joins again after its session",
                &[There(&[(1, 7)]), There(&[]), There(&[(2, 8)])],
                &[2],
                &[],
            ),
            (
                "two sessions, of which nothing is known",
                &[There(&[(1, 7)]), There(&[(1, 7), (2, 8)])],
                &[1],
                &[7, 8],
            ),
            (
                "it joins again before its session ends",
                &[There(&[(1, 7), (2, 8)]), Used(&[(8, OWN)])],
                &[1, 2],
                &[7],
            ),
            (
                "its session has ended since",
                &[There(&[(1, 7), (2, 8)]), Used(&[(8, OWN)]), There(&[(2, 8)])],
                &[2],
                &[],
            ),
            (
                "it joins beside a living namesake",
                &[There(&[(1, 7), (2, 8)]), Used(&[(7, 9), (8, OWN)])],
                &[2],
                &[],
            ),
            (
                "somebody stands in for it",
                &[There(&[(1, 7), (2, 9)]), Used(&[(7, OWN), (9, 1)])],
                &[1],
                &[],
            ),
            (
                "somebody stands in for it, and it dies",
                &[
                    There(&[(1, 7), (2, 9)]),
                    Used(&[(7, OWN), (9, 1)]),
                    Died(1),
                    There(&[(1, 7), (2, 9)]),
                ],
                &[1],
                &[],
            ),
            (
                "somebody stands in for it, and it dies before that is known",
                &[There(&[(1, 7), (2, 9)]), Died(1), Used(&[(9, 1)])],
                &[1],
                &[],
            ),
            (
                "somebody stands in for it until it is back",
                &[
                    There(&[(1, 7), (2, 9)]),
                    Died(1),
                    There(&[(2, 9)]),
                    There(&[(2, 9), (3, 8)]),
                ],
                &[3],
                &[8, 9],
            ),
            (
                "that it does is known",
                &[
                    There(&[(1, 7), (2, 9)]),
                    Used(&[(7, OWN), (9, 1)]),
                    There(&[(2, 9)]),
                    There(&[(2, 9), (3, 8)]),
                ],
                &[3],
                &[8],
            ),
            (
                "it is back while its dead process is still a candidate",
                &[There(&[(1, 7)]), Died(1), There(&[(1, 7), (2, 8)])],
                &[1, 2],
                &[],
            ),
            (
                "a namesake joins while it lives, and it dies",
                &[
                    There(&[(1, 7)]),
                    There(&[(1, 7), (2, 8)]),
                    Died(1),
                    There(&[(2, 8)]),
                ],
                &[],
                &[],
            ),
            (
                "the dead are not alive again",
                &[There(&[(1, 7)]), Died(1), Used(&[(7, 9)])],
                &[1],
                &[],
            ),
            (
                "another in a session that is known",
                &[
                    There(&[(1, 7), (2, 9)]),
                    Used(&[(7, OWN), (9, 1)]),
                    There(&[(1, 7), (2, 9), (3, 9), (4, 7)]),
                ],
                &[1, 4],
                &[],
            ),
            (
                "a guard that comes later sees one session",
                &[There(&[(1, 7), (2, 7)])],
                &[1, 2],
                &[],
            ),
            ("what is gone cannot die", &[There(&[]), Died(1)], &[], &[]),
        ];
        for (what, steps, own, doubtful) in table {
            let mut candidacies = Candidacies::default();
            for step in steps {
                match step {
                    There(there) => {
                        let there = there.iter().map(|(number, owner)| (node(*number), *owner));
                        candidacies.see(there.collect());
                    }
                    Died(number) => candidacies.died(&[node(*number)].into()),
                    Used(sessions) => {
                        let used = sessions
                            .iter()
                            .map(|(session, last)| (*session, [10, 0, 0, *last].into()));
                        candidacies.learn(&used.collect(), [10, 0, 0, OWN].into());
                    }
                }
            }
            let own = own.iter().map(|number| node(*number)).collect();
            assert_eq!(candidacies.own(), own, "{what}");
            let doubtful = doubtful.iter().copied().collect();
            assert_eq!(candidacies.doubtful(), doubtful, "{what}");
        }
    }
}
