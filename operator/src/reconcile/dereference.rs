//! First step: what the cloud refers to and what is already there. Reads the stores, and of the API server only
//! what a change needs.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt as _};
use mesoscloud_crds::MesosCloud;
use mesoscloud_crds::spec::Storage;
use thiserror::Error;

use super::Context;
use super::build::sidecar_image::LiveSidecar;
use super::stores::{component_of, of_cloud};
use super::validate::Neighbour;
use crate::cloud::component::Component;
use crate::cloud::endpoints::ServiceAddress;
use crate::cloud::names::{
    CloudId, LEFT_OVER_ANNOTATION, MEMBERS_ANNOTATION, SIZED_FOR_ANNOTATION, ZOOKEEPER_PORT,
};
use crate::cloud::scaling::Size;
use crate::cloud::volume_growth::{Claim, units};
use crate::leader::{Elected, Electorate};

/// Why what a cloud refers to could not be read.
#[derive(Debug, Error)]
pub enum Error {
    /// A volume is to grow, and its class could not be asked whether it may.
    #[error("failed to read the storage class {class}: {source}")]
    StorageClass {
        /// Name of the class.
        class: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

/// What the cloud refers to and what is already there.
#[derive(Debug, Default)]
pub struct References {
    /// The other clouds of the cluster.
    pub neighbours: Vec<Neighbour>,
    /// Addresses of the cloud's Services by name; also of one that was deleted, so that it comes back there.
    pub addresses: BTreeMap<String, ServiceAddress>,
    /// The operator's image in the live workloads, by workload.
    pub live_sidecars: BTreeMap<String, LiveSidecar>,
    /// The size that live StatefulSets make their claims with, by StatefulSet.
    pub live_claim_sizes: BTreeMap<String, Quantity>,
    /// What the operator made live StatefulSets for, by component.
    pub sizes: BTreeMap<Component, Size>,
    /// Claims of members' disks that are smaller than the spec says, by component.
    pub small_claims: BTreeMap<Component, Vec<Claim>>,
    /// Where who leads is decided; `None` while ZooKeeper has no addresses.
    pub electorate: Option<Electorate>,
    /// Who leads.
    pub elected: Elected,
}

/// Looks up what the cloud refers to.
///
/// # Errors
/// When the API server must be asked and does not answer.
pub async fn dereference(ctx: &Context, cloud: &MesosCloud, id: &CloudId) -> Result<References, Error> {
    let stateful_sets = of_cloud(&ctx.stores.stateful_sets, id);
    let mut references = References {
        neighbours: neighbours(ctx, cloud),
        addresses: addresses(cloud, &of_cloud(&ctx.stores.services, id)),
        ..References::default()
    };
    for set in of_cloud(&ctx.stores.daemon_sets, id) {
        references.note_sidecar(set.meta());
    }
    for deployment in of_cloud(&ctx.stores.deployments, id) {
        references.note_sidecar(deployment.meta());
    }
    for set in &stateful_sets {
        references.note_set(set);
    }
    for (component, storage) in [
        (Component::ZooKeeper, &cloud.spec.zookeeper.storage),
        (Component::Master, &cloud.spec.masters.storage),
    ] {
        references
            .small_claims
            .insert(component, small_claims(ctx, id, component, storage).await?);
    }
    // Members that are to go may lead as long as they are there.
    let members = references.sizes.get(&Component::ZooKeeper);
    let members = members
        .map_or(0, |size| size.members)
        .max(cloud.spec.zookeeper.replicas);
    references.electorate = electorate(cloud, id, members, &references.addresses);
    if let Some(electorate) = &references.electorate {
        let object = ObjectRef::new(&id.name).within(&id.namespace);
        references.elected = ctx.leaders.follow(&object, electorate.clone());
    }
    Ok(references)
}

impl References {
    fn note_sidecar(&mut self, meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) {
        if let (Some(name), Some(live)) = (&meta.name, meta.annotations.as_ref().and_then(LiveSidecar::of)) {
            self.live_sidecars.insert(name.clone(), live);
        }
    }

    fn note_set(&mut self, set: &StatefulSet) {
        self.note_sidecar(&set.metadata);
        let Some(spec) = &set.spec else { return };
        if let (Some(component), Some(size)) = (component_of(set), size_of(set)) {
            self.sizes.insert(component, size);
        }
        let claim = spec.volume_claim_templates.iter().flatten().next();
        let requests = claim.and_then(|c| c.spec.as_ref()?.resources.as_ref()?.requests.as_ref());
        if let Some(size) = requests.and_then(|r| r.get("storage")) {
            self.live_claim_sizes.insert(set.name_any(), size.clone());
        }
    }
}

/// What the operator made a StatefulSet for.
pub fn size_of(set: &StatefulSet) -> Option<Size> {
    let number = |annotation| set.annotations().get(annotation)?.parse().ok();
    let members = number(MEMBERS_ANNOTATION)?;
    let sized_for = number(SIZED_FOR_ANNOTATION).unwrap_or(members);
    Some(Size { members, sized_for })
}

fn neighbours(ctx: &Context, cloud: &MesosCloud) -> Vec<Neighbour> {
    let age = |cloud: &MesosCloud| (cloud.creation_timestamp().map(|t| t.0), cloud.uid());
    ctx.stores
        .clouds
        .state()
        .iter()
        .filter_map(|other| other.0.as_ref().ok())
        .filter(|other| other.uid() != cloud.uid() && other.meta().deletion_timestamp.is_none())
        .map(|other| Neighbour {
            name: format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()),
            older: age(other) < age(cloud),
            slaves: other.spec.slaves.clone(),
        })
        .collect()
}

fn addresses(cloud: &MesosCloud, services: &[std::sync::Arc<Service>]) -> BTreeMap<String, ServiceAddress> {
    let reported = cloud.status.iter().flat_map(|s| &s.endpoints);
    let reported = reported
        .filter(|e| e.component != Component::Slave.label())
        .map(|e| {
            (
                e.name.clone(),
                ServiceAddress {
                    ip: e.address.clone(),
                    node_port: e.node_port,
                },
            )
        });
    let mut addresses: BTreeMap<_, _> = reported.collect();
    addresses.extend(addresses_of(services.iter().map(AsRef::as_ref)));
    addresses
}

/// Addresses of Services by name.
pub fn addresses_of<'a>(services: impl IntoIterator<Item = &'a Service>) -> BTreeMap<String, ServiceAddress> {
    let address = |service: &Service| {
        let spec = service.spec.as_ref()?;
        let node_port = spec.ports.iter().flatten().next().and_then(|p| p.node_port);
        Some((
            service.name_any(),
            ServiceAddress {
                ip: spec.cluster_ip.clone()?,
                node_port,
            },
        ))
    };
    services.into_iter().filter_map(address).collect()
}

