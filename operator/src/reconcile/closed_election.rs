//! Closes the masters' election while they grow, by the rule in [`crate::cloud::scaling`], and opens it again.

use std::time::Duration;

use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::dereference::References;
use super::rollout::{seen, target};
use super::stores::named;
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::election::Candidate;
use crate::cloud::rollout::Member;
use crate::cloud::scaling::{Seen, keeps_election_closed};

/// How long nobody leads for the sake of an election that succeeds. After it one may as well be tried: it fails for a
/// minute at most (Mesos 0.28.1, src/master/flags.cpp:93), and then somebody else is elected.
const LONGEST: Duration = Duration::from_secs(60);

/// Does what is to be done now; `masters_elect`: it was just found that they may. That it cannot be done is only logged:
/// then an election may take a minute.
pub async fn keep(ctx: &Context, cloud: &ValidatedCloud, references: &References, masters_elect: bool) {
    let object = ObjectRef::new(&cloud.id.name).within(&cloud.id.namespace);
    let node = match ctx.closed_elections.node(&object).await {
        Ok(node) => node,
        Err(error) => {
            tracing::warn!(cloud = %object, %error, "it is not known whether the masters' election is closed");
            return;
        }
    };
    let set = named(
        &ctx.stores.stateful_sets,
        &cloud.id,
        &cloud.id.object(Component::Master),
    );
    let (Some(size), Some(target)) = (
        cloud.sizes.get(&Component::Master).copied(),
        set.as_deref().and_then(target),
    ) else {
        return;
    };
    let members = seen(ctx, cloud, Component::Master, &target);
    let seen = Seen {
        size,
        members: &members,
        leader: None,
        left_over: &[],
    };
    let elected = references.elected.mesos.as_ref();
    let stands_in = elected.is_some_and(|elected| Some(&elected.node) == node.as_ref());
    let too_long = ctx.closed_elections.stands_in(&object, stands_in) >= LONGEST;
    if masters_elect || too_long || !keeps_election_closed(&seen, stands_in) {
        if ctx.closed_elections.open(&object).await {
            tracing::info!(cloud = %object, "the masters may elect again");
        }
        return;
    }
    let (None, Some(electorate), Some(leader)) = (node, &references.electorate, elected) else {
        return;
    };
    let has_larger_quorum = |candidate: &Candidate| {
        let pod = candidate.host.split('.').next();
        let larger = |m: &&Member| m.sized_for.is_some_and(|sized_for| sized_for > size.members);
        let mut members = members.iter().filter(larger);
        members.any(|m| Some(m.pod.as_str()) == pod)
    };
    let closed = ctx
        .closed_elections
        .close(&object, electorate, leader, has_larger_quorum);
    match closed.await {
        Ok(()) => tracing::info!(cloud = %object, "the masters elect nobody until all of them are back"),
        Err(error) => tracing::warn!(cloud = %object, %error, "the masters' election cannot be closed"),
    }
}
