//! How ZooKeeper and the masters grow and shrink without ever giving their quorum away.
//!
//! Nothing is remembered: each step follows from what is there, so that an operator that died, or a spec that was
//! changed back half way, ends well. The steps themselves are taken by rollouts ([`super::rollout`]), one member
//! at a time.

use super::component::Component;
use super::names::ordinal;
use super::quorum::quorum;
use super::rollout::Member;

/// What a member set is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Members that run.
    pub members: i32,
    /// Members that each of them counts on: the masters' quorum, or ZooKeeper's list, is made of it.
    pub sized_for: i32,
}

impl Size {
    /// A set that nobody changes.
    pub fn settled(members: i32) -> Self {
        Self {
            members,
            sized_for: members,
        }
    }
}

/// What a set of `wanted` members begins with that finds `disks` of members with these ordinals, from a former life of
/// the cloud: with all of them, from where it goes to what is wanted step by step. With fewer, or beside new members
/// whose disks are empty, a quorum could be one of members that have missed what was written last.
///
/// Masters count on an odd number: four of them, which are some on the way to five or back, are a part of these.
pub fn beginning(component: Component, disks: &[i32], wanted: i32) -> Size {
    let members = disks.iter().max().map_or(wanted, |last| last + 1);
    let sized_for = match component {
        Component::Master => members | 1,
        _ => members,
    };
    Size { members, sized_for }
}

/// What is seen of a member set.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What it is made for now.
    pub size: Size,
    /// Its pods.
    pub members: &'a [Member],
    /// Name of the pod that leads.
    pub leader: Option<&'a str>,
    /// Disks of members that no longer run, by the member's ordinal.
    pub left_over: &'a [i32],
}

/// What to do next about the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is what it should be.
    Done,
    /// Make the set for this size.
    Resize(Size),
    /// Delete the disk that a member with this ordinal left behind: it must not be taken for a current one.
    DeleteDisk(i32),
    /// Replace this pod, so that somebody else leads.
    HandOver(String),
    /// Nothing now, for this reason.
    Wait(String),
}

impl Seen<'_> {
    /// Why the first `members` are not all there, up to date and serving, if they are not.
    fn unsettled(&self, members: i32) -> Option<String> {
        for wanted in 0..members {
            let Some(member) = self.member(wanted) else {
                return Some(format!("member {wanted} does not exist yet"));
            };
            let pod = &member.pod;
            if member.terminating {
                return Some(format!("{pod} is being replaced"));
            }
            if !member.updated {
                return Some(format!("{pod} does not run the current spec yet"));
            }
            if !member.ready {
                return Some(format!("{pod} does not serve"));
            }
        }
        (members > 1 && self.leader.is_none()).then(|| "nobody leads".to_owned())
    }

    fn member(&self, wanted: i32) -> Option<&Member> {
        self.members.iter().find(|m| ordinal(&m.pod) == Some(wanted))
    }

    /// The first pod that no longer belongs to the set and is still there.
    fn leaving(&self) -> Option<&Member> {
        let mut pods = self.members.iter();
        pods.find(|m| ordinal(&m.pod).is_none_or(|n| n >= self.size.members))
    }

    fn serving(&self, below: i32) -> i32 {
        let serves = |n: &i32| self.member(*n).is_some_and(|m| m.ready && !m.terminating);
        i32::try_from((0..below).filter(serves).count()).unwrap_or_default()
    }

    /// Which of the first `members` is absent because it is being replaced, and will be back.
    fn being_replaced(&self, members: i32) -> Option<String> {
        if self.members.iter().all(|m| m.updated && !m.terminating) {
            return None;
        }
        let back_soon = |m: &Member| m.terminating || m.started && !m.ready;
        (0..members).find_map(|n| match self.member(n) {
            Some(member) => back_soon(member).then(|| format!("{} is being replaced", member.pod)),
            None => Some(format!("member {n} is being replaced")),
        })
    }

    fn leads(&self, ordinal_: i32) -> bool {
        self.leader.and_then(ordinal) == Some(ordinal_)
    }

    /// Why no member may be given a list of `members` now: two lists whose lengths differ by more than one have
    /// majorities without a member in common.
    fn lists_differ(&self, members: i32) -> Option<String> {
        let far = |m: &&Member| m.sized_for.is_some_and(|list| (list - members).abs() > 1);
        let other = self.members.iter().find(far)?;
        Some(format!("{} has not got the last list yet", other.pod))
    }

    /// One more member, or several, none of them with a disk from before.
    fn grow(&self, to: Size) -> Step {
        if let Some(why) = self.unsettled(self.size.members) {
            return Step::Wait(why);
        }
        if let Some(pod) = self.leaving() {
            return Step::Wait(format!("{} is still going", pod.pod));
        }
        let stale = self
            .left_over
            .iter()
            .find(|n| (self.size.members..to.members).contains(*n));
        stale.map_or(Step::Resize(to), |n| Step::DeleteDisk(*n))
    }
}

