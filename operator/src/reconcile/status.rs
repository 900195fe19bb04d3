//! Fifth step: what the cloud is like now, written whatever became of the other steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _, ResourceExt as _};
use mesoscloud_crds::status::{Leader, Leaders, Members};
use mesoscloud_crds::{MesosCloud, MesosCloudStatus};
use serde_json::json;
use thiserror::Error;

use super::Context;
use super::build::{Applied, Resources};
use super::rollout::{is_ready, member, target};
use super::stores::{component_of, of_cloud};
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::conditions::{Progress, READY, Refusal, assess, stamp};
use crate::cloud::election::Candidate;
use crate::cloud::endpoints::{SlaveAddress, endpoints};
use crate::cloud::names::{CloudId, SLAVE_INDEX_LABEL, ordinal};
use crate::cloud::pod_trouble::trouble;
use crate::leader::Elected;

/// Why the status could not be written.
#[derive(Debug, Error)]
#[error("failed to write the status: {0}")]
pub struct Error(#[source] pub Box<kube::Error>);

/// Who leads, as the status tells it: by pod and by where it listens.
pub fn leaders(id: &CloudId, elected: &Elected) -> Leaders {
    // A member calls itself by the name of its Service; a stranger in the same path is told as it is.
    let leader = |candidate: &Candidate| Leader {
        name: candidate
            .host
            .strip_suffix(&format!(".{}.svc.{}", id.namespace, id.cluster_domain))
            .unwrap_or(&candidate.host)
            .to_owned(),
        address: candidate.address.clone(),
    };
    Leaders {
        mesos: elected.mesos.as_ref().map(leader),
        marathon: elected.marathon.as_ref().map(leader),
        zookeeper: elected.zookeeper.as_ref().map(|name| Leader {
            name: name.clone(),
            address: format!(
                "{}:{}",
                id.member_host(Component::ZooKeeper, ordinal(name).unwrap_or_default()),
                crate::cloud::names::ZOOKEEPER_PORT
            ),
        }),
    }
}

/// The status of a cloud of which every object is applied.
pub fn observe(
    ctx: &Context,
    object: &MesosCloud,
    cloud: &ValidatedCloud,
    applied: &Resources<Applied>,
    leaders: Leaders,
    under_way: BTreeMap<Component, String>,
) -> MesosCloudStatus {
    let pods = of_cloud(&ctx.stores.pods, &cloud.id);
    let progress: Vec<_> = Component::ALL
        .into_iter()
        .map(|c| {
            let progress = progress(ctx, cloud, applied, c, &pods);
            with_change(progress, object, under_way.get(&c))
        })
        .collect();
    let previous = object.status.clone().unwrap_or_default();
    let addresses = super::dereference::addresses_of(&applied.services);
    let members = |components: &[Component]| {
        let of = || progress.iter().filter(|p| components.contains(&p.component));
        let desired = of().filter_map(|p| p.desired).sum();
        let ready = of().map(|p| p.ready).sum();
        Members {
            desired,
            ready,
            updated: of().map(|p| p.updated).sum(),
            summary: format!("{ready}/{desired}"),
        }
    };
    MesosCloudStatus {
        observed_generation: object.metadata.generation,
        conditions: stamp(
            assess(&progress, &leaders, &cloud.refusals, was_ready(&previous)),
            &previous.conditions,
            object.metadata.generation,
            &Time(Timestamp::now()),
        ),
        zookeeper: members(&[Component::ZooKeeper]),
        masters: members(&[Component::Master]),
        marathon: members(&[Component::Marathon]),
        slaves: members(&[Component::Slave]),
        proxies: members(&[
            Component::MesosProxy,
            Component::MarathonProxy,
            Component::ZkProxy,
        ]),
        endpoints: endpoints(&cloud.id, &cloud.spec, &addresses, &slave_addresses(&pods)),
        leaders,
    }
}

/// The status of a cloud that could not be brought further: what was known, with the reason why.
pub fn refused(object: &MesosCloud, refusal: &Refusal) -> MesosCloudStatus {
    let previous = object.status.clone().unwrap_or_default();
    let drafts = assess(
        &[],
        &previous.leaders,
        std::slice::from_ref(refusal),
        was_ready(&previous),
    );
    let now = Time(Timestamp::now());
    let mut conditions = stamp(drafts, &previous.conditions, object.metadata.generation, &now);
    let kept = previous
        .conditions
        .iter()
        .filter(|old| conditions.iter().all(|new| new.type_ != old.type_));
    conditions.extend(kept.cloned().collect::<Vec<_>>());
    MesosCloudStatus {
        observed_generation: object.metadata.generation,
        conditions,
        ..previous
    }
}

/// Writes the status where it differs from the one that is there.
///
/// # Errors
/// When the API server does not take it.
pub async fn write(ctx: &Context, object: &MesosCloud, status: &MesosCloudStatus) -> Result<(), Error> {
    if object.status.as_ref() == Some(status) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": MesosCloud::api_version(&()),
        "kind": MesosCloud::kind(&()),
        "status": status,
    });
    let params = PatchParams::apply("mesoscloud-operator/status").force();
    let written = Api::<MesosCloud>::namespaced(ctx.client.clone(), &object.namespace().unwrap_or_default())
        .patch_status(&object.name_any(), &params, &Patch::Apply(&patch))
        .await;
    match written {
        Ok(_) => Ok(()),
        // The cloud was deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(Error(Box::new(source))),
    }
}

