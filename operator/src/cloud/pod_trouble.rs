//! What is wrong with a pod, in words a person can act on.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use serde::Deserialize;

use super::component::Component;
use super::conditions::reason;

/// Restarts after which a program that keeps ending needs a person. Before that it is start-up noise: Mesos
/// and Marathon end by themselves until ZooKeeper serves.
const PATIENCE_RESTARTS: i32 = 5;

/// One thing wrong with one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The component whose pod it is.
    pub component: Component,
    /// One of [`reason`]'s constants.
    pub reason: &'static str,
    /// What is wrong, where, and what can be done about it.
    pub message: String,
    /// Whether it stays so until a person does something.
    pub needs_person: bool,
}

/// What `preflight` writes when a slave cannot start on its node. The same shape on both sides.
#[derive(Deserialize)]
struct PreflightReport {
    reason: String,
    message: String,
    remedy: String,
}

/// The most telling trouble of `pod`, or `None` when nothing is wrong that waiting would not mend.
pub fn trouble(component: Component, pod: &Pod) -> Option<Trouble> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref()?;
    let found = |reason, needs_person, what: String| {
        Some(Trouble {
            component,
            reason,
            needs_person,
            message: format!("{component} pod {name}: {what}"),
        })
    };

    if status.phase.as_deref() == Some("Failed") && status.reason.as_deref() == Some("Evicted") {
        let message = status.message.as_deref().unwrap_or("no reason given");
        let reason = if mentions_disk(message) {
            reason::DISK_FULL
        } else {
            reason::EVICTED
        };
        return found(
            reason,
            true,
            format!("evicted from its node: {message} Free the resource on the node."),
        );
    }
    let scheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled");
    if let Some(condition) = scheduled.filter(|c| c.reason.as_deref() == Some("Unschedulable")) {
        let why = condition.message.as_deref().unwrap_or("no node fits");
        return found(
            reason::UNSCHEDULABLE,
            true,
            format!(
                "no node can run it: {why} Add a node, or change resources, nodeSelector, tolerations or affinity."
            ),
        );
    }
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    containers
        .filter_map(container_trouble)
        .max_by_key(|(_, needs_person, _)| *needs_person)
        .and_then(|(reason, needs_person, what)| found(reason, needs_person, what))
}

fn container_trouble(container: &ContainerStatus) -> Option<(&'static str, bool, String)> {
    let (name, image) = (&container.name, &container.image);
    let waiting = container.state.as_ref().and_then(|s| s.waiting.as_ref());
    let why = waiting.and_then(|w| w.message.as_deref()).unwrap_or_default();
    match waiting.and_then(|w| w.reason.as_deref()) {
        Some(
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "RegistryUnavailable",
        ) => {
            return Some((
                reason::IMAGE_PULL_FAILED,
                true,
                format!("image {image} cannot be pulled: {why} Correct the image, or give imagePullSecrets."),
            ));
        }
        Some("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            return Some((
                reason::CONTAINER_CONFIG_FAILED,
                true,
                format!(
                    "container {name} cannot be created: {why} Correct env, podOverrides or what they refer to."
                ),
            ));
        }
        _ => {}
    }
    let ended = [&container.state, &container.last_state]
        .into_iter()
        .find_map(|state: &Option<ContainerState>| state.as_ref()?.terminated.as_ref())
        .filter(|end| end.exit_code != 0 && !container.ready)?;
    Some(ended_trouble(container, ended))
}

