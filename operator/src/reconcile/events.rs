//! What a person would want to have been told: Kubernetes events about a cloud.

use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};
use mesoscloud_crds::MesosCloudStatus;
use mesoscloud_crds::status::{Leader, Members};

use crate::cloud::conditions::{READY, STALLED};

/// Longest note of an event, in bytes (the API server's limit is 1024).
const NOTE_LIMIT: usize = 1000;

/// Tells of everything that changed from one status to the next.
pub async fn tell(
    recorder: &Recorder,
    about: &impl Resource<DynamicType = ()>,
    before: &MesosCloudStatus,
    after: &MesosCloudStatus,
) {
    for (reason, warns, note) in changes(before, after) {
        publish(recorder, about, reason, warns, note).await;
    }
}

/// Publishes one event. That it could not be published is only logged: nothing depends on it.
pub async fn publish(
    recorder: &Recorder,
    about: &impl Resource<DynamicType = ()>,
    reason: &str,
    warns: bool,
    mut note: String,
) {
    while note.len() > NOTE_LIMIT {
        note.pop();
    }
    let event = Event {
        type_: if warns {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: reason.to_owned(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, &about.object_ref(&())).await {
        tracing::warn!(%error, reason, "event could not be published");
    }
}

/// The events between two statuses: reason, whether it warns, note.
fn changes(before: &MesosCloudStatus, after: &MesosCloudStatus) -> Vec<(&'static str, bool, String)> {
    let mut events = Vec::new();
    for (what, old, new) in [
        ("Mesos", &before.leaders.mesos, &after.leaders.mesos),
        ("Marathon", &before.leaders.marathon, &after.leaders.marathon),
        ("ZooKeeper", &before.leaders.zookeeper, &after.leaders.zookeeper),
    ] {
        let name = |leader: &Option<Leader>| leader.as_ref().map(|l| l.name.clone());
        match (name(old), name(new)) {
            (Some(old), Some(new)) if old != new => {
                events.push((
                    "LeaderChanged",
                    false,
                    format!("{what} leader changed from {old} to {new}"),
                ));
            }
            (None, Some(new)) => events.push(("LeaderElected", false, format!("{new} leads {what}"))),
            (Some(old), None) => events.push((
                "LeaderLost",
                true,
                format!("{old} no longer leads {what}, nobody does"),
            )),
            _ => {}
        }
    }
    for (what, old, new) in [
        ("ZooKeeper", &before.zookeeper, &after.zookeeper),
        ("masters", &before.masters, &after.masters),
        ("Marathon", &before.marathon, &after.marathon),
        ("slaves", &before.slaves, &after.slaves),
        ("proxies", &before.proxies, &after.proxies),
    ] {
        let done = |m: &Members| m.updated == m.desired;
        if old.desired > 0 && done(old) && !done(new) {
            events.push((
                "RolloutStarted",
                false,
                format!(
                    "{what}: a change is carried out, {} of {} updated",
                    new.updated, new.desired
                ),
            ));
        } else if old.desired > 0 && !done(old) && done(new) {
            events.push((
                "RolloutFinished",
                false,
                format!("{what}: all {} updated", new.desired),
            ));
        }
    }
    let condition = |status: &MesosCloudStatus, type_| {
        status
            .conditions
            .iter()
            .find(|c| c.type_ == type_ && c.status == "True")
            .map(|c| (c.reason.clone(), c.message.clone()))
    };
    match (condition(before, STALLED), condition(after, STALLED)) {
        (old, Some((reason, message))) if old.as_ref().map(|(r, _)| r) != Some(&reason) => {
            events.push(("Stalled", true, format!("{reason}: {message}")));
        }
        (Some((reason, _)), None) => {
            events.push(("Resumed", false, format!("no longer stalled by {reason}")));
        }
        _ => {}
    }
    match (condition(before, READY), condition(after, READY)) {
        (None, Some(_)) => events.push(("Ready", false, "every component serves".to_owned())),
        (Some(_), None) => {
            let why = after
                .conditions
                .iter()
                .find(|c| c.type_ == READY)
                .map(|c| c.message.clone());
            events.push(("NotReady", true, why.unwrap_or_default()));
        }
        _ => {}
    }
    events
}

#[cfg(test)]
mod tests {
    use mesoscloud_crds::status::Leaders;

    use super::*;

    fn led_by(name: Option<&str>) -> MesosCloudStatus {
        let mesos = name.map(|n| Leader {
            name: n.into(),
            address: String::new(),
        });
        MesosCloudStatus {
            leaders: Leaders {
                mesos,
                ..Leaders::default()
            },
            ..MesosCloudStatus::default()
        }
    }

    #[test]
    fn a_change_of_leader_is_told_once() {
        let table = [
            (Some("a"), Some("b"), Some("Mesos leader changed from a to b")),
            (None, Some("b"), Some("b leads Mesos")),
            (Some("a"), None, Some("a no longer leads Mesos, nobody does")),
            (Some("a"), Some("a"), None),
        ];
        for (old, new, expected) in table {
            let events = changes(&led_by(old), &led_by(new));
            assert_eq!(events.first().map(|(_, _, note)| note.as_str()), expected);
        }
    }

    #[test]
    fn a_rollout_starts_and_finishes() {
        let updated = |updated| MesosCloudStatus {
            masters: Members {
                desired: 3,
                ready: 3,
                updated,
                summary: String::new(),
            },
            ..MesosCloudStatus::default()
        };
        for (from, to, expected) in [
            (3, 0, Some("RolloutStarted")),
            (0, 2, None),
            (2, 3, Some("RolloutFinished")),
        ] {
            let events = changes(&updated(from), &updated(to));
            assert_eq!(events.first().map(|(reason, _, _)| *reason), expected);
        }
    }
}