/// Whether the masters are to elect nobody now: while they get the larger quorum, which the others do not have
/// without the one that restarts. `stands_in`: the one that leads is gone, and nobody else has been elected.
///
/// As soon as those that are left are a quorum by what they themselves run, any of them may be elected, also while the
/// change is held up.
pub fn keeps_election_closed(seen: &Seen<'_>, stands_in: bool) -> bool {
    let Size { members, sized_for } = seen.size;
    let serving = || (0..members).filter_map(|n| seen.member(n).filter(|m| m.ready && !m.terminating));
    let whole = seen.serving(members) == members && serving().all(|m| m.updated);
    let largest = serving().map(|m| m.sized_for.unwrap_or(sized_for)).max();
    let suffice = seen.serving(members) >= quorum(largest.unwrap_or(sized_for));
    sized_for > members && !whole && !(stands_in && suffice)
}

/// The next step of the masters to `wanted` members, an odd number like the present one.
///
/// Growing, the larger quorum comes first and the new members after it; shrinking, the members go first and the
/// smaller quorum comes after it. Two members at a time, for the quorum of the next odd number is all that the
/// present members can be (Mesos 0.28.1, docs/operational-guide.md; measured in docs/originals.md).
pub fn masters(seen: &Seen<'_>, wanted: i32) -> Step {
    let Size { members, sized_for } = seen.size;
    let shrink = |to: i32| {
        let victim = seen.member(members - 1);
        // What the others run counts, which may be a larger quorum still.
        let run = seen.members.iter().filter_map(|m| m.sized_for);
        let needed = quorum(run.fold(sized_for, i32::max));
        // One that does not serve is missing already.
        let costs = victim.is_some_and(|m| m.ready && !m.terminating);
        let others = seen.serving(members - 1);
        if let Some(pod) = seen.leaving() {
            return Step::Wait(format!("{} is still going", pod.pod));
        }
        if let Some(why) = seen.being_replaced(members - 1).filter(|_| costs) {
            return Step::Wait(why);
        }
        // Also of one that does not serve: for the others it may be the one that is missing.
        if others < needed {
            return Step::Wait(format!(
                "without member {} only {others} would serve, and the quorum is {needed}",
                members - 1
            ));
        }
        Step::Resize(Size {
            members: to,
            sized_for,
        })
    };
    if members == sized_for {
        return match wanted {
            _ if wanted == members => Step::Done,
            _ if wanted < members => shrink(members - 1),
            _ => seen.grow(Size {
                members,
                sized_for: sized_for + 2,
            }),
        };
    }
    if wanted >= sized_for {
        return seen.grow(Size {
            members: sized_for,
            sized_for,
        });
    }
    if members > sized_for - 2 {
        return shrink(members - 1);
    }
    // Both quorums are majorities of what is there, as long as nobody more is.
    match seen.leaving() {
        Some(pod) => Step::Wait(format!("{} is still going", pod.pod)),
        None => Step::Resize(Size::settled(members)),
    }
}

/// The next step of ZooKeeper to `wanted` members. One at a time, through even numbers: majorities of lists that
/// differ by one always intersect, those of lists that differ by two need not.
///
/// A new member comes with a list that has it, then the others get that list. The last member is first taken off
/// the others' lists, then it goes; a leader that is on nobody's list would be followed by nobody, so it hands
/// over before (ZooKeeper 3.4, no dynamic reconfiguration; docs/originals.md, "Scaling").
pub fn zookeeper(seen: &Seen<'_>, wanted: i32) -> Step {
    let Size { members, sized_for } = seen.size;
    if let Some(pod) = seen.leaving() {
        return Step::Wait(format!("{} is still going", pod.pod));
    }
    if sized_for < members {
        // The last one is on nobody's list any more, or will not be.
        return match seen.unsettled(sized_for) {
            None => Step::Resize(Size::settled(sized_for)),
            // Whoever still has the longer list needs more than those that stay: it goes back on all lists, to hand
            // over first.
            Some(_) if seen.leads(members - 1) => Step::Resize(Size::settled(members)),
            Some(why) => Step::Wait(why),
        };
    }
    if wanted == members {
        return Step::Done;
    }
    let last = members - 1;
    if let Some(why) = seen.lists_differ(if wanted > members { members + 1 } else { last }) {
        return Step::Wait(why);
    }
    if wanted > members {
        return seen.grow(Size::settled(members + 1));
    }
    if seen.serving(last) < quorum(members) {
        return Step::Wait(format!(
            "without member {last} only {} would serve, and the quorum is {}",
            seen.serving(last),
            quorum(members)
        ));
    }
    match (seen.leader, seen.member(last)) {
        // It may be the last that leads.
        (None, _) => return Step::Wait("nobody leads".to_owned()),
        (Some(_), Some(member)) if seen.leads(last) => {
            let ready = seen.unsettled(members);
            return ready.map_or_else(|| Step::HandOver(member.pod.clone()), Step::Wait);
        }
        _ => {}
    }
    Step::Resize(Size {
        members,
        sized_for: last,
    })
}

