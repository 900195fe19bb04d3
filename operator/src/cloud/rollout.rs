//! Which pods of a member set are replaced next, when its spec has changed.

use super::names::ordinal;

/// A member's pod, as far as replacing it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the pod.
    pub pod: String,
    /// Whether it runs the current spec.
    pub updated: bool,
    /// Whether it serves.
    pub ready: bool,
    /// Whether its program has been started. One whose image cannot be pulled, or that no node can run, takes
    /// no part in any quorum.
    pub started: bool,
    /// Whether Kubernetes puts off its restart although it had served for a while.
    pub put_off: bool,
    /// Whether it does not serve because its program ends again and again soon after its start.
    pub failing: bool,
    /// Whether it has not served for so long that it will hardly do so by itself.
    pub given_up: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Members it counts on, as far as its pod tells.
    pub sized_for: Option<i32>,
}

impl Member {
    /// Whether its program does not start, or not for long.
    pub fn fails(&self) -> bool {
        !self.ready && !self.terminating && (self.failing || !self.started)
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Every member runs the current spec.
    Done,
    /// Delete these pods; the workload makes them anew from the current spec.
    Replace(Vec<String>),
    /// Nothing now, for this reason.
    Wait(String),
}

/// The members that take no part in anything, and may in a new pod: those can be replaced all at once.
///
/// - Members that never started: nobody depends on them, and one alone could never become ready where a quorum is
///   needed.
/// - Those whose restart is put off though they had served: a master that loses its leadership ends itself
///   (Mesos 0.28.1, src/master/master.cpp), which is no fault to be slowed down for; in a new pod it starts at once.
/// - Those whose program keeps ending, and, when nobody has served for long, all. But not when the spec that they
///   would get has failed where it was tried: they may recover with theirs.
pub fn idle(members: &[Member]) -> Vec<&Member> {
    let spec_fails = members.iter().any(|m| m.updated && m.fails());
    let nobody_serves = members.iter().all(|m| !m.ready && m.given_up);
    let is_idle = |m: &&Member| {
        let broken = !m.started || !spec_fails && (m.failing || nobody_serves);
        !m.terminating && (m.put_off || !m.updated && broken)
    };
    members.iter().filter(is_idle).collect()
}

/// The next step for the `replicas` members of one component.
///
/// - Members that are [`idle`] are replaced at once.
/// - Else one at a time, and only while every other member serves: the highest ordinal first, the leader last,
///   so that a rollout costs one failover.
pub fn next_step(members: &[Member], replicas: i32, leader: Option<&str>) -> Step {
    let outdated = || members.iter().filter(|m| !m.updated);
    let idle = idle(members);
    if !idle.is_empty() {
        return Step::Replace(idle.into_iter().map(|m| m.pod.clone()).collect());
    }
    if outdated().next().is_none() {
        return Step::Done;
    }
    if let Some(leaving) = members.iter().find(|m| m.terminating) {
        return Step::Wait(format!("{} is being replaced", leaving.pod));
    }
    if i32::try_from(members.len()).is_ok_and(|present| present < replicas) {
        return Step::Wait(format!("{} of {replicas} members exist", members.len()));
    }
    let leader_last = |m: &&Member| (Some(m.pod.as_str()) != leader, ordinal(&m.pod));
    let broken = || outdated().filter(|m| !m.ready);
    if let Some(absent) = members.iter().find(|m| m.updated && !m.ready) {
        // It may lack a quorum that only the change brings back, to members that are as hopeless.
        let waits = members
            .iter()
            .all(|m| !m.updated || m.ready || m.given_up && !m.fails());
        return match broken().filter(|m| waits && m.given_up).max_by_key(leader_last) {
            Some(one) => Step::Replace(vec![one.pod.clone()]),
            None => Step::Wait(format!("{} does not serve yet", absent.pod)),
        };
    }
    // An outdated member that does not serve is already missing from the quorum: it goes first, whoever it is. Where
    // several do not, they may only blink.
    let hopeless = broken().filter(|m| broken().count() == 1 || m.given_up);
    if let Some(one) = hopeless.max_by_key(leader_last) {
        return Step::Replace(vec![one.pod.clone()]);
    }
    if let Some(one) = broken().next() {
        return Step::Wait(format!("{} and others do not serve", one.pod));
    }
    if leader.is_none() && replicas > 1 {
        return Step::Wait("nobody leads".to_owned());
    }
    let next = outdated().max_by_key(leader_last);
    next.map_or(Step::Done, |m| Step::Replace(vec![m.pod.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter per member: `o` outdated, `u` updated, both serving; capital letters do not serve;
    /// `x` outdated and never started, `X` updated; `f` outdated and failing, `F` updated; `g` outdated and given up,
    /// `G` updated, each alive; `t` terminating; `p` updated and put off.
    fn members(text: &str) -> Vec<Member> {
        text.chars()
            .enumerate()
            .map(|(n, c)| Member {
                pod: format!("c-master-{n}"),
                updated: "uUXFGp".contains(c),
                ready: "ou".contains(c),
                started: !c.eq_ignore_ascii_case(&'x'),
                put_off: c == 'p',
                failing: c.eq_ignore_ascii_case(&'f'),
                given_up: c.eq_ignore_ascii_case(&'g'),
                terminating: c == 't',
                sized_for: None,
            })
            .collect()
    }

    #[test]
    fn one_at_a_time_leader_last_and_never_beside_another_absence() {
        let replace = |pods: &[i32]| Step::Replace(pods.iter().map(|n| format!("c-master-{n}")).collect());
        let wait = |why: &str| Step::Wait(why.to_owned());
        let table = [
            ("uuu", Some(0), Step::Done),
            ("ooo", Some(0), replace(&[2])),
            ("ooo", Some(2), replace(&[1])),
            ("oou", Some(1), replace(&[0])),
            ("uou", Some(1), replace(&[1])),
            ("oot", Some(0), wait("c-master-2 is being replaced")),
            ("oo", Some(0), wait("2 of 3 members exist")),
            ("ooU", Some(0), wait("c-master-2 does not serve yet")),
            ("oOo", Some(0), replace(&[1])),
            ("Ooo", Some(0), replace(&[0])),
            ("OOo", Some(2), wait("c-master-0 and others do not serve")),
            ("ooo", None, wait("nobody leads")),
            ("xxx", None, replace(&[0, 1, 2])),
            ("oox", Some(0), replace(&[2])),
            ("UUx", None, replace(&[2])),
            ("uup", Some(0), replace(&[2])),
            ("pup", None, replace(&[0, 2])),
            // A corrected spec comes to all who keep failing, whatever the others are like ...
            ("fff", None, replace(&[0, 1, 2])),
            ("fuf", Some(1), replace(&[0, 2])),
            ("ffU", None, replace(&[0, 1])),
            ("OfO", None, replace(&[1])),
            // ... but one that fails itself comes to nobody else.
            ("fuF", Some(1), wait("c-master-2 does not serve yet")),
            ("foX", Some(1), wait("c-master-2 does not serve yet")),
            // Nobody serves, for long: there is nothing to lose.
            ("ggg", None, replace(&[0, 1, 2])),
            ("ggG", None, replace(&[0, 1])),
            ("ggU", None, wait("c-master-2 does not serve yet")),
            ("ggF", None, wait("c-master-2 does not serve yet")),
            // Several that do not serve for long, beside one that does: one after another.
            ("ggo", Some(2), replace(&[1])),
            ("ogG", Some(0), replace(&[1])),
            ("ogU", Some(0), wait("c-master-2 does not serve yet")),
            ("gOo", Some(2), replace(&[0])),
        ];
        for (text, leader, expected) in table {
            let leader = leader.map(|n| format!("c-master-{n}"));
            assert_eq!(
                next_step(&members(text), 3, leader.as_deref()),
                expected,
                "{text} led by {leader:?}"
            );
        }
    }

    #[test]
    fn a_whole_rollout_replaces_each_once_and_ends() {
        let mut state = members("ooooo");
        let mut order = Vec::new();
        while let Step::Replace(pods) = next_step(&state, 5, Some("c-master-3")) {
            for member in state.iter_mut().filter(|m| pods.contains(&m.pod)) {
                member.updated = true;
                order.push(member.pod.clone());
            }
        }
        assert_eq!(order, [4, 2, 1, 0, 3].map(|n| format!("c-master-{n}")));
    }

    #[test]
    fn a_single_member_needs_no_leader() {
        assert_eq!(
            next_step(&members("o"), 1, None),
            Step::Replace(vec!["c-master-0".into()])
        );
    }
}
