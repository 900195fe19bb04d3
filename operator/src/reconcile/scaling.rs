//! Carries a changed number of ZooKeeper members or masters to a running cloud, by the rules in
//! [`crate::cloud::scaling`].

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt as _};
use mesoscloud_crds::status::Leaders;
use serde_json::json;

use super::Context;
use super::dereference::{References, size_of};
use super::rollout::{Error, Target, leader_of, list, member, replace, seen, target};
use super::stores::{component_of, named, of_cloud};
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::conditions::{Refusal, reason};
use crate::cloud::names::{COMPONENT_LABEL, CloudId, INSTANCE_LABEL, LEFT_OVER_ANNOTATION, ordinal};
use crate::cloud::rollout::Member;
use crate::cloud::scaling::{Seen, Size, Step, beginning, masters, zookeeper};

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
        let spec = match component {
            Component::ZooKeeper => cloud.spec.zookeeper.replicas,
            _ => cloud.spec.masters.replicas,
        };
        let disks = disks(ctx, cloud, component);
        let live = match references.sizes.get(&component) {
            // The disks of a set that was just made may be seen before the set.
            None if !disks.is_empty() => unseen(ctx, cloud, component).await?,
            known => known.copied(),
        };
        let size = live.unwrap_or_else(|| beginning(component, &disks, spec));
        let mut wanted = spec;
        if (size.members == 1) != (spec == 1) {
            cloud.refusals.push(from_or_to_one(cloud, component, size, spec));
            wanted = size.members;
        }
        if live.is_some() {
            mark_left_over(ctx, cloud, component, size).await?;
        }
        // The first creation is one step.
        let step = if live.is_none() {
            Step::Done
        } else if under_way.is_empty() {
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

/// What the set of a component was made for that is not among those that were seen, if it is there.
async fn unseen(ctx: &Context, cloud: &ValidatedCloud, component: Component) -> Result<Option<Size>, Error> {
    let set = Api::<StatefulSet>::namespaced(ctx.client.clone(), &cloud.id.namespace)
        .get_opt(&cloud.id.object(component))
        .await;
    let set = set.map_err(|source| Error::Set {
        component,
        source: Box::new(source),
    })?;
    Ok(set.as_ref().and_then(size_of))
}

/// The disks that a former life of the cloud has left to members it still had, by their ordinals.
fn disks(ctx: &Context, cloud: &ValidatedCloud, component: Component) -> Vec<i32> {
    let claims = claims(ctx, cloud, component).into_iter();
    // One that has an owner goes with it.
    let stays = |claim: &Arc<PersistentVolumeClaim>| {
        claim.metadata.deletion_timestamp.is_none()
            && claim.owner_references().is_empty()
            && !claim.annotations().contains_key(LEFT_OVER_ANNOTATION)
    };
    let stay = claims.filter(stays);
    stay.filter_map(|claim| ordinal(&claim.name_any())).collect()
}

/// Writes on the claims of members that were taken away that they are: a cloud that is deleted and made anew must not
/// take them up.
async fn mark_left_over(
    ctx: &Context,
    cloud: &ValidatedCloud,
    component: Component,
    size: Size,
) -> Result<(), Error> {
    for claim in claims(ctx, cloud, component) {
        let name = claim.name_any();
        let is_current = ordinal(&name).is_none_or(|n| n < size.members);
        if is_current || claim.annotations().contains_key(LEFT_OVER_ANNOTATION) {
            continue;
        }
        let mark = json!({"metadata": {"annotations": {LEFT_OVER_ANNOTATION: "true"}, "uid": claim.uid()}});
        match Api::<PersistentVolumeClaim>::namespaced(ctx.client.clone(), &cloud.id.namespace)
            .patch(&name, &PatchParams::default(), &Patch::Merge(mark))
            .await
        {
            Ok(_) => {}
            // It is gone, or another one by now.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(source) => {
                return Err(Error::Disk {
                    claim: name,
                    source: Box::new(source),
                });
            }
        }
    }
    Ok(())
}

/// Why a single member neither gets others nor is left alone by them. The API server refuses such a change, but not a
/// cloud that finds the disks of another size.
fn from_or_to_one(cloud: &ValidatedCloud, component: Component, size: Size, wanted: i32) -> Refusal {
    let CloudId { namespace, name, .. } = &cloud.id;
    Refusal {
        component: Some(component),
        reason: reason::INVALID_SPEC,
        message: format!(
            "{component}: there are disks of {} members of an earlier cloud of this name, and {wanted} members are \
             wanted: what they hold cannot be carried over. Set replicas to {}, or begin anew without it (kubectl \
             delete pvc -n {namespace} -l {INSTANCE_LABEL}={name},{COMPONENT_LABEL}={component}).",
            size.members, size.members
        ),
    }
}

fn claims(ctx: &Context, cloud: &ValidatedCloud, component: Component) -> Vec<Arc<PersistentVolumeClaim>> {
    let claims = of_cloud(&ctx.stores.claims, &cloud.id).into_iter();
    claims
        .filter(|claim| component_of(claim.as_ref()) == Some(component))
        .collect()
}

/// Disks of members whose pods are gone, by their ordinals.
fn left_over(ctx: &Context, cloud: &ValidatedCloud, component: Component, pods: &[Member]) -> Vec<i32> {
    let claims = claims(ctx, cloud, component);
    let ordinals = claims.iter().filter_map(|claim| ordinal(&claim.name_any()));
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
    let claims = claims(ctx, cloud, component);
    let claim = claims.iter().find(|c| ordinal(&c.name_any()) == Some(member));
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
