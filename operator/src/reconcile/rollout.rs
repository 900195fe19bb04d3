//! Carries a changed spec to the members of ZooKeeper, masters and Marathon, by the rule in
//! [`crate::cloud::rollout`].

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::{Api, ResourceExt as _};
use mesoscloud_crds::status::Leaders;
use thiserror::Error;

use super::Context;
use super::build::{Applied, Resources};
use super::stores::{component_of, of_cloud};
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::names::{COMPONENT_LABEL, INSTANCE_LABEL, SIZED_FOR_ANNOTATION, ordinal};
use crate::cloud::rollout::{Member, Step, idle, next_step};
use crate::cloud::scaling::{Size, too_few_without};

const REVISION_LABEL: &str = "controller-revision-hash";
/// A program that ran so long has served; one that ends sooner is broken, and its restarts are rightly put off.
const SERVED: SignedDuration = SignedDuration::from_secs(20);
/// A member that has not served for so long will hardly do so by itself: each is back within seconds.
const GIVEN_UP: SignedDuration = SignedDuration::from_secs(60);

/// Why a member could not be replaced.
#[derive(Debug, Error)]
pub enum Error {
    /// The members could not be read.
    #[error("failed to list the pods of {component}: {source}")]
    List {
        /// The component.
        component: Component,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// It could not be looked up whether a component has its workload.
    #[error("failed to get the StatefulSet of {component}: {source}")]
    Set {
        /// The component.
        component: Component,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The disk of a former member could not be marked or deleted.
    #[error("failed to put the left-over claim {claim} away: {source}")]
    Disk {
        /// The claim.
        claim: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// A member could not be deleted.
    #[error("failed to delete pod {pod}: {source}")]
    Delete {
        /// The pod.
        pod: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

/// Takes the next step of a rollout: ZooKeeper before masters before Marathon, and none of a later component
/// while an earlier one is under way. Returns what it waits for, if it does.
///
/// # Errors
/// When the API server does not answer.
pub async fn advance(
    ctx: &Context,
    cloud: &ValidatedCloud,
    applied: &Resources<Applied>,
    leaders: &Leaders,
) -> Result<Option<(Component, String)>, Error> {
    let mut waiting: Option<(Component, String)> = None;
    for component in [Component::ZooKeeper, Component::Master, Component::Marathon] {
        let Some(set) = applied
            .stateful_sets
            .iter()
            .find(|s| component_of(*s) == Some(component))
        else {
            continue;
        };
        let leader = leader_of(leaders, component);
        let Some(target) = target(set) else {
            // Kubernetes has not looked at the new spec yet; it will tell.
            let why = format!("{component}: the change is being taken up");
            return Ok(Some((component, why)));
        };
        let size = cloud.sizes.get(&component).copied();
        let size = size.unwrap_or_else(|| Size::settled(target.replicas));
        let replicas = Target::looked_after(component, size);
        let ours = |m: &Member| {
            let left_alone = replicas..size.members;
            m.fails() || ordinal(&m.pod).is_none_or(|n| !left_alone.contains(&n))
        };
        let mut seen = seen(ctx, cloud, component, &target);
        seen.retain(ours);
        let mut step = next_step(&seen, replicas, leader);
        if matches!(step, Step::Replace(_)) {
            // What is destroyed is decided on what is, not on what was seen.
            let fresh = list(ctx, cloud, component).await?;
            let all: Vec<_> = fresh.iter().map(|p| member(p, &target)).collect();
            let members: Vec<_> = all.iter().filter(|m| ours(m)).cloned().collect();
            step = next_step(&members, replicas, leader);
            if let Step::Replace(pods) = &step
                && component == Component::ZooKeeper
                && let Some(why) = too_few_without(pods, &all, leader)
            {
                step = Step::Wait(why);
            }
            if let Step::Replace(pods) = &step {
                if waiting.is_some() && idle(&members).is_empty() {
                    continue;
                }
                for pod in fresh.iter().filter(|p| pods.contains(&p.name_any())) {
                    replace(ctx, cloud, pod).await?;
                }
            }
        }
        let why = match step {
            Step::Done if seen.iter().filter(|m| m.ready).count() >= present(replicas) => continue,
            Step::Done => "not every member serves".to_owned(),
            Step::Replace(pods) => format!("replacing {}", pods.join(", ")),
            Step::Wait(why) => why,
        };
        waiting = waiting.or(Some((component, format!("{component}: {why}"))));
    }
    Ok(waiting)
}

/// How many pods a set of this many replicas has.
pub fn present(replicas: i32) -> usize {
    usize::try_from(replicas).unwrap_or_default()
}

/// Name of the pod that leads a component.
pub fn leader_of(leaders: &Leaders, component: Component) -> Option<&str> {
    let leader = match component {
        Component::ZooKeeper => &leaders.zookeeper,
        Component::Master => &leaders.mesos,
        _ => &leaders.marathon,
    };
    leader.as_ref().map(|l| l.name.as_str())
}

/// What the members of a set should become.
pub struct Target {
    /// Members.
    pub replicas: i32,
    /// Name of the current revision.
    pub revision: String,
}

/// What the set's members should become; `None` until Kubernetes has looked at its current spec.
pub fn target(set: &StatefulSet) -> Option<Target> {
    let status = set.status.as_ref()?;
    (status.observed_generation == set.metadata.generation).then_some(())?;
    Some(Target {
        replicas: set.spec.as_ref()?.replicas?,
        revision: status.update_revision.clone()?,
    })
}

/// The pods of a component that were last seen, as the rule sees them.
pub fn seen(ctx: &Context, cloud: &ValidatedCloud, component: Component, target: &Target) -> Vec<Member> {
    of_cloud(&ctx.stores.pods, &cloud.id)
        .iter()
        .filter(|p| component_of(p.as_ref()) == Some(component))
        .map(|p| member(p, target))
        .collect()
}

/// A pod as the rule sees it.
pub fn member(pod: &Pod, target: &Target) -> Member {
    Member {
        pod: pod.name_any(),
        updated: pod.labels().get(REVISION_LABEL) == Some(&target.revision),
        ready: is_ready(pod),
        started: has_started(pod),
        put_off: is_put_off(pod),
        failing: is_failing(pod),
        given_up: is_given_up(pod),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        sized_for: pod
            .annotations()
            .get(SIZED_FOR_ANNOTATION)
            .and_then(|n| n.parse().ok()),
    }
}

/// Whether the pod serves.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|c| c.type_ == "Ready" && c.status == "True")
}

/// The state of the component's program in this pod.
pub fn program(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let name = component_of(pod).map(Component::container);
    let containers = pod.status.iter().flat_map(|s| s.container_statuses.iter());
    containers
        .flatten()
        .filter(move |c| Some(c.name.as_str()) == name)
}

/// Whether the kubelet waits before it starts a program again that ran for [`SERVED`]. One that lacks memory would in
/// the next pod too.
fn is_put_off(pod: &Pod) -> bool {
    let lacks_memory = |c: &ContainerStatus| {
        let ended = c.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        ended.and_then(|e| e.reason.as_deref()) == Some("OOMKilled")
    };
    program(pod).any(|c| waits(c) && !lacks_memory(c) && last_run(c).is_some_and(|ran| ran >= SERVED))
}

/// Whether the program has ended again, and soon. Once is no habit.
fn is_failing(pod: &Pod) -> bool {
    let again = |c: &ContainerStatus| waits(c) || c.restart_count > 1;
    !is_ready(pod) && program(pod).any(|c| again(c) && last_run(c).is_some_and(|ran| ran < SERVED))
}

/// Whether the kubelet waits before it starts the program again.
fn waits(program: &ContainerStatus) -> bool {
    let waiting = program.state.as_ref().and_then(|s| s.waiting.as_ref());
    waiting.and_then(|w| w.reason.as_deref()) == Some("CrashLoopBackOff")
}

/// How long the program ran the last time it ended.
fn last_run(program: &ContainerStatus) -> Option<SignedDuration> {
    let ended = program.last_state.as_ref()?.terminated.as_ref()?;
    let (from, to) = (ended.started_at.as_ref()?, ended.finished_at.as_ref()?);
    Some(to.0.duration_since(from.0))
}

/// Whether it has not served for [`GIVEN_UP`].
fn is_given_up(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let mut unready = conditions.filter(|c| c.type_ == "Ready" && c.status != "True");
    let since = unready.next().and_then(|c| c.last_transition_time.clone());
    since.is_some_and(|since| Timestamp::now().duration_since(since.0) >= GIVEN_UP)
}

/// Whether the component's program runs or ran in this pod.
pub fn has_started(pod: &Pod) -> bool {
    if component_of(pod).is_none() {
        return true;
    }
    program(pod).any(|c| {
        let ran = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
            state
                .as_ref()
                .is_some_and(|s| s.running.is_some() || s.terminated.is_some())
        };
        ran(&c.state) || ran(&c.last_state)
    })
}

/// The pods of a component as they are.
///
/// # Errors
/// When the API server does not answer.
pub async fn list(ctx: &Context, cloud: &ValidatedCloud, component: Component) -> Result<Vec<Pod>, Error> {
    let labels = format!("{INSTANCE_LABEL}={},{COMPONENT_LABEL}={component}", cloud.id.name);
    let pods = Api::<Pod>::namespaced(ctx.client.clone(), &cloud.id.namespace)
        .list(&ListParams::default().labels(&labels))
        .await
        .map_err(|e| Error::List {
            component,
            source: Box::new(e),
        })?;
    Ok(pods.items)
}

/// Deletes this pod and no later one of its name.
///
/// # Errors
/// When the API server does not answer.
pub async fn replace(ctx: &Context, cloud: &ValidatedCloud, pod: &Pod) -> Result<(), Error> {
    let name = pod.name_any();
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: pod.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    tracing::info!(namespace = %cloud.id.namespace, pod = %name, "replacing a member");
    match Api::<Pod>::namespaced(ctx.client.clone(), &cloud.id.namespace)
        .delete(&name, &params)
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(Error::Delete {
            pod: name,
            source: Box::new(source),
        }),
    }
}
