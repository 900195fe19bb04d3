//! Withdraws the candidacy of a leader whose pod is gone for good.
//!
//! The guard does that as long as it outlives its neighbour. When a pod is deleted by force both may die together;
//! then it is known here that no process of that pod can be meant any more, and nobody need wait for the end of
//! its session.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::Context;
use super::dereference::References;
use super::rollout::{Error, has_started, is_ready, list};
use super::stores::{component_of, of_cloud};
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::election::{Candidate, Election};
use crate::cloud::names::ordinal;
use crate::cloud::quorum::quorum;
use crate::leader::withdrawal::withdraw;

/// By how much the clocks of ZooKeeper and of the API server may differ, which tells whole seconds, in milliseconds.
const LAG_MS: i64 = 1500;

/// Withdraws the leaders' candidacies that belong to no pod. That it cannot be done is only logged: the session
/// ends by itself.
///
/// # Errors
/// When the API server does not answer.
pub async fn withdraw_orphaned(
    ctx: &Context,
    cloud: &ValidatedCloud,
    references: &References,
) -> Result<(), Error> {
    let Some(electorate) = &references.electorate else {
        return Ok(());
    };
    let elected = &references.elected;
    let masters = Election::of_masters(&cloud.spec.masters.zk_path);
    let marathons = Election::of_marathons(&cloud.spec.marathon.zk_path);
    for (component, leader, election) in [
        (Component::Master, &elected.mesos, masters),
        (Component::Marathon, &elected.marathon, marathons),
    ] {
        let Some(leader) = leader else { continue };
        let Some(pod) = member(cloud, component, leader) else {
            continue;
        };
        let size = references.sizes.get(&component).map(|size| size.sized_for);
        let needed = match component {
            Component::Master => quorum(size.unwrap_or(cloud.spec.masters.replicas)),
            _ => 0,
        };
        let pods = of_cloud(&ctx.stores.pods, &cloud.id);
        let seen = pods.iter().map(AsRef::as_ref);
        if !is_orphaned(seen.filter(|p| component_of(*p) == Some(component)), &pod, needed) {
            continue;
        }
        // What is destroyed is decided on what is, not on what was seen.
        let fresh = list(ctx, cloud, component).await?;
        if !is_orphaned(&fresh, &pod, needed) {
            continue;
        }
        // The kubelet tells late that a program has started: only what is older than its pod cannot be its own.
        let successor = fresh.iter().find(|p| p.name_any() == pod);
        let born = successor.and_then(ResourceExt::creation_timestamp);
        let made_until = born.map_or(i64::MAX, |born| born.0.as_millisecond() - LAG_MS);
        match withdraw(electorate, &election.path, &leader.node, made_until).await {
            Ok(true) => {
                tracing::info!(%pod, node = leader.node, "its pod is gone: its candidacy is withdrawn");
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%pod, %error, "the candidacy of a pod that is gone stays for now"),
        }
    }
    Ok(())
}

/// The member of this cloud that a candidate is.
fn member(cloud: &ValidatedCloud, component: Component, candidate: &Candidate) -> Option<String> {
    let (name, _) = candidate.host.split_once('.')?;
    let ordinal = ordinal(name)?;
    (cloud.id.member_host(component, ordinal) == candidate.host).then(|| name.to_owned())
}

/// Whether no process of `pod` can be the candidate, and `needed` others serve: a leader without a quorum that
/// votes would stand still (reference/measured.md).
fn is_orphaned<'a>(pods: impl IntoIterator<Item = &'a Pod>, pod: &str, needed: i32) -> bool {
    let (own, others): (Vec<_>, Vec<_>) = pods.into_iter().partition(|p| p.name_any() == pod);
    let serving = others.iter().filter(|p| is_ready(p)).count();
    own.iter().all(|p| !has_started(p)) && i32::try_from(serving).is_ok_and(|n| n >= needed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_who_cannot_be_alive_is_orphaned() {
        let pod = |name: &str, started: bool, ready: bool| -> Pod {
            let state = if started { "running" } else { "waiting" };
            serde_json::from_value(json!({
                "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "master"}},
                "status": {
                    "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                    "containerStatuses": [{
                        "name": "master", "image": "", "imageID": "", "ready": ready, "restartCount": 0,
                        "state": {state: {}},
                    }],
                },
            }))
            .unwrap()
        };
        let other = |n: i32, ready| pod(&format!("c-master-{n}"), true, ready);
        let own = |started| pod("c-master-0", started, false);
        let table = [
            (vec![other(1, true), other(2, true)], true),
            (vec![own(false), other(1, true), other(2, true)], true),
            (vec![own(true), other(1, true), other(2, true)], false),
            (vec![own(false), other(1, true), other(2, false)], false),
            (vec![other(1, true)], false),
        ];
        for (pods, expected) in table {
            assert_eq!(is_orphaned(&pods, "c-master-0", 2), expected, "{pods:#?}");
        }
    }
}
