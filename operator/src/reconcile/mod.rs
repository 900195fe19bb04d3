//! From a MesosCloud to a running cloud and back to its status, in five steps: [`dereference`] (what it refers
//! to), [`validate`] (pure), [`build`] (pure), [`apply`], [`status`]. Each pass derives everything anew.

pub mod apply;
pub mod build;
pub mod candidacy;
pub mod closed_election;
pub mod controller;
pub mod dereference;
pub mod events;
pub mod guards;
pub mod masters_log;
pub mod role_order;
pub mod rollout;
pub mod scaling;
pub mod slaves;
pub mod status;
pub mod stores;
pub mod validate;

use std::sync::Arc;

use kube::Client;
use kube::core::DeserializeGuard;
use kube::runtime::events::Recorder;
use mesoscloud_crds::{MesosCloud, MesosCloudStatus};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use self::build::Inputs;
use self::stores::Stores;
use self::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::conditions::{Refusal, reason};
use crate::cloud::volume_growth::growth;
use crate::leader::Watches;
use crate::leader::closed_election::ClosedElections;
use crate::runtime::metrics::Metrics;

/// A MesosCloud as it came from the API server, readable or not: one broken object never stops the others.
pub type Guarded = DeserializeGuard<MesosCloud>;

/// What every pass needs.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// Every cloud and every object of every cloud.
    pub stores: Stores,
    /// Who leads in each cloud.
    pub leaders: Watches,
    /// Elections that nobody is to win for now.
    pub closed_elections: ClosedElections,
    /// Publishes events.
    pub recorder: Recorder,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Image of this program.
    pub operator_image: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
}

/// Why a pass did not come to its end.
#[derive(Debug, Error)]
pub enum Error {
    /// In the first step.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// In the second step.
    #[error(transparent)]
    Validate(#[from] validate::Error),
    /// In the fourth step.
    #[error(transparent)]
    Apply(#[from] apply::Error),
    /// While members were replaced.
    #[error(transparent)]
    Rollout(#[from] rollout::Error),
    /// In the fifth step.
    #[error(transparent)]
    Status(#[from] status::Error),
}

impl Error {
    /// One word for the step it happened in, for metrics.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "dereference",
            Self::Validate(_) => "validate",
            Self::Apply(_) => "apply",
            Self::Rollout(_) => "rollout",
            Self::Status(_) => "status",
        }
    }
}

/// Brings one cloud a step nearer to its spec and writes its status, also when that fails. Returns whether it is
/// ready.
///
/// # Errors
/// When a step failed; the next pass starts from the beginning.
pub async fn reconcile(ctx: &Context, object: &MesosCloud) -> Result<bool, Error> {
    let outcome = pass(ctx, object).await;
    let status = match &outcome {
        Ok(status) => status.clone(),
        Err(error) => {
            let reason = match error {
                Error::Validate(_) => reason::INVALID_SPEC,
                _ => reason::APPLY_FAILED,
            };
            status::refused(
                object,
                &Refusal {
                    component: None,
                    reason,
                    message: error.to_string(),
                },
            )
        }
    };
    status::write(ctx, object, &status).await?;
    events::tell(
        &ctx.recorder,
        object,
        &object.status.clone().unwrap_or_default(),
        &status,
    )
    .await;
    ctx.metrics.observe_status(object, &status);
    outcome.map(|status| status::says_ready(&status))
}

async fn pass(ctx: &Context, object: &MesosCloud) -> Result<MesosCloudStatus, Error> {
    let id = validate::identify(object, &ctx.cluster_domain)?;
    let references = dereference::dereference(ctx, object, &id).await?;
    let mut cloud = validate::validate(object, &ctx.cluster_domain, &references.neighbours)?;
    let masters_elect = candidacy::withdraw_orphaned(ctx, &cloud, &references).await?;
    cloud
        .refusals
        .extend(masters_log::lost(ctx, &cloud, &references).await);
    let leaders = status::leaders(&id, &references.elected);
    let mut under_way = scaling::resize(ctx, &mut cloud, &references, &leaders).await?;
    closed_election::keep(ctx, &cloud, &references, masters_elect).await;

    let resources = build::build(&Inputs {
        cloud: &cloud,
        operator_image: &ctx.operator_image,
        addresses: &references.addresses,
        leaders: &leaders,
        live_sidecars: &references.live_sidecars,
        live_claim_sizes: &references.live_claim_sizes,
    });
    let order = role_order::order(ctx, &cloud, &resources);
    let slaves = slaves::hold_back(ctx, &cloud, object, &resources.daemon_sets, order.before_slaves);
    if let Some(why) = slaves.why {
        under_way.insert(Component::Slave, why);
    }
    let mut held_back = slaves.names;
    for (name, (component, why)) in order.proxies {
        held_back.insert(name);
        under_way.insert(component, why);
    }
    let applied = apply::apply(ctx, &cloud, resources, &held_back).await?;
    grow_disks(ctx, &mut cloud, &references).await?;
    if let Some((component, waiting)) = rollout::advance(ctx, &cloud, &applied, &leaders).await? {
        under_way.entry(component).or_insert(waiting);
    }
    Ok(status::observe(ctx, object, &cloud, &applied, leaders, under_way))
}

async fn grow_disks(
    ctx: &Context,
    cloud: &mut ValidatedCloud,
    references: &dereference::References,
) -> Result<(), Error> {
    for (component, claims) in &references.small_claims {
        let size = match component {
            Component::ZooKeeper => cloud.spec.zookeeper.storage.size.0.clone(),
            _ => cloud.spec.masters.storage.size.0.clone(),
        };
        let (grow, fixed) = growth(claims, u128::MAX);
        for claim in grow {
            apply::grow(ctx, cloud, claim, &size).await?;
        }
        if let Some(claim) = fixed.first() {
            cloud.refusals.push(Refusal {
                component: None,
                reason: reason::VOLUME_EXPANSION_UNSUPPORTED,
                message: format!(
                    "{component}: {} is to grow to {size}, but its storage class {} does not grow volumes \
                     (allowVolumeExpansion). Set storage.size back, or allow it in the class.",
                    claim.name, claim.class
                ),
            });
        }
    }
    Ok(())
}

/// Ten hexadecimal digits that change when `content` does.
pub fn content_hash(content: &impl Serialize) -> String {
    let json = serde_json::to_vec(content).unwrap_or_default();
    let digest = Sha256::digest(&json);
    let head = digest
        .iter()
        .take(5)
        .fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    format!("{head:010x}")
}