/// Claims below `storage.size`. Only when there are some is the API server asked, about their class.
async fn small_claims(
    ctx: &Context,
    id: &CloudId,
    component: Component,
    storage: &Storage,
) -> Result<Vec<Claim>, Error> {
    let Some(size) = units(&storage.size.0) else {
        return Ok(Vec::new());
    };
    let mut classes: BTreeMap<String, bool> = BTreeMap::new();
    let mut claims = Vec::new();
    for claim in of_cloud(&ctx.stores.claims, id) {
        let requested = claim
            .spec
            .as_ref()
            .and_then(|s| s.resources.as_ref()?.requests.as_ref()?.get("storage"));
        let Some(requested) = requested.and_then(|q| units(&q.0)) else {
            continue;
        };
        let is_ours = component_of(claim.as_ref()) == Some(component)
            && !claim.annotations().contains_key(LEFT_OVER_ANNOTATION);
        if !is_ours || requested >= size {
            continue;
        }
        let class = claim
            .spec
            .as_ref()
            .and_then(|s| s.storage_class_name.clone())
            .unwrap_or_default();
        let can_grow = if let Some(known) = classes.get(&class) {
            *known
        } else {
            let found = Api::<StorageClass>::all(ctx.client.clone())
                .get_opt(&class)
                .await
                .map_err(|e| Error::StorageClass {
                    class: class.clone(),
                    source: Box::new(e),
                })?;
            found.is_some_and(|c| c.allow_volume_expansion == Some(true))
        };
        classes.insert(class.clone(), can_grow);
        claims.push(Claim {
            name: claim.name_any(),
            requested,
            can_grow,
            class,
        });
    }
    Ok(claims)
}

fn electorate(
    cloud: &MesosCloud,
    id: &CloudId,
    members: i32,
    addresses: &BTreeMap<String, ServiceAddress>,
) -> Option<Electorate> {
    let members = (0..members).map(|n| id.member(Component::ZooKeeper, n));
    let ensemble: Vec<_> = members
        .filter_map(|name| {
            let address = format!("{}:{ZOOKEEPER_PORT}", addresses.get(&name)?.ip);
            Some((name, address))
        })
        .collect();
    (!ensemble.is_empty()).then(|| Electorate {
        ensemble,
        mesos_path: cloud.spec.masters.zk_path.clone(),
        marathon_path: cloud.spec.marathon.zk_path.clone(),
    })
}
