//! Scaling and rollout as one machine, explored at random: pods that start late or not at all, an operator that
//! sees old states and may stop between any two steps, a spec that is changed again half way, another member that
//! fails. The quorum is never given away, and when the trouble ends the cloud arrives.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use mesoscloud_operator::cloud::names::ordinal;
use mesoscloud_operator::cloud::quorum::quorum;
use mesoscloud_operator::cloud::rollout::{self, Member};
use mesoscloud_operator::cloud::scaling::{Seen, Size, Step, masters, zookeeper};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Masters,
    ZooKeeper,
}

/// A member's pod.
#[derive(Clone, Debug)]
struct Pod {
    ordinal: i32,
    /// What it was made for.
    sized_for: i32,
    started: bool,
    ready: bool,
    terminating: bool,
    /// The disk was another member's before, long ago.
    stale: bool,
}

#[derive(Clone, Debug)]
enum Event {
    /// The operator makes a pass; on what it saw last time, if it is late.
    Pass { late: bool },
    /// A pod gets on: it starts, serves, or is gone.
    Progress(usize),
    /// A member fails, and with it nobody else.
    Fails(usize),
    /// Whoever failed is back.
    Recovers,
    /// The spec is changed.
    Wanted(i32),
}

#[derive(Clone, Debug)]
struct World {
    role: Role,
    size: Size,
    wanted: i32,
    pods: Vec<Pod>,
    /// Disks by their members' ordinals, and whether they missed something because their member was gone.
    disks: BTreeMap<i32, bool>,
    failed: Option<i32>,
    seen: Vec<Member>,
}

impl World {
    fn new(role: Role, members: i32) -> Self {
        let mut world = Self {
            role,
            size: Size::settled(members),
            wanted: members,
            pods: Vec::new(),
            disks: BTreeMap::new(),
            failed: None,
            seen: Vec::new(),
        };
        world.workload();
        for pod in &mut world.pods {
            (pod.started, pod.ready) = (true, true);
        }
        world
    }

    /// What Kubernetes does: makes pods that are missing, ends those that are too many.
    fn workload(&mut self) {
        for n in 0..self.size.members {
            if !self.pods.iter().any(|p| p.ordinal == n) {
                let stale = *self.disks.entry(n).or_default();
                self.pods.push(Pod {
                    ordinal: n,
                    sized_for: self.size.sized_for,
                    started: false,
                    ready: false,
                    terminating: false,
                    stale,
                });
            }
        }
        for pod in &mut self.pods {
            pod.terminating |= pod.ordinal >= self.size.members;
        }
    }

    fn members(&self) -> Vec<Member> {
        let member = |pod: &Pod| Member {
            pod: format!("c-{}", pod.ordinal),
            updated: pod.sized_for == self.size.sized_for,
            ready: pod.ready && !pod.terminating && self.failed != Some(pod.ordinal),
            started: pod.started,
            put_off: false,
            terminating: pod.terminating,
            sized_for: Some(pod.sized_for),
        };
        self.pods.iter().map(member).collect()
    }

    /// The lowest that serves: as good as any.
    fn leader(&self) -> Option<String> {
        let mut serving: Vec<_> = self.members().into_iter().filter(|m| m.ready).collect();
        serving.sort_by_key(|m| ordinal(&m.pod));
        // Now and then the last one leads, which is the hardest.
        let last = self.wanted % 4 == 3;
        let leader = if last { serving.last() } else { serving.first() };
        leader.map(|m| m.pod.clone())
    }

    fn serving(&self) -> usize {
        self.members().iter().filter(|m| m.ready).count()
    }

    fn pass(&mut self, late: bool) {
        let fresh = self.members();
        let seen = if late { self.seen.clone() } else { fresh.clone() };
        self.seen.clone_from(&fresh);
        let left_over: Vec<_> = self
            .disks
            .keys()
            .copied()
            .filter(|n| !self.pods.iter().any(|p| p.ordinal == *n))
            .collect();
        let leader = self.leader();
        let decide = |members: &[Member]| {
            let seen = Seen {
                size: self.size,
                members,
                leader: leader.as_deref(),
                left_over: &left_over,
            };
            match self.role {
                Role::Masters => masters(&seen, self.wanted),
                Role::ZooKeeper => zookeeper(&seen, self.wanted),
            }
        };
        // As the operator does it: on what it sees, and once more on what is before it acts.
        let mut step = decide(&seen);
        if !matches!(step, Step::Done | Step::Wait(_)) {
            step = decide(&fresh);
        }
        let before = self.clone();
        match step {
            Step::Resize(size) => {
                self.size = size;
                self.workload();
                self.check_removal(&before);
                return;
            }
            Step::DeleteDisk(n) => drop(self.disks.remove(&n)),
            Step::HandOver(pod) => self.delete(&pod),
            Step::Done | Step::Wait(_) => {}
        }
        if self.pods.iter().any(|p| p.terminating) {
            return;
        }
        let looked_after = match self.role {
            Role::ZooKeeper => self.size.sized_for.min(self.size.members),
            Role::Masters => self.size.members,
        };
        let ours: Vec<_> = self
            .members()
            .into_iter()
            .filter(|m| ordinal(&m.pod).unwrap() < looked_after)
            .collect();
        if let rollout::Step::Replace(pods) = rollout::next_step(&ours, looked_after, leader.as_deref()) {
            let started = |pod: &String| ours.iter().any(|m| m.pod == *pod && m.started);
            let serving = |pod: &String| ours.iter().any(|m| m.pod == *pod && m.ready);
            assert!(
                pods.iter().filter(|p| started(p)).count() <= 1,
                "two at once: {pods:?}"
            );
            if pods.iter().any(serving) {
                let others = ours.iter().filter(|m| !pods.contains(&m.pod));
                assert!(
                    others.clone().all(|m| m.ready),
                    "beside another absence: {ours:?}"
                );
            }
            for pod in pods {
                self.delete(&pod);
            }
        }
    }

