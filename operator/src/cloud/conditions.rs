//! What the operator says of a cloud: the conditions of its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mesoscloud_crds::status::Leaders;

use super::component::Component;
use super::pod_trouble::Trouble;

/// The whole cloud serves as its spec says.
pub const READY: &str = "Ready";
/// The operator, or Kubernetes, is on the way to the spec (kstatus: in progress).
pub const RECONCILING: &str = "Reconciling";
/// Only a person can bring the cloud further (kstatus: failed).
pub const STALLED: &str = "Stalled";

/// Every reason a condition can have. `docs/conditions.md` explains each.
pub mod reason {
    /// Everything runs, updated, with leaders.
    pub const CLOUD_READY: &str = "CloudReady";
    /// The component serves.
    pub const COMPONENT_READY: &str = "ComponentReady";
    /// The cloud comes up for the first time.
    pub const CREATING: &str = "Creating";
    /// A change is being carried out, or something that failed is coming back.
    pub const PROGRESSING: &str = "Progressing";
    /// Members are missing or not ready.
    pub const COMPONENTS_NOT_READY: &str = "ComponentsNotReady";
    /// Members are ready but none leads.
    pub const NO_LEADER: &str = "NoLeader";
    /// Nothing is in the way.
    pub const NOT_STALLED: &str = "NotStalled";
    /// Nothing is left to do.
    pub const SETTLED: &str = "Settled";
    /// The spec cannot be carried out as it stands.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// Another cloud's slaves take the same ports of the nodes.
    pub const HOST_PORT_CONFLICT: &str = "HostPortConflict";
    /// Storage was enlarged but its class does not grow volumes.
    pub const VOLUME_EXPANSION_UNSUPPORTED: &str = "VolumeExpansionUnsupported";
    /// Too few replicas of the masters' log are left.
    pub const LOG_LOST: &str = "LogLost";
    /// The API server refused an object of the cloud.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// An image cannot be pulled.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// A container cannot be created from its spec.
    pub const CONTAINER_CONFIG_FAILED: &str = "ContainerConfigFailed";
    /// No node can run a pod.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// A program keeps ending.
    pub const CRASH_LOOP: &str = "CrashLoop";
    /// A disk is full.
    pub const DISK_FULL: &str = "DiskFull";
    /// A pod was put off its node.
    pub const EVICTED: &str = "Evicted";
    /// A program lacks a shared library.
    pub const MISSING_LIBRARY: &str = "MissingLibrary";
    /// A slave found its node unfit, for a reason this version does not know by name.
    pub const PREFLIGHT_FAILED: &str = "PreflightFailed";

    /// What `preflight` can find.
    const PREFLIGHT: [&str; 7] = [
        "NoDockerSocket",
        "DockerApiMismatch",
        "NoDockerClient",
        "NoSbinInit",
        "NoCgroupV1Cpu",
        "WorkDirNotWritable",
        MISSING_LIBRARY,
    ];

    /// The constant equal to a reason that `preflight` reported.
    pub fn preflight(reported: &str) -> &'static str {
        PREFLIGHT
            .into_iter()
            .find(|known| *known == reported)
            .unwrap_or(PREFLIGHT_FAILED)
    }
}

/// Something the operator will not do, and why: the running cloud stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The component it is about; `None` for the whole cloud.
    pub component: Option<Component>,
    /// One of [`reason`]'s constants.
    pub reason: &'static str,
    /// What is refused, why, and what can be done.
    pub message: String,
}

/// How far one component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The component.
    pub component: Component,
    /// Members that should run; `None` while nothing is known of it.
    pub desired: Option<i32>,
    /// Members that serve.
    pub ready: i32,
    /// Members that run the current spec.
    pub updated: i32,
    /// What is wrong with its pods.
    pub troubles: Vec<Trouble>,
    /// The change that is being carried out, or what it waits for.
    pub under_way: Option<String>,
}

impl Progress {
    fn serves(&self) -> bool {
        self.desired
            .is_some_and(|desired| self.ready >= desired && desired > 0)
    }

    fn is_done(&self) -> bool {
        let updated = self.desired.is_some_and(|desired| self.updated >= desired);
        self.serves() && updated && self.under_way.is_none()
    }
}

/// One condition before it is given its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Type of the condition.
    pub type_: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// One of [`reason`]'s constants.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
}

