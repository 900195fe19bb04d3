//! Which DaemonSets of the slaves are not applied in this pass, by the rule in [`crate::cloud::slave_rollout`].

use k8s_openapi::api::apps::v1::DaemonSet;
use kube::ResourceExt as _;
use mesoscloud_crds::MesosCloud;

use super::Context;
use super::build::sidecar_image::LiveSidecar;
use super::stores::{component_of, named, of_cloud};
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::names::SLAVE_INDEX_LABEL;
use crate::cloud::slave_rollout::{ANNOUNCEMENT, Change, HeldBack, Slaves};

/// Which of the DaemonSets that were built stay as they are for now, and why. `before`: what changes first.
pub fn hold_back(
    ctx: &Context,
    cloud: &ValidatedCloud,
    object: &MesosCloud,
    built: &[DaemonSet],
    before: Option<String>,
) -> HeldBack {
    let slaves: Vec<_> = built.iter().map(|set| slaves(ctx, cloud, set)).collect();
    let type_ = Component::Slave.condition();
    let conditions = object.status.iter().flat_map(|status| &status.conditions);
    let announced = conditions
        .into_iter()
        .any(|c| c.type_ == type_ && c.message.contains(ANNOUNCEMENT));
    let leaving = of_cloud(&ctx.stores.pods, &cloud.id)
        .iter()
        .filter(|pod| component_of(pod.as_ref()) == Some(Component::Slave))
        .filter_map(|pod| pod.labels().get(SLAVE_INDEX_LABEL)?.parse().ok())
        .any(|index: i32| index >= cloud.spec.slaves.per_node);
    crate::cloud::slave_rollout::hold_back(&slaves, announced, before, leaving)
}

fn slaves(ctx: &Context, cloud: &ValidatedCloud, built: &DaemonSet) -> Slaves {
    let name = built.name_any();
    let Some(live) = named(&ctx.stores.daemon_sets, &cloud.id, &name) else {
        return Slaves {
            name,
            change: Change::New,
            rolling: false,
            whole: false,
        };
    };
    let template = |set: &DaemonSet| LiveSidecar::of(set.annotations()).map(|live| live.template_hash);
    let status = live.status.clone().unwrap_or_default();
    let seen = status.observed_generation == live.metadata.generation;
    // One that Kubernetes has never looked at has no pods to replace.
    let unseen_change = !seen && status.observed_generation.is_some();
    let updated = status.updated_number_scheduled.unwrap_or_default();
    Slaves {
        name,
        change: if template(built) == template(&live) {
            Change::None
        } else {
            Change::Replaced
        },
        rolling: unseen_change || updated < status.desired_number_scheduled,
        whole: seen && status.number_ready >= status.desired_number_scheduled,
    }
}
