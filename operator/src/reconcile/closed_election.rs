//! Closes the masters' election while they grow, by the rule in [`crate::cloud::scaling`], and opens it again.

use kube::runtime::reflector::ObjectRef;

use super::Context;
use super::dereference::References;
use super::rollout::{seen, target};
use super::stores::named;
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::scaling::{Seen, keeps_election_closed};

/// Does what is to be done now; `masters_elect`: it was just found that they may. That it cannot be done is only logged:
/// then an election may take a minute.
pub async fn keep(ctx: &Context, cloud: &ValidatedCloud, references: &References, masters_elect: bool) {
    let object = ObjectRef::new(&cloud.id.name).within(&cloud.id.namespace);
    let node = ctx.closed_elections.node(&object);
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
    if masters_elect || !keeps_election_closed(&seen, stands_in) {
        if ctx.closed_elections.open(&object).await {
            tracing::info!(cloud = %object, "the masters may elect again");
        }
        return;
    }
    let (None, Some(electorate), Some(leader)) = (node, &references.electorate, elected) else {
        return;
    };
    match ctx.closed_elections.close(&object, electorate, leader).await {
        Ok(()) => tracing::info!(cloud = %object, "the masters elect nobody until all of them are back"),
        Err(error) => tracing::warn!(cloud = %object, %error, "the masters' election cannot be closed"),
    }
}
