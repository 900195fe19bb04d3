//! Scaling and rollout as one machine, explored at random: pods that start late or not at all, an operator that
//! sees old states, does not know who leads, and may stop between any two steps, a spec that is changed again half way
//! or is bad, another member that fails. The quorum is never given away, and when the trouble ends the cloud arrives.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use mesoscloud_operator::cloud::names::ordinal;
use mesoscloud_operator::cloud::quorum::quorum;
use mesoscloud_operator::cloud::rollout::{self, Member};
use mesoscloud_operator::cloud::scaling::{Seen, Size, Step, masters, too_few_without, zookeeper};
use proptest::prelude::*;

/// Passes after which the operator no longer believes that a member comes back by itself.
const GIVEN_UP: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Masters,
    ZooKeeper,
}

/// What a pod is made from, besides the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// Its program serves.
    Good(u8),
    /// Its program never starts, as of an image that is not there.
    NeverStarts,
    /// Its program ends again and again.
    Fails,
    /// Its program runs and never serves.
    NeverServes,
}

/// A member's pod.
#[derive(Clone, Debug)]
struct Pod {
    ordinal: i32,
    /// What it was made for.
    sized_for: i32,
    spec: Spec,
    started: bool,
    ready: bool,
    terminating: bool,
    /// Passes that saw it not serving.
    absent: usize,
    /// The disk was another member's before, long ago.
    stale: bool,
}

#[derive(Clone, Debug)]
enum Event {
    /// The operator makes a pass; on what it saw last time, if it is late. Before it acts, a pod may get on.
    Pass { late: bool, between: Option<usize> },
    /// A pod gets on: it starts, serves, or is gone.
    Progress(usize),
    /// A member fails, and with it nobody else.
    Fails(usize),
    /// Whoever failed is back.
    Recovers,
    /// The operator does not know who leads, as after its start; or it does again.
    LeaderKnown(bool),
    /// From now on the highest wins an election, or the lowest.
    HighestWins(bool),
    /// The number of members is changed.
    Wanted(i32),
    /// Something else is changed.
    Spec(Spec),
}

/// What the operator looks at.
#[derive(Clone, Debug, Default)]
struct View {
    members: Vec<Member>,
    leader: Option<String>,
    left_over: Vec<i32>,
}

#[derive(Clone, Debug)]
struct World {
    role: Role,
    size: Size,
    spec: Spec,
    wanted: i32,
    pods: Vec<Pod>,
    /// Disks by their members' ordinals, and whether they missed something because their member was gone.
    disks: BTreeMap<i32, bool>,
    failed: Option<i32>,
    /// Who leads, as long as it serves.
    leads: Option<i32>,
    /// Whether the highest wins an election, which is the hardest for one that shrinks; else the lowest.
    highest_wins: bool,
    leader_known: bool,
    seen: View,
}

