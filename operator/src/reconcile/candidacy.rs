//! Withdraws the candidacy of a leader whose pod is gone for good.
//!
//! The guard does that as long as it outlives its neighbour. When a pod is deleted by force both may die together;
//! then it is known here that no process of that pod can be meant any more, and nobody need wait for the end of
//! its session. Nor can it while masters grow: the leader is replaced then while its replica is still needed, and the
//! guard that sees it vote again, in the next pod, is another one.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::dereference::References;
use super::guards::enough_vote;
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
/// ends by itself. Returns whether the masters elect anew for it.
///
/// # Errors
/// When the API server does not answer.
pub async fn withdraw_orphaned(
    ctx: &Context,
    cloud: &ValidatedCloud,
    references: &References,
) -> Result<bool, Error> {
    let mut masters_elect = false;
    let Some(electorate) = &references.electorate else {
        return Ok(masters_elect);
    };
    let object = ObjectRef::new(&cloud.id.name).within(&cloud.id.namespace);
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
        let Some(made_until) = orphaned_until(ctx, cloud, component, needed, &pod, leader).await? else {
            continue;
        };
        let live = ctx.leaders.session(&object);
        match withdraw(live, electorate, &election.path, &leader.node, made_until).await {
            Ok(true) => {
                masters_elect |= component == Component::Master;
                tracing::info!(%pod, node = leader.node, "its pod is gone: its candidacy is withdrawn");
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%pod, %error, "the candidacy of a pod that is gone stays for now"),
        }
    }
    Ok(masters_elect)
}

/// Until when a candidacy must have been made, in milliseconds since 1970, to belong to no process of the member `pod`.
/// `None` when one may be left, or when fewer than the `needed` others are there for an election.
async fn orphaned_until(
    ctx: &Context,
    cloud: &ValidatedCloud,
    component: Component,
    needed: i32,
    pod: &str,
    candidate: &Candidate,
) -> Result<Option<i64>, Error> {
    let pods = of_cloud(&ctx.stores.pods, &cloud.id);
    let seen = pods.iter().map(AsRef::as_ref);
    let seen: Vec<&Pod> = seen.filter(|p| component_of(*p) == Some(component)).collect();
    if !is_orphaned(seen.iter().copied(), pod, candidate) {
        return Ok(None);
    }
    // Nobody takes that back: what is older than that is nobody's, however late it is seen.
    if let Some(given_up) = given_up_at(&seen, pod) {
        let suffice = others_suffice(cloud, &seen, pod, needed).await;
        return Ok(suffice.then_some(given_up - LAG_MS));
    }
    // What is destroyed is decided on what is, not on what was seen.
    let pods = list(ctx, cloud, component).await?;
    let fresh: Vec<_> = pods.iter().collect();
    if !is_orphaned(fresh.iter().copied(), pod, candidate)
        || !others_suffice(cloud, &fresh, pod, needed).await
    {
        return Ok(None);
    }
    // The kubelet tells late that a program has started: only what is older than its pod cannot be its own.
    let successor = fresh.iter().find(|p| p.name_any() == pod && !is_given_up(p));
    let born = successor.and_then(|p| p.creation_timestamp());
    let made_until = born.map_or(i64::MAX, |born| born.0.as_millisecond() - LAG_MS);
    Ok(Some(made_until))
}

/// The member of this cloud that a candidate is.
fn member(cloud: &ValidatedCloud, component: Component, candidate: &Candidate) -> Option<String> {
    let (name, _) = candidate.host.split_once('.')?;
    let ordinal = ordinal(name)?;
    (cloud.id.member_host(component, ordinal) == candidate.host).then(|| name.to_owned())
}

/// Whether no process of the pod with this name, as far as it is among `pods`, can be the candidate.
fn is_orphaned<'a>(pods: impl IntoIterator<Item = &'a Pod>, pod: &str, candidate: &Candidate) -> bool {
    let mut own = pods.into_iter().filter(|p| p.name_any() == pod);
    own.all(|p| is_given_up(p) || !has_started(p) || listens_elsewhere(p, candidate))
}

/// Whether it is deleted and nobody waits for its processes: they have ended, or it was deleted by force. One such is
/// gone in a moment, but the pass that sees it would write a status before the next one sees that.
fn is_given_up(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds == Some(0)
}

/// When the pod with this name was given up, as far as it is among `pods`, in milliseconds since 1970.
fn given_up_at(pods: &[&Pod], pod: &str) -> Option<i64> {
    let own = pods.iter().find(|p| p.name_any() == pod && is_given_up(p));
    Some(own?.metadata.deletion_timestamp.as_ref()?.0.as_millisecond())
}

/// Whether the candidate's address is known to be another than the pod's. Marathons have none, only a name.
fn listens_elsewhere(pod: &Pod, candidate: &Candidate) -> bool {
    let own = pod
        .status
        .as_ref()
        .and_then(|s| s.pod_ip.as_deref()?.parse().ok());
    let its = candidate.address.parse::<SocketAddr>().ok();
    own.zip(its)
        .is_some_and(|(own, its): (IpAddr, _)| own != its.ip())
}

/// Whether the next leader would have its quorum: one without it would stand still (docs/originals.md). Readiness
/// says so late, the guards at once.
async fn others_suffice(cloud: &ValidatedCloud, pods: &[&Pod], pod: &str, needed: i32) -> bool {
    let others = || pods.iter().copied().filter(|p| p.name_any() != pod);
    let ready = others().filter(|p| is_ready(p)).count();
    i32::try_from(ready).is_ok_and(|n| n >= needed)
        || cloud.spec.masters.guard && enough_vote(others(), needed).await
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
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
        let elsewhere = |ip: &str| {
            let mut pod = pod("c-master-0", true, false);
            pod.status.get_or_insert_default().pod_ip = Some(ip.to_owned());
            pod
        };
        let other = pod("c-master-1", true, true);
        let own = |started| pod("c-master-0", started, false);
        let deleted = |grace| {
            let mut pod = own(true);
            pod.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
            pod.metadata.deletion_grace_period_seconds = Some(grace);
            pod
        };
        let table = [
            (vec![], true),
            (vec![own(false)], true),
            (vec![own(true)], false),
            (vec![deleted(30)], false),
            (vec![deleted(0)], true),
            (vec![elsewhere("10.0.0.8")], true),
            (vec![elsewhere("10.0.0.7")], false),
        ];
        let candidate = Candidate {
            node: "json.info_0000000003".to_owned(),
            host: "c-master-0.n.svc".to_owned(),
            address: "10.0.0.7:5050".to_owned(),
        };
        for (mut pods, expected) in table {
            pods.push(other.clone());
            assert_eq!(
                is_orphaned(&pods, "c-master-0", &candidate),
                expected,
                "{pods:#?}"
            );
            let given_up = pods[0].metadata.deletion_grace_period_seconds == Some(0);
            let pods: Vec<_> = pods.iter().collect();
            assert_eq!(
                given_up_at(&pods, "c-master-0"),
                given_up.then_some(0),
                "{pods:#?}"
            );
        }
        let marathon = Candidate {
            address: "c-marathon-0.n.svc:8080".to_owned(),
            ..candidate
        };
        assert!(!is_orphaned(&[elsewhere("10.0.0.8")], "c-master-0", &marathon));
    }
}
