//! Carries a changed number of ZooKeeper members or masters to a running cloud, by the rules in
//! [`crate::cloud::scaling`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt as _};
use mesoscloud_crds::status::Leaders;

use super::Context;
use super::dereference::References;
use super::rollout::{Error, Target, leader_of, list, member, replace, seen, target};
use super::stores::{component_of, named, of_cloud};
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::names::ordinal;
use crate::cloud::rollout::Member;
use crate::cloud::scaling::{Seen, Size, Step, masters, zookeeper};

/// Decides what size ZooKeeper and the masters are built for in this pass: a step nearer to what the spec says,
/// or what they are. Masters wait for ZooKeeper. Returns what is under way, by component.
///
/// # Errors
/// When the API server does not answer.
pub async fn resize(
    ctx: &Context,
    cloud: &mut ValidatedCloud,
    references: &References,
    leaders: &Leaders,
) -> Result<BTreeMap<Component, String>, Error> {
    let mut under_way = BTreeMap::new();
    for component in [Component::ZooKeeper, Component::Master] {
        // The first creation is one step.
        let Some(size) = references.sizes.get(&component).copied() else {
            continue;
        };
        let wanted = match component {
            Component::ZooKeeper => cloud.spec.zookeeper.replicas,
            _ => cloud.spec.masters.replicas,
        };
        let step = if under_way.is_empty() {
            next(ctx, cloud, component, size, wanted, leaders).await?
        } else if size == Size::settled(wanted) {
            Step::Done
        } else {
            Step::Wait("ZooKeeper comes first".to_owned())
        };
        let becomes = match &step {
            Step::Resize(size) => *size,
            _ => size,
        };
        cloud.sizes.insert(component, becomes);
        match component {
            Component::ZooKeeper => cloud.spec.zookeeper.replicas = becomes.members,
            _ => cloud.spec.masters.replicas = becomes.members,
        }
        let what = match step {
            Step::Done => continue,
            Step::Resize(to) if to.members != size.members => {
                format!("{} members become {}", size.members, to.members)
            }
            Step::Resize(to) => format!("members are told that they will be {}", to.sized_for),
            Step::DeleteDisk(n) => {
                delete_disk(ctx, cloud, component, n).await?;
                format!("the disk that an earlier member {n} left is deleted")
            }
            Step::HandOver(pod) => format!("{pod} hands over before it goes"),
            Step::Wait(why) => {
                under_way.insert(component, on_the_way(component, wanted, &why));
                continue;
            }
        };
        tracing::info!(
            namespace = %cloud.id.namespace,
            cloud = %cloud.id.name,
            %component,
            wanted,
            what,
            "scaling"
        );
        under_way.insert(component, on_the_way(component, wanted, &what));
    }
    Ok(under_way)
}

fn on_the_way(component: Component, wanted: i32, what: &str) -> String {
    format!("{component}: on the way to {wanted} members: {what}")
}

async fn next(
    ctx: &Context,
    cloud: &ValidatedCloud,
    component: Component,
    size: Size,
    wanted: i32,
    leaders: &Leaders,
) -> Result<Step, Error> {
    let set = named(&ctx.stores.stateful_sets, &cloud.id, &cloud.id.object(component));
    let Some(target) = set.as_deref().and_then(target) else {
        return Ok(Step::Wait("the last step is being taken up".to_owned()));
    };
    let pods = seen(ctx, cloud, component, &target);
    let left_over = left_over(ctx, cloud, component, &pods);
    let rule = |members: &[Member]| {
        let seen = Seen {
            size,
            members,
            leader: leader_of(leaders, component),
            left_over: &left_over,
        };
        match component {
            Component::ZooKeeper => zookeeper(&seen, wanted),
            _ => masters(&seen, wanted),
        }
    };
    let step = rule(&pods);
    if matches!(step, Step::Done | Step::Wait(_)) {
        return Ok(step);
    }
    // What is changed for good is decided on what is, not on what was seen.
    let fresh = list(ctx, cloud, component).await?;
    let members = fresh.iter().map(|p| member(p, &target)).collect::<Vec<_>>();
    let step = rule(&members);
    if let Step::HandOver(pod) = &step
        && let Some(pod) = fresh.iter().find(|p| p.name_any() == *pod)
    {
        replace(ctx, cloud, pod).await?;
    }
    Ok(step)
}

/// Disks of members whose pods are gone, by their ordinals.
fn left_over(ctx: &Context, cloud: &ValidatedCloud, component: Component, pods: &[Member]) -> Vec<i32> {
    let claims = of_cloud(&ctx.stores.claims, &cloud.id);
    let claims = claims
        .iter()
        .filter(|c| component_of(c.as_ref()) == Some(component));
    let ordinals = claims.filter_map(|claim| ordinal(&claim.name_any()));
    ordinals
        .filter(|n| pods.iter().all(|pod| ordinal(&pod.pod) != Some(*n)))
        .collect()
}

async fn delete_disk(
    ctx: &Context,
    cloud: &ValidatedCloud,
    component: Component,
    member: i32,
) -> Result<(), Error> {
    let claims = of_cloud(&ctx.stores.claims, &cloud.id);
    let claim = claims
        .iter()
        .find(|c| component_of(c.as_ref()) == Some(component) && ordinal(&c.name_any()) == Some(member));
    let Some(claim) = claim.filter(|c| c.metadata.deletion_timestamp.is_none()) else {
        return Ok(());
    };
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: claim.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let name = claim.name_any();
    match Api::<PersistentVolumeClaim>::namespaced(ctx.client.clone(), &cloud.id.namespace)
        .delete(&name, &params)
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(Error::Disk {
            claim: name,
            source: Box::new(source),
        }),
    }
}

impl Target {
    /// Of a set that is changing its size: how many of its members a rollout looks after. A ZooKeeper member that
    /// is on nobody's list any more is left as it is until it goes.
    pub fn looked_after(component: Component, size: Size) -> i32 {
        match component {
            Component::ZooKeeper => size.sized_for.min(size.members),
            _ => size.members,
        }
    }
}