/// Why ZooKeeper's `pods` cannot be replaced now: the others that serve would be no quorum, by the list of the leader that
/// goes on, or else by the longest that one of them has. While the ensemble shrinks, one that is on these may be outside
/// of what is rolled.
pub fn too_few_without(pods: &[String], members: &[Member], leader: Option<&str>) -> Option<String> {
    let serves = |m: &&Member| m.ready && !m.terminating;
    let replaced = |m: &&Member| pods.contains(&m.pod);
    if !members.iter().any(|m| serves(&m) && replaced(&m)) {
        return None;
    }
    let others = || members.iter().filter(|m| serves(m) && !replaced(m));
    let leads = others().find(|m| Some(m.pod.as_str()) == leader);
    // A single one has nobody to wait for.
    let list = match leads {
        Some(leads) => leads.sized_for?,
        None => others().filter_map(|m| m.sized_for).max()?,
    };
    let left = i32::try_from(others().count()).unwrap_or_default();
    (left < quorum(list)).then(|| format!("without {} only {left} of {list} would serve", pods.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_begins_with_the_disks_it_finds() {
        // Members, and how many masters count on.
        let table = [
            (&[][..], 3, 3, 3),
            (&[0, 1, 2], 3, 3, 3),
            (&[0, 1, 2], 5, 3, 3),
            (&[0, 1, 2, 3, 4], 3, 5, 5),
            (&[0, 1, 2, 3], 5, 4, 5),
            // One was lost: its member begins with an empty one, as it would have in the running cloud.
            (&[0, 2], 3, 3, 3),
            (&[0], 1, 1, 1),
        ];
        for (disks, wanted, members, sized_for) in table {
            let masters = beginning(Component::Master, disks, wanted);
            assert_eq!(masters, Size { members, sized_for }, "{disks:?}");
            let zookeeper = beginning(Component::ZooKeeper, disks, wanted);
            assert_eq!(zookeeper, Size::settled(members), "{disks:?}");
        }
    }

    #[test]
    fn an_election_that_would_stand_still_is_closed() {
        // A letter per master: `o` has the old quorum, `u` the larger one; capital letters do not serve; `-` is away.
        // Then for how many they are made, whether the operator stands in for a leader, and what is expected.
        let table = [
            ("ooo", 3, false, false),
            ("oo-", 3, false, false),
            ("oo-", 3, true, false),
            ("ooo", 5, false, true),
            ("oo-", 5, false, true),
            ("ouu", 5, false, true),
            ("-uu", 5, false, true),
            ("Uuu", 5, true, true),
            ("uuu", 5, true, false),
            ("uuu", 5, false, false),
            // The leader died by itself half way: it is back, and any of them may be elected.
            ("oou", 5, true, false),
            // Two with the old quorum are one, whatever the third waits for.
            ("oo-", 5, true, false),
            ("ooU", 5, true, false),
            ("ou-", 5, true, true),
            ("Uu-", 5, true, true),
        ];
        for (text, sized_for, stands_in, expected) in table {
            let members: Vec<_> = text
                .chars()
                .enumerate()
                .filter(|(_, c)| *c != '-')
                .map(|(n, c)| Member {
                    pod: format!("c-master-{n}"),
                    updated: c.eq_ignore_ascii_case(&'u'),
                    ready: c.is_ascii_lowercase(),
                    started: true,
                    put_off: false,
                    failing: false,
                    given_up: false,
                    terminating: false,
                    sized_for: Some(if c.eq_ignore_ascii_case(&'u') { 5 } else { 3 }),
                })
                .collect();
            let seen = Seen {
                size: Size {
                    members: 3,
                    sized_for,
                },
                members: &members,
                leader: None,
                left_over: &[],
            };
            assert_eq!(
                keeps_election_closed(&seen, stands_in),
                expected,
                "{text} {stands_in}"
            );
        }
    }
}
