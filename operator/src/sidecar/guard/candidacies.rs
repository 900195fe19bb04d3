//! Which of the candidacies with the neighbour's words are its own.
//!
//! Two others may say the same: the operator, which stands in for a leader (`leader/closed_election.rs`), and the
//! successor of a Marathon that goes by the same name in another pod. What no two processes share is the session
//! that owns the node.

use std::collections::{BTreeMap, BTreeSet};

/// Those that are there. Each is judged when it is first seen.
#[derive(Debug)]
pub struct Candidacies {
    /// Whether nobody else can have the neighbour's address while it lives, as with that of its pod.
    only_its_address: bool,
    all: BTreeMap<String, Candidacy>,
}

#[derive(Debug)]
struct Candidacy {
    owner: i64,
    whose: Whose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The neighbour's, as far as is known.
    Neighbours,
    /// The neighbour's, whose process is dead.
    Dead,
    /// Somebody else's with the same words.
    Strangers,
}

impl Candidacies {
    /// None yet.
    pub fn new(only_its_address: bool) -> Self {
        Self {
            only_its_address,
            all: BTreeMap::new(),
        }
    }

    /// These are there now, with the sessions that own them.
    pub fn see(&mut self, there: BTreeMap<String, i64>) {
        let mut ended = false;
        self.all.retain(|node, one| {
            let stays = there.contains_key(node);
            ended |= !stays && one.whose == Whose::Neighbours;
            stays
        });
        // A session ended and its process lives: what looked like somebody else's is where it has joined again.
        if ended && self.only_its_address {
            for one in self.all.values_mut().filter(|one| one.whose == Whose::Strangers) {
                one.whose = Whose::Neighbours;
            }
        }
        // Their names differ in the sequence number alone: whoever joined first is judged first.
        for (node, owner) in there {
            // Of the neighbour's processes only one lives, and it has one session.
            let elsewhere = |other: &Candidacy| other.whose == Whose::Neighbours && other.owner != owner;
            let whose = if self.all.values().any(elsewhere) {
                Whose::Strangers
            } else {
                Whose::Neighbours
            };
            self.all.entry(node).or_insert(Candidacy { owner, whose });
        }
    }

    /// The process that these belonged to is dead. Its successor may join while they are still there.
    pub fn died(&mut self, nodes: &BTreeSet<String>) {
        for (_, candidacy) in self.all.iter_mut().filter(|(node, _)| nodes.contains(*node)) {
            candidacy.whose = Whose::Dead;
        }
    }

    /// Names of the neighbour's, of its dead processes too.
    pub fn own(&self) -> BTreeSet<String> {
        let own = self.all.iter().filter(|(_, one)| one.whose != Whose::Strangers);
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
    }
    use Step::{Died, There};

    #[test]
    fn the_session_tells_whose_they_are() {
        let node = |number: u8| format!("member_{number:010}");
        // What happens, and which are the neighbour's in the end: of a Marathon, of a master.
        let table: [(_, &[Step], &[u8], &[u8]); 14] = [
            ("nobody", &[There(&[])], &[], &[]),
            ("it joins", &[There(&[(1, 7)])], &[1], &[1]),
            (
                "it joins again in its session",
                &[There(&[(1, 7)]), There(&[(1, 7), (2, 7)])],
                &[1, 2],
                &[1, 2],
            ),
            (
                "it joins again after its session",
                &[There(&[(1, 7)]), There(&[]), There(&[(2, 8)])],
                &[2],
                &[2],
            ),
            (
                "it joins again before its session ends",
                &[There(&[(1, 7)]), There(&[(1, 7), (2, 8)]), There(&[(2, 8)])],
                &[],
                &[2],
            ),
            (
                "somebody stands in for it",
                &[There(&[(1, 7)]), There(&[(1, 7), (2, 9)])],
                &[1],
                &[1],
            ),
            (
                "somebody stands in for it, and it dies",
                &[There(&[(1, 7), (2, 9)]), Died(1), There(&[(1, 7), (2, 9)])],
                &[1],
                &[1],
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
                &[3],
            ),
            (
                "it is back while its dead process is still a candidate",
                &[There(&[(1, 7)]), Died(1), There(&[(1, 7), (2, 8)])],
                &[1, 2],
                &[1, 2],
            ),
            (
                "a successor joins while it lives, and it dies",
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
                "a guard that comes later sees two sessions",
                &[There(&[(2, 8), (1, 7)])],
                &[1],
                &[1],
            ),
            (
                "a guard that comes later sees two sessions, of which one ends",
                &[There(&[(2, 8), (1, 7)]), There(&[(2, 8)])],
                &[],
                &[2],
            ),
            (
                "a guard that comes later sees one session",
                &[There(&[(1, 7), (2, 7)])],
                &[1, 2],
                &[1, 2],
            ),
            ("what is gone cannot die", &[There(&[]), Died(1)], &[], &[]),
        ];
        for (what, steps, marathons, masters) in table {
            for (expected, only_its_address) in [(marathons, false), (masters, true)] {
                let mut candidacies = Candidacies::new(only_its_address);
                for step in steps {
                    match step {
                        There(there) => {
                            let there = there.iter().map(|(number, owner)| (node(*number), *owner));
                            candidacies.see(there.collect());
                        }
                        Died(number) => candidacies.died(&[node(*number)].into()),
                    }
                }
                let expected = expected.iter().map(|number| node(*number)).collect();
                assert_eq!(candidacies.own(), expected, "{what}, {only_its_address}");
            }
        }
    }
}