fn ended_trouble(
    container: &ContainerStatus,
    ended: &ContainerStateTerminated,
) -> (&'static str, bool, String) {
    let said = ended.message.as_deref().unwrap_or_default().trim();
    if let Ok(report) = serde_json::from_str::<PreflightReport>(said) {
        return (
            reason::preflight(&report.reason),
            true,
            format!("{} Remedy: {}", report.message, report.remedy),
        );
    }
    let name = &container.name;
    let last_line = said.lines().next_back().unwrap_or("it said nothing");
    if let Some(line) = said.lines().find(|line| mentions_disk(line)) {
        let what =
            format!("container {name} found its disk full: {line} Enlarge storage.size, or free the disk.");
        return (reason::DISK_FULL, true, what);
    }
    if let Some(line) = said
        .lines()
        .find(|line| line.contains("error while loading shared libraries"))
    {
        let what = format!("container {name} lacks a library: {line} Use an image that has it.");
        return (reason::MISSING_LIBRARY, true, what);
    }
    (
        reason::CRASH_LOOP,
        container.restart_count >= PATIENCE_RESTARTS,
        format!(
            "container {name} ended with exit code {} after {} restarts: {last_line}",
            ended.exit_code, container.restart_count
        ),
    )
}

fn mentions_disk(text: &str) -> bool {
    [
        "No space left on device",
        "ephemeral-storage",
        "ephemeral local storage",
        "DiskPressure",
    ]
    .iter()
    .any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "c-zk-0"}, "status": status})).unwrap()
    }

    fn container(state: Value, last: Value, restarts: i32) -> Value {
        json!({"containerStatuses": [{"name": "zookeeper", "image": "zk:1", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last}]})
    }

    fn ended(code: i32, message: &str) -> Value {
        json!({"terminated": {"exitCode": code, "message": message}})
    }

    #[test]
    fn each_trouble_has_its_reason_and_says_where() {
        let backoff = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let preflight = r#"{"reason":"NoDockerSocket","message":"no socket","remedy":"start Docker"}"#;
        let table: Vec<(Value, &str, bool, &str)> = vec![
            (
                container(
                    json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found."}}),
                    json!({}),
                    0,
                ),
                reason::IMAGE_PULL_FAILED,
                true,
                "image zk:1",
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/1 nodes are available."}]}),
                reason::UNSCHEDULABLE,
                true,
                "0/1 nodes",
            ),
            (
                container(
                    backoff.clone(),
                    ended(1, "java.io.IOException: No space left on device"),
                    2,
                ),
                reason::DISK_FULL,
                true,
                "storage.size",
            ),
            (
                container(
                    backoff.clone(),
                    ended(127, "x: error while loading shared libraries: libcurl.so"),
                    1,
                ),
                reason::MISSING_LIBRARY,
                true,
                "libcurl",
            ),
            (
                container(backoff.clone(), ended(1, "first\nlast"), 1),
                reason::CRASH_LOOP,
                false,
                "last",
            ),
            (
                container(backoff.clone(), ended(1, ""), 5),
                reason::CRASH_LOOP,
                true,
                "exit code 1",
            ),
            (
                container(ended(1, preflight), json!({}), 1),
                "NoDockerSocket",
                true,
                "start Docker",
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}),
                reason::DISK_FULL,
                true,
                "ephemeral-storage",
            ),
        ];
        for (status, reason, needs_person, words) in table {
            let found = trouble(Component::ZooKeeper, &pod(status.clone()))
                .unwrap_or_else(|| panic!("none in {status}"));
            assert_eq!(
                (found.reason, found.needs_person),
                (reason, needs_person),
                "{status}"
            );
            assert!(found.message.contains(words), "{}", found.message);
            assert!(
                found.message.starts_with("zookeeper pod c-zk-0: "),
                "{}",
                found.message
            );
        }
    }

    #[test]
    fn a_pod_that_starts_or_ended_well_is_no_trouble() {
        for status in [
            json!({}),
            container(json!({"waiting": {"reason": "ContainerCreating"}}), json!({}), 0),
            container(json!({"running": {}}), json!({}), 0),
            container(ended(0, ""), json!({}), 0),
        ] {
            assert_eq!(trouble(Component::ZooKeeper, &pod(status)), None);
        }
        let recovered = json!({"containerStatuses": [{"name": "zookeeper", "image": "zk:1", "imageID": "", "ready": true,
            "restartCount": 7, "state": {"running": {}}, "lastState": ended(1, "No space left on device")}]});
        assert_eq!(trouble(Component::ZooKeeper, &pod(recovered)), None);
    }
}
