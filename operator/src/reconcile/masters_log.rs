//! Notices that the masters' log is lost, which no pod shows: a leader goes on answering.

use std::net::SocketAddr;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::dereference::References;
use super::rollout::{is_ready, program};
use super::stores::{component_of, of_cloud};
use super::validate::ValidatedCloud;
use super::{Context, guards};
use crate::cloud::component::Component;
use crate::cloud::conditions::{Refusal, reason};
use crate::cloud::quorum::{is_log_lost, quorum};
use crate::sidecar::guard::recover::{VOTING, WORD_PATH};

/// A log that begins takes up to 3.4 s until all of its replicas vote, and one that catches up asks every 10 s
/// (docs/originals.md). Whoever runs for so long and does not vote has nobody to learn from.
const GRACE_SECONDS: i64 = 30;

/// What there is to say when only a person can help. The guards are asked only while too few masters are ready.
pub async fn lost(ctx: &Context, cloud: &ValidatedCloud, references: &References) -> Option<Refusal> {
    // Not what the spec says: of masters that are to become more, those that are there must have a log.
    let size = *references.sizes.get(&Component::Master)?;
    let pods = of_cloud(&ctx.stores.pods, &cloud.id);
    let masters = pods.iter().map(AsRef::as_ref);
    let masters: Vec<_> = masters
        .filter(|pod| component_of(*pod) == Some(Component::Master))
        .collect();
    let members = i32::try_from(masters.len()).unwrap_or(i32::MAX);
    let needed = quorum(size.sized_for);
    let ready = masters.iter().filter(|pod| is_ready(pod)).count();
    if !cloud.spec.masters.guard
        || members < size.members
        || i32::try_from(ready).is_ok_and(|ready| ready >= needed)
    {
        return None;
    }
    let guards: Option<Vec<_>> = masters.iter().map(|pod| guard_of_a_patient(pod)).collect();
    let votes = join_all(guards?.into_iter().map(votes)).await;
    is_log_lost(&votes, needed).then(|| Refusal {
        component: None,
        reason: reason::LOG_LOST,
        message: format!(
            "{} of {members} replicas of the masters' log are empty, and {needed} are needed that vote: nothing can be \
             written, though a leader may answer. The disks were lost. To begin a new log, delete the claims and the \
             pods of all masters (kubectl delete pvc,pod -n {} -l \
             app.kubernetes.io/instance={},app.kubernetes.io/component=master); slaves and frameworks register again, \
             and tasks go on.",
            votes.iter().filter(|votes| **votes == Some(false)).count(),
            cloud.id.namespace,
            cloud.id.name,
        ),
    })
}

/// Where the guard of a master answers, if the master has had time to learn.
fn guard_of_a_patient(pod: &Pod) -> Option<SocketAddr> {
    let started = program(pod).find_map(|c| c.state.as_ref()?.running.as_ref()?.started_at.as_ref());
    let runs_for = Timestamp::now().as_second() - started?.0.as_second();
    guards::address(pod).filter(|_| runs_for >= GRACE_SECONDS)
}

/// Whether the replica beside a guard votes; `None` when it does not say.
async fn votes(guard: SocketAddr) -> Option<bool> {
    Some(guards::ask(guard, WORD_PATH).await? == VOTING)
}