impl World {
    fn new(role: Role, members: i32) -> Self {
        let mut world = Self {
            role,
            size: Size::settled(members),
            spec: Spec::Good(0),
            wanted: members,
            pods: Vec::new(),
            disks: BTreeMap::new(),
            failed: None,
            leads: None,
            highest_wins: false,
            leader_known: true,
            seen: View::default(),
        };
        world.workload();
        for pod in &mut world.pods {
            (pod.started, pod.ready) = (true, true);
        }
        world.elect();
        world.seen = world.view();
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
                    spec: self.spec,
                    started: false,
                    ready: false,
                    terminating: false,
                    absent: 0,
                    stale,
                });
            }
        }
        for pod in &mut self.pods {
            pod.terminating |= pod.ordinal >= self.size.members;
        }
    }

    fn serves(&self, pod: &Pod) -> bool {
        pod.ready && !pod.terminating && self.failed != Some(pod.ordinal)
    }

    fn view(&self) -> View {
        let member = |pod: &Pod| {
            let ready = self.serves(pod);
            Member {
                pod: format!("c-{}", pod.ordinal),
                updated: pod.sized_for == self.size.sized_for && pod.spec == self.spec,
                ready,
                started: pod.started,
                put_off: false,
                failing: pod.started && pod.spec == Spec::Fails,
                given_up: !ready && pod.absent >= GIVEN_UP,
                terminating: pod.terminating,
                sized_for: Some(pod.sized_for),
            }
        };
        let left_over = self.disks.keys().copied();
        View {
            members: self.pods.iter().map(member).collect(),
            leader: self.leads.filter(|_| self.leader_known).map(|n| format!("c-{n}")),
            left_over: left_over
                .filter(|n| !self.pods.iter().any(|p| p.ordinal == *n))
                .collect(),
        }
    }

    /// Whoever leads goes on; else another is elected, if those that serve are a quorum.
    fn elect(&mut self) {
        let serving: Vec<_> = self.pods.iter().filter(|p| self.serves(p)).collect();
        if serving.iter().any(|p| Some(p.ordinal) == self.leads) {
            return;
        }
        // Of ZooKeeper a member is elected by those whose list it is on.
        let electable = |candidate: i32| {
            let voters = serving
                .iter()
                .filter(|p| self.role == Role::Masters || candidate < p.sized_for);
            let needed = serving.iter().map(|p| quorum(p.sized_for)).max();
            needed.is_some_and(|needed| i32::try_from(voters.count()).unwrap() >= needed)
        };
        let candidates = serving.iter().map(|p| p.ordinal).filter(|n| electable(*n));
        self.leads = if self.highest_wins {
            candidates.max()
        } else {
            candidates.min()
        };
    }

    /// Whether those that serve are a quorum: by what the one that leads runs, or else all of them, to elect another.
    fn has_quorum(&self) -> bool {
        let serving: Vec<_> = self.pods.iter().filter(|p| self.serves(p)).collect();
        let leader = serving.iter().find(|p| Some(p.ordinal) == self.leads);
        let needed = match leader {
            Some(leader) => Some(quorum(leader.sized_for)),
            None => serving.iter().map(|p| quorum(p.sized_for)).max(),
        };
        needed.is_some_and(|needed| i32::try_from(serving.len()).unwrap() >= needed)
    }

    fn pass(&mut self, late: bool, between: Option<usize>) {
        for at in 0..self.pods.len() {
            let serves = self.serves(&self.pods[at]);
            let pod = &mut self.pods[at];
            pod.absent = if serves { 0 } else { pod.absent + 1 };
        }
        let fresh = self.view();
        let seen = if late { self.seen.clone() } else { fresh.clone() };
        self.seen.clone_from(&fresh);
        let decide = |members: &[Member]| {
            let seen = Seen {
                size: self.size,
                members,
                leader: seen.leader.as_deref(),
                left_over: &seen.left_over,
            };
            match self.role {
                Role::Masters => masters(&seen, self.wanted),
                Role::ZooKeeper => zookeeper(&seen, self.wanted),
            }
        };
        // As the operator does it: on what it sees, and once more on what is before it acts.
        let mut step = decide(&seen.members);
        if !matches!(step, Step::Done | Step::Wait(_)) {
            step = decide(&fresh.members);
        }
        if let Some(which) = between {
            self.progress(which);
        }
        let had_quorum = self.has_quorum();
        match step {
            Step::Resize(size) => {
                self.size = size;
                self.workload();
                self.keeps_quorum(had_quorum);
                return;
            }
            Step::DeleteDisk(n) => drop(self.disks.remove(&n)),
            Step::HandOver(pod) => self.delete(&pod),
            Step::Done | Step::Wait(_) => {}
        }
        self.keeps_quorum(had_quorum);
        if self.pods.iter().any(|p| p.terminating) {
            return;
        }
        let looked_after = match self.role {
            Role::ZooKeeper => self.size.sized_for.min(self.size.members),
            Role::Masters => self.size.members,
        };
        let ours = |members: Vec<Member>| -> Vec<Member> {
            let ours = |m: &Member| m.fails() || ordinal(&m.pod).unwrap() < looked_after;
            members.into_iter().filter(ours).collect()
        };
        let leader = seen.leader.as_deref();
        let all = self.view().members;
        let ours = ours(all.clone());
        if let rollout::Step::Replace(pods) = rollout::next_step(&ours, looked_after, leader) {
            if self.role == Role::ZooKeeper && too_few_without(&pods, &all, leader).is_some() {
                return;
            }
            let serving = |pod: &&String| ours.iter().any(|m| m.pod == **pod && m.ready);
            assert!(pods.iter().filter(serving).count() <= 1, "two at once: {pods:?}");
            if pods.iter().any(|pod| serving(&pod)) {
                let mut others = ours.iter().filter(|m| !pods.contains(&m.pod));
                assert!(others.all(|m| m.ready), "beside another absence: {ours:?}");
            }
            let had_quorum = self.has_quorum();
            for pod in pods {
                self.delete(&pod);
            }
            // Three masters with the quorum of five need all three: when they grow nobody is elected meanwhile, and
            // when they shrink the one that leads goes on (docs/originals.md, "Scaling").
            let between = self.pods.iter().any(|p| p.sized_for > self.size.members);
            if self.role == Role::ZooKeeper || !between {
                self.keeps_quorum(had_quorum);
            }
        }
    }

    /// What the operator did has not taken the quorum from those that serve.
    fn keeps_quorum(&self, had_quorum: bool) {
        assert!(
            !had_quorum || self.has_quorum(),
            "the quorum is given away: {self:?}"
        );
    }

    fn delete(&mut self, pod: &str) {
        for p in self.pods.iter_mut().filter(|p| format!("c-{}", p.ordinal) == pod) {
            p.terminating = true;
        }
    }

    fn progress(&mut self, which: usize) {
        let at = which % self.pods.len();
        if self.pods[at].terminating {
            let gone = self.pods.remove(at).ordinal;
            if gone >= self.size.members {
                self.disks.insert(gone, true);
            }
            self.workload();
            return;
        }
        // A member of ZooKeeper serves when as many run as it needs, a replica of the masters' log votes by itself.
        let runs = |p: &&Pod| p.started && !p.terminating && matches!(p.spec, Spec::Good(_));
        let run = self.pods.iter().filter(runs).count();
        let pod = &mut self.pods[at];
        if !pod.started {
            pod.started = pod.spec != Spec::NeverStarts;
        } else if matches!(pod.spec, Spec::Good(_)) {
            pod.ready |= self.role == Role::Masters || i32::try_from(run).unwrap() >= quorum(pod.sized_for);
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
            Event::Pass { late, between } => self.pass(*late, *between),
            Event::Progress(which) => self.progress(*which),
            Event::Fails(which) => {
                let at = which % self.pods.len();
                self.failed = Some(self.pods[at].ordinal);
            }
            Event::Recovers => self.failed = None,
            Event::LeaderKnown(known) => self.leader_known = *known,
            Event::HighestWins(wins) => self.highest_wins = *wins,
            Event::Wanted(wanted) => self.wanted = *wanted,
            Event::Spec(spec) => self.spec = *spec,
        }
        self.elect();
        self.check();
    }
}