    /// Members that served went only where the others are a quorum without them.
    fn check_removal(&self, before: &Self) {
        let lost = before.serving() - self.serving();
        assert!(lost <= 1, "{before:?} lost {lost}");
        if lost > 0 {
            let needed = quorum(before.size.sized_for);
            assert!(
                i32::try_from(self.serving()).unwrap() >= needed.min(self.size.members),
                "{before:?} -> {self:?}: the quorum is {needed}"
            );
        }
    }

    fn delete(&mut self, pod: &str) {
        for p in self.pods.iter_mut().filter(|p| format!("c-{}", p.ordinal) == pod) {
            p.terminating = true;
        }
    }

    /// Two quorums always have a member in common, by whatever settings the members run, and no member votes with
    /// a disk from before.
    fn check(&self) {
        let smallest = self.pods.iter().map(|p| quorum(p.sized_for)).min().unwrap();
        let present = i32::try_from(self.pods.len()).unwrap();
        match self.role {
            Role::Masters => assert!(2 * smallest > present, "{self:?}"),
            Role::ZooKeeper => {
                let (low, high) = (
                    self.pods.iter().map(|p| p.sized_for).min().unwrap(),
                    self.pods.iter().map(|p| p.sized_for).max().unwrap(),
                );
                assert!(high - low <= 1, "lists differ by more than one: {self:?}");
            }
        }
        assert!(!self.pods.iter().any(|p| p.stale), "an old disk: {self:?}");
    }

    fn step(&mut self, event: &Event) {
        match event {
            Event::Pass { late } => self.pass(*late),
            Event::Progress(which) => {
                let at = which % self.pods.len();
                let pod = &mut self.pods[at];
                if pod.terminating {
                    let gone = self.pods.remove(at).ordinal;
                    if gone >= self.size.members {
                        self.disks.insert(gone, true);
                    }
                    self.workload();
                } else if pod.started {
                    pod.ready = true;
                } else {
                    pod.started = true;
                }
            }
            Event::Fails(which) => {
                let at = which % self.pods.len();
                self.failed = Some(self.pods[at].ordinal);
            }
            Event::Recovers => self.failed = None,
            Event::Wanted(wanted) => self.wanted = *wanted,
        }
        self.check();
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => any::<bool>().prop_map(|late| Event::Pass { late }),
        8 => (0..9_usize).prop_map(Event::Progress),
        1 => (0..9_usize).prop_map(Event::Fails),
        1 => Just(Event::Recovers),
        1 => prop_oneof![Just(3), Just(5), Just(7)].prop_map(Event::Wanted),
    ]
}

fn explore(role: Role, first: i32, events: &[Event]) {
    let mut world = World::new(role, first);
    for event in events {
        world.step(event);
    }
    // The trouble ends.
    world.failed = None;
    for _ in 0..400 {
        world.step(&Event::Pass { late: false });
        for pod in 0..world.pods.len() {
            world.step(&Event::Progress(pod));
        }
    }
    assert_eq!(
        world.size,
        Size::settled(world.wanted),
        "it does not arrive: {world:?}"
    );
    let members = world.members();
    assert!(members.iter().all(|m| m.updated && m.ready), "{world:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masters_never_give_their_quorum_away(
        first in prop_oneof![Just(3), Just(5), Just(7)],
        events in prop::collection::vec(event(), 0..120),
    ) {
        explore(Role::Masters, first, &events);
    }

    #[test]
    fn zookeeper_never_gives_its_quorum_away(
        first in prop_oneof![Just(3), Just(5), Just(7)],
        events in prop::collection::vec(event(), 0..120),
    ) {
        explore(Role::ZooKeeper, first, &events);
    }
}
