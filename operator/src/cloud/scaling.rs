//! How ZooKeeper and the masters grow and shrink without ever giving their quorum away.
//!
//! Nothing is remembered: each step follows from what is there, so that an operator that died, or a spec that was
//! changed back half way, ends well. The steps themselves are taken by rollouts ([`super::rollout`]), one member
//! at a time.

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
/// When all of them vote, any of them may be elected, whether they know the larger quorum or not.
pub fn keeps_election_closed(seen: &Seen<'_>, stands_in: bool) -> bool {
    let Size { members, sized_for } = seen.size;
    let all = |holds: fn(&Member) -> bool| (0..members).all(|n| seen.member(n).is_some_and(holds));
    let ready = all(|m| m.ready && !m.terminating);
    sized_for > members && !(ready && (stands_in || all(|m| m.updated)))
}

/// The next step of the masters to `wanted` members, an odd number like the present one.
///
/// Growing, the larger quorum comes first and the new members after it; shrinking, the members go first and the
/// smaller quorum comes after it. Two members at a time, for the quorum of the next odd number is all that the
/// present members can be (Mesos 0.28.1, docs/operational-guide.md; order measured in reference/measured.md).
pub fn masters(seen: &Seen<'_>, wanted: i32) -> Step {
    let Size { members, sized_for } = seen.size;
    let shrink = |to: i32| {
        let victim = seen.member(members - 1);
        let needed = quorum(sized_for);
        // One that does not serve is missing already: its going costs nothing.
        let costs = victim.is_some_and(|m| m.ready && !m.terminating);
        let others = seen.serving(members - 1);
        if let Some(pod) = seen.leaving() {
            return Step::Wait(format!("{} is still going", pod.pod));
        }
        if costs && others < needed {
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
/// over before (ZooKeeper 3.4, no dynamic reconfiguration; reference/domain.md, 5.2).
pub fn zookeeper(seen: &Seen<'_>, wanted: i32) -> Step {
    let Size { members, sized_for } = seen.size;
    if let Some(pod) = seen.leaving() {
        return Step::Wait(format!("{} is still going", pod.pod));
    }
    if sized_for < members {
        // The last one is on nobody's list any more, or will not be: there is no way back but over its going.
        let last_leads = seen.leads(members - 1);
        return match seen.unsettled(sized_for) {
            Some(why) if !last_leads => Step::Wait(why),
            _ if seen.serving(sized_for) < quorum(sized_for) => {
                Step::Wait(format!("of the {sized_for} that stay too few serve"))
            }
            _ => Step::Resize(Size::settled(sized_for)),
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
    if seen.leads(last) {
        return match (seen.unsettled(members), seen.member(last)) {
            (None, Some(member)) => Step::HandOver(member.pod.clone()),
            (why, _) => Step::Wait(why.unwrap_or_else(|| "nobody leads".to_owned())),
        };
    }
    Step::Resize(Size {
        members,
        sized_for: last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_that_would_stand_still_is_closed() {
        // A letter per master: `o` has the old quorum, `u` the larger one; capital letters do not serve; `-` is away.
        // Then for how many they are made, whether the operator stands in for a leader, and what is expected.
        let table = [
            ("ooo", 3, false, false),
            ("oo-", 3, false, false),
            ("ooo", 5, false, true),
            ("oo-", 5, false, true),
            ("ouu", 5, false, true),
            ("-uu", 5, false, true),
            ("Uuu", 5, true, true),
            ("uuu", 5, true, false),
            ("uuu", 5, false, false),
            // The leader died by itself half way: it is back, and any of them may be elected.
            ("oou", 5, true, false),
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
                    terminating: false,
                    sized_for: None,
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