fn event() -> impl Strategy<Value = Event> {
    let spec = prop_oneof![
        3 => (0..3_u8).prop_map(Spec::Good),
        1 => Just(Spec::NeverStarts),
        1 => Just(Spec::Fails),
        1 => Just(Spec::NeverServes),
    ];
    prop_oneof![
        12 => (any::<bool>(), prop::option::of(0..9_usize))
            .prop_map(|(late, between)| Event::Pass { late, between }),
        16 => (0..9_usize).prop_map(Event::Progress),
        2 => (0..9_usize).prop_map(Event::Fails),
        2 => Just(Event::Recovers),
        1 => any::<bool>().prop_map(Event::LeaderKnown),
        1 => any::<bool>().prop_map(Event::HighestWins),
        2 => prop_oneof![Just(3), Just(5), Just(7)].prop_map(Event::Wanted),
        2 => spec.prop_map(Event::Spec),
    ]
}

fn explore(role: Role, first: i32, events: &[Event]) {
    let mut world = World::new(role, first);
    for event in events {
        world.step(event);
    }
    // The trouble ends, and a bad spec is corrected.
    world.failed = None;
    world.leader_known = true;
    if !matches!(world.spec, Spec::Good(_)) {
        world.spec = Spec::Good(9);
    }
    for _ in 0..400 {
        world.step(&Event::Pass {
            late: false,
            between: None,
        });
        for pod in 0..world.pods.len() {
            world.step(&Event::Progress(pod));
        }
    }
    assert_eq!(
        world.size,
        Size::settled(world.wanted),
        "it does not arrive: {world:?}"
    );
    let members = world.view().members;
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
