//! In which order a change comes to the roles: ZooKeeper, masters, Marathon, proxies, slaves. Each depends on those
//! before it, so it changes when they serve as they should. The first three wait for each other in
//! [`super::rollout`]; here the others wait for them.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::ResourceExt as _;

use super::Context;
use super::apply::is_current;
use super::build::Resources;
use super::rollout::{present, seen, target};
use super::stores::{component_of, named};
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;

/// What changes now, and what waits for it.
#[derive(Debug, Default)]
pub struct Order {
    /// Why the proxies among these stay as they are for now, by their Deployment's name.
    pub proxies: BTreeMap<String, (Component, String)>,
    /// What the slaves wait for.
    pub before_slaves: Option<String>,
}

/// Who waits for whom now. A proxy that does not serve waits for nobody: it has nothing to lose, and the change may be
/// what mends it.
pub fn order(ctx: &Context, cloud: &ValidatedCloud, built: &Resources) -> Order {
    let members = built
        .stateful_sets
        .iter()
        .filter_map(|set| Some((component_of(set)?, set)))
        .find(|(component, set)| changes(ctx, cloud, *component, set));
    let mut order = Order {
        before_slaves: members.map(|(component, _)| component.to_string()),
        ..Order::default()
    };
    for deployment in &built.deployments {
        let name = deployment.name_any();
        let Some(live) = named(&ctx.stores.deployments, &cloud.id, &name) else {
            continue;
        };
        let current = is_current(deployment, &live);
        let rolling = is_rolling(&live);
        if let (Some((before, _)), Some(component)) = (members, component_of(deployment))
            && !current
            && !rolling
        {
            let why = format!("{component}: changes after {before}");
            order.proxies.insert(name.clone(), (component, why));
        }
        if !current || rolling {
            order.before_slaves.get_or_insert(name);
        }
    }
    order
}

/// Whether the members of a set are to become something else, or are not yet what they should be. The first creation
/// is one step for all.
fn changes(ctx: &Context, cloud: &ValidatedCloud, component: Component, built: &StatefulSet) -> bool {
    let Some(live) = named(&ctx.stores.stateful_sets, &cloud.id, &built.name_any()) else {
        return false;
    };
    let Some(target) = target(&live).filter(|_| is_current(built, &live)) else {
        return true;
    };
    let members = seen(ctx, cloud, component, &target);
    let settled = members.iter().filter(|m| m.updated && m.ready).count();
    settled < present(target.replicas)
}

/// Whether Kubernetes is replacing a Deployment's pods.
fn is_rolling(live: &Deployment) -> bool {
    let wanted = live.spec.as_ref().and_then(|spec| spec.replicas);
    let status = live.status.clone().unwrap_or_default();
    status.observed_generation != live.metadata.generation
        || status.updated_replicas < wanted
        || status.ready_replicas < wanted
        || status.replicas > wanted
}
