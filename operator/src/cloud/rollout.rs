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
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Members it counts on, as far as its pod tells.
    pub sized_for: Option<i32>,
}

impl Member {
    /// Whether it takes no part in anything, and would in a new pod.
    pub fn is_idle(&self) -> bool {
        !self.terminating && (self.put_off || !self.updated && !self.started)
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

/// The next step for the `replicas` members of one component.
///
/// - Members that never started are replaced at once, all of them: nobody depends on them, and one alone
///   could never become ready where a quorum is needed.
/// - So are those whose restart is put off though they had served: a master that loses its leadership ends itself
///   (Mesos 0.28.1, src/master/master.cpp), which is no fault to be slowed down for; in a new pod it starts at once.
/// - Else one at a time, and only while every other member serves: the highest ordinal first, the leader last,
///   so that a rollout costs one failover.
pub fn next_step(members: &[Member], replicas: i32, leader: Option<&str>) -> Step {
    let outdated = || members.iter().filter(|m| !m.updated);
    let idle: Vec<_> = members
        .iter()
        .filter(|m| m.is_idle())
        .map(|m| m.pod.clone())
        .collect();
    if !idle.is_empty() {
        return Step::Replace(idle);
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
    if let Some(absent) = members.iter().find(|m| m.updated && !m.ready) {
        return Step::Wait(format!("{} does not serve yet", absent.pod));
    }
    // An outdated member that does not serve is already missing from the quorum: it goes first, whoever it is.
    let broken: Vec<_> = outdated().filter(|m| !m.ready).collect();
    match broken.as_slice() {
        [] => {}
        [one] => return Step::Replace(vec![one.pod.clone()]),
        [one, ..] => return Step::Wait(format!("{} and others do not serve", one.pod)),
    }
    if leader.is_none() && replicas > 1 {
        return Step::Wait("nobody leads".to_owned());
    }
    let next = outdated().max_by_key(|m| (Some(m.pod.as_str()) != leader, ordinal(&m.pod)));
    next.map_or(Step::Done, |m| Step::Replace(vec![m.pod.clone()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter per member: `o` outdated, `u` updated, both serving; capital letters do not serve;
    /// `x` outdated and never started; `t` terminating; `p` updated and put off.
    fn members(text: &str) -> Vec<Member> {
        text.chars()
            .enumerate()
            .map(|(n, c)| Member {
                pod: format!("c-master-{n}"),
                updated: c.eq_ignore_ascii_case(&'u') || c == 'p',
                ready: c.is_ascii_lowercase() && !"xtp".contains(c),
                started: c != 'x',
                put_off: c == 'p',
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