/// Judges a cloud. `was_ready` tells whether it has ever been ready, which is all the history that matters.
pub fn assess(progress: &[Progress], leaders: &Leaders, refusals: &[Refusal], was_ready: bool) -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for one in progress {
        let draft = component(one, refusals);
        // The three proxies share a condition: the worst of them is told.
        match drafts.iter_mut().find(|d| d.type_ == draft.type_) {
            Some(shared) if shared.holds => *shared = draft,
            Some(_) => {}
            None => drafts.push(draft),
        }
    }
    let done = progress.iter().all(Progress::is_done);
    let no_leader = [("Mesos master", &leaders.mesos), ("Marathon", &leaders.marathon)]
        .into_iter()
        .find_map(|(what, leader)| leader.is_none().then(|| format!("no {what} leads yet")));
    let obstacle = refusals.iter().map(|r| (r.reason, r.message.clone())).chain(
        progress
            .iter()
            .flat_map(|p| &p.troubles)
            .filter(|t| t.needs_person)
            .map(|t| (t.reason, t.message.clone())),
    );
    let obstacle = obstacle.into_iter().next();

    let not_ready = drafts.iter().find(|d| !d.holds).map(|d| d.message.clone());
    let ready = match (&obstacle, not_ready, &no_leader) {
        (Some((reason, message)), _, _) => draft(READY, false, reason, message.clone()),
        (None, Some(message), _) => draft(READY, false, reason::COMPONENTS_NOT_READY, message),
        (None, None, Some(message)) => draft(READY, false, reason::NO_LEADER, message.clone()),
        (None, None, None) if !done => draft(
            READY,
            false,
            reason::PROGRESSING,
            progress.iter().find_map(|p| p.under_way.as_ref()).map_or_else(
                || "serving, while a change is carried out".to_owned(),
                |what| format!("serving, while a change is carried out: {what}"),
            ),
        ),
        (None, None, None) => draft(
            READY,
            true,
            reason::CLOUD_READY,
            "every component serves".to_owned(),
        ),
    };
    // kstatus looks at Reconciling first, so it must not hide that only a person can help.
    let reconciling = if ready.holds {
        draft(RECONCILING, false, reason::SETTLED, String::new())
    } else if obstacle.is_some() {
        draft(
            RECONCILING,
            false,
            ready.reason,
            "waiting for a person: see Stalled".to_owned(),
        )
    } else {
        let reason = if was_ready {
            reason::PROGRESSING
        } else {
            reason::CREATING
        };
        draft(RECONCILING, true, reason, ready.message.clone())
    };
    let stalled = match obstacle {
        Some((reason, message)) => draft(STALLED, true, reason, message),
        None => draft(STALLED, false, reason::NOT_STALLED, String::new()),
    };
    [ready, reconciling, stalled].into_iter().chain(drafts).collect()
}

fn component(progress: &Progress, refusals: &[Refusal]) -> Draft {
    let Progress {
        component,
        desired,
        ready,
        updated,
        troubles,
        under_way,
    } = progress;
    let type_ = component.condition();
    if let Some(refusal) = refusals.iter().find(|r| r.component == Some(*component)) {
        return draft(type_, false, refusal.reason, refusal.message.clone());
    }
    if progress.serves() {
        let desired = desired.unwrap_or_default();
        let message = match under_way {
            _ if progress.is_done() => format!("{ready} of {desired} ready"),
            None => format!("{ready} of {desired} ready, {updated} of them updated"),
            Some(what) => format!("{ready} of {desired} ready; {what}"),
        };
        return draft(type_, true, reason::COMPONENT_READY, message);
    }
    match (troubles.iter().max_by_key(|t| t.needs_person), desired) {
        (Some(trouble), _) => {
            // A change that could not go on beside it.
            let held_up = under_way
                .as_ref()
                .filter(|_| *updated < desired.unwrap_or_default());
            let message = match held_up {
                None => trouble.message.clone(),
                Some(what) => format!("{} Until then: {what}", trouble.message),
            };
            draft(type_, false, trouble.reason, message)
        }
        (None, Some(0)) => draft(
            type_,
            false,
            reason::COMPONENTS_NOT_READY,
            match under_way {
                None => format!("{component}: no node is selected to run it"),
                Some(what) => format!("{component}: no node is selected to run it; {what}"),
            },
        ),
        (None, Some(desired)) => draft(
            type_,
            false,
            reason::COMPONENTS_NOT_READY,
            match under_way {
                None => format!("{component}: {ready} of {desired} ready"),
                Some(what) => format!("{component}: {ready} of {desired} ready; {what}"),
            },
        ),
        (None, None) => draft(
            type_,
            false,
            reason::COMPONENTS_NOT_READY,
            under_way
                .clone()
                .unwrap_or_else(|| format!("{component}: not created yet")),
        ),
    }
}

fn draft(type_: &'static str, holds: bool, reason: &'static str, message: String) -> Draft {
    Draft {
        type_,
        holds,
        reason,
        message,
    }
}