/// Whether a status says that the whole cloud serves.
pub fn says_ready(status: &MesosCloudStatus) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|c| c.type_ == READY && c.status == "True")
}

/// Whether the cloud has been ready before.
fn was_ready(previous: &MesosCloudStatus) -> bool {
    use crate::cloud::conditions::{RECONCILING, reason};
    let creating = |c: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        c.type_ == RECONCILING && c.reason == reason::CREATING
    };
    previous.conditions.iter().any(|c| c.type_ == READY) && !previous.conditions.iter().any(creating)
}

/// What the spec says of the number of members, though the cloud is only on its way there, and what is under way.
fn with_change(progress: Progress, object: &MesosCloud, under_way: Option<&String>) -> Progress {
    let wanted = match progress.component {
        Component::ZooKeeper => Some(object.spec.zookeeper.replicas),
        Component::Master => Some(object.spec.masters.replicas),
        _ => progress.desired,
    };
    Progress {
        desired: progress.desired.and(wanted),
        under_way: under_way.cloned(),
        ..progress
    }
}

fn progress(
    ctx: &Context,
    cloud: &ValidatedCloud,
    applied: &Resources<Applied>,
    component: Component,
    pods: &[Arc<Pod>],
) -> Progress {
    let pods: Vec<_> = pods
        .iter()
        .filter(|p| component_of(p.as_ref()) == Some(component))
        .collect();
    let troubles = pods
        .iter()
        .filter(|p| p.metadata.deletion_timestamp.is_none() && !is_ready(p))
        .filter_map(|p| trouble(component, p))
        .collect();
    let (desired, ready, updated) = match component {
        Component::ZooKeeper | Component::Master | Component::Marathon => {
            let set = applied
                .stateful_sets
                .iter()
                .find(|s| component_of(*s) == Some(component));
            let members: Vec<_> = set
                .and_then(target)
                .map(|target| {
                    pods.iter()
                        .map(|p| member(p, &target))
                        .filter(|m| !m.terminating)
                        .collect()
                })
                .unwrap_or_default();
            let ready = pods
                .iter()
                .filter(|p| p.metadata.deletion_timestamp.is_none() && is_ready(p))
                .count();
            let updated = members.iter().filter(|m| m.updated).count();
            (
                set.and_then(|s| s.spec.as_ref()?.replicas),
                count(ready),
                count(updated),
            )
        }
        Component::Slave => slaves(ctx, cloud),
        Component::MesosProxy | Component::MarathonProxy | Component::ZkProxy => {
            let deployment = applied
                .deployments
                .iter()
                .find(|d| component_of(*d) == Some(component));
            let status = deployment
                .filter(|d| d.status.as_ref().and_then(|s| s.observed_generation) == d.metadata.generation)
                .and_then(|d| d.status.as_ref());
            (
                deployment.and_then(|d| d.spec.as_ref()?.replicas),
                status.and_then(|s| s.ready_replicas).unwrap_or_default(),
                status.and_then(|s| s.updated_replicas).unwrap_or_default(),
            )
        }
    };
    Progress {
        component,
        desired,
        ready,
        updated,
        troubles,
        under_way: None,
    }
}

/// Slaves of all indices together. Read from the store, because refused slaves are not applied yet may run.
fn slaves(ctx: &Context, cloud: &ValidatedCloud) -> (Option<i32>, i32, i32) {
    let sets = of_cloud(&ctx.stores.daemon_sets, &cloud.id);
    let statuses: Option<Vec<_>> = sets
        .iter()
        .map(|set| {
            let status = set.status.as_ref()?;
            (status.observed_generation == set.metadata.generation).then_some(status)
        })
        .collect();
    let expected = usize::try_from(cloud.spec.slaves.per_node).unwrap_or_default();
    match statuses {
        Some(statuses) if statuses.len() >= expected => (
            Some(statuses.iter().map(|s| s.desired_number_scheduled).sum()),
            statuses.iter().map(|s| s.number_ready).sum(),
            statuses
                .iter()
                .map(|s| s.updated_number_scheduled.unwrap_or_default())
                .sum(),
        ),
        _ => (None, 0, 0),
    }
}

fn slave_addresses(pods: &[Arc<Pod>]) -> Vec<SlaveAddress> {
    pods.iter()
        .filter(|p| {
            component_of(p.as_ref()) == Some(Component::Slave) && p.metadata.deletion_timestamp.is_none()
        })
        .filter_map(|p| {
            Some(SlaveAddress {
                pod: p.name_any(),
                index: p.labels().get(SLAVE_INDEX_LABEL)?.parse().ok()?,
                node_ip: p.status.as_ref()?.host_ip.clone()?,
            })
        })
        .collect()
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