/// Gives drafts their generation and times: a condition keeps its transition time as long as its status stays,
/// so that an unchanged state is an unchanged status and nothing is written.
pub fn stamp(
    drafts: Vec<Draft>,
    previous: &[Condition],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let stamped = drafts.into_iter().map(|draft| {
        let status = if draft.holds { "True" } else { "False" };
        let since = previous
            .iter()
            .find(|c| c.type_ == draft.type_ && c.status == status)
            .map_or_else(|| now.clone(), |c| c.last_transition_time.clone());
        Condition {
            type_: draft.type_.to_owned(),
            status: status.to_owned(),
            reason: draft.reason.to_owned(),
            message: draft.message,
            observed_generation: generation,
            last_transition_time: since,
        }
    });
    stamped.collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use mesoscloud_crds::status::Leader;

    use super::*;

    fn progress(component: Component, ready: i32, updated: i32) -> Progress {
        Progress {
            component,
            desired: Some(3),
            ready,
            updated,
            troubles: Vec::new(),
            under_way: None,
        }
    }

    fn all(ready: i32, updated: i32) -> Vec<Progress> {
        Component::ALL.map(|c| progress(c, ready, updated)).into()
    }

    fn led() -> Leaders {
        let leader = Some(Leader::default());
        Leaders {
            mesos: leader.clone(),
            marathon: leader,
            zookeeper: None,
        }
    }

    fn trouble(needs_person: bool) -> Trouble {
        let reason = if needs_person {
            reason::IMAGE_PULL_FAILED
        } else {
            reason::CRASH_LOOP
        };
        Trouble {
            component: Component::Master,
            reason,
            message: "x".into(),
            needs_person,
        }
    }

    /// (Ready, Reconciling, Stalled) and the reason of Ready.
    fn triple(
        progress: &[Progress],
        leaders: &Leaders,
        refusals: &[Refusal],
    ) -> (bool, bool, bool, &'static str) {
        let drafts = assess(progress, leaders, refusals, true);
        let holds = |type_| drafts.iter().find(|d| d.type_ == type_).unwrap().holds;
        (holds(READY), holds(RECONCILING), holds(STALLED), drafts[0].reason)
    }

    #[test]
    fn the_triple_is_what_kstatus_expects() {
        let mut stuck = all(3, 3);
        stuck[1] = Progress {
            troubles: vec![trouble(true)],
            ..progress(Component::Master, 0, 3)
        };
        let mut noisy = all(3, 3);
        noisy[1] = Progress {
            troubles: vec![trouble(false)],
            ..progress(Component::Master, 0, 3)
        };
        let refusal = Refusal {
            component: Some(Component::Slave),
            reason: reason::HOST_PORT_CONFLICT,
            message: "y".into(),
        };
        let table = [
            (
                all(3, 3),
                led(),
                vec![],
                (true, false, false, reason::CLOUD_READY),
            ),
            (
                all(2, 3),
                led(),
                vec![],
                (false, true, false, reason::COMPONENTS_NOT_READY),
            ),
            (
                all(3, 2),
                led(),
                vec![],
                (false, true, false, reason::PROGRESSING),
            ),
            (
                all(3, 3),
                Leaders::default(),
                vec![],
                (false, true, false, reason::NO_LEADER),
            ),
            (
                stuck,
                led(),
                vec![],
                (false, false, true, reason::IMAGE_PULL_FAILED),
            ),
            (
                noisy,
                led(),
                vec![],
                (false, true, false, reason::COMPONENTS_NOT_READY),
            ),
            (
                all(3, 3),
                led(),
                vec![refusal],
                (false, false, true, reason::HOST_PORT_CONFLICT),
            ),
        ];
        for (progress, leaders, refusals, expected) in table {
            assert_eq!(triple(&progress, &leaders, &refusals), expected);
        }
    }

    #[test]
    fn the_proxies_share_the_worst_condition() {
        let mut state = all(3, 3);
        state[4].ready = 1;
        let drafts = assess(&state, &led(), &[], true);
        let proxies: Vec<_> = drafts.iter().filter(|d| d.type_ == "ProxiesReady").collect();
        assert_eq!(proxies.len(), 1);
        assert!(!proxies[0].holds && proxies[0].message.contains("marathon-proxy"));
    }

    #[test]
    fn an_unchanged_state_keeps_its_times() {
        let (then, now) = (
            Time(Timestamp::from_second(1).unwrap()),
            Time(Timestamp::from_second(2).unwrap()),
        );
        let drafts = |ready| assess(&all(ready, 3), &led(), &[], true);
        let first = stamp(drafts(3), &[], Some(1), &then);
        assert_eq!(stamp(drafts(3), &first, Some(1), &now), first);
        let changed = stamp(drafts(2), &first, Some(1), &now);
        assert_eq!(changed[0].last_transition_time, now);
        let stalled = changed.iter().find(|c| c.type_ == STALLED).unwrap();
        assert_eq!(stalled.last_transition_time, then);
    }
}
