//! Third step: every object of a cloud. Pure; one file per component.

mod guard;
mod marathon;
mod masters;
mod member_set;
mod pod;
mod probe;
mod proxies;
pub mod sidecar_image;
mod slaves;
mod zookeeper;

use std::collections::BTreeMap;
use std::marker::PhantomData;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use mesoscloud_crds::status::Leaders;

use self::sidecar_image::LiveSidecar;
use super::validate::ValidatedCloud;
use crate::cloud::component::Component;
use crate::cloud::endpoints::ServiceAddress;

/// What the objects are made from.
pub struct Inputs<'a> {
    /// The cloud.
    pub cloud: &'a ValidatedCloud,
    /// Image of this program, for the operator's own containers in the cloud's pods.
    pub operator_image: &'a str,
    /// Addresses of the cloud's Services by name, as far as they are known.
    pub addresses: &'a BTreeMap<String, ServiceAddress>,
    /// Who leads.
    pub leaders: &'a Leaders,
    /// The operator's image in the live workloads, by workload.
    pub live_sidecars: &'a BTreeMap<String, LiveSidecar>,
    /// The size that live StatefulSets make their claims with, by StatefulSet.
    pub live_claim_sizes: &'a BTreeMap<String, Quantity>,
}

impl Inputs<'_> {
    /// The name of a member's own Service, for its environment, where `POD_NAME` stands before it.
    fn own_host(&self) -> String {
        format!(
            "$(POD_NAME).{}.svc.{}",
            self.cloud.id.namespace, self.cloud.id.cluster_domain
        )
    }
}

/// Objects that have been built.
#[derive(Debug)]
pub struct Prepared;
/// Objects that the API server has.
#[derive(Debug)]
pub struct Applied;

/// Every object of a cloud, by kind. `S` tells whether they are only built or applied as well, so that no
/// status can be made of what was never applied.
#[derive(Debug)]
pub struct Resources<S = Prepared> {
    /// Accounts of the proxies' agents.
    pub service_accounts: Vec<ServiceAccount>,
    /// What those accounts may do.
    pub roles: Vec<Role>,
    /// Which account may do what.
    pub role_bindings: Vec<RoleBinding>,
    /// Configuration of ZooKeeper and the proxies.
    pub config_maps: Vec<ConfigMap>,
    /// Names of ConfigMaps that cannot be built for now: those that are there stay as they are.
    pub kept_config_maps: Vec<String>,
    /// Addresses of members and proxies.
    pub services: Vec<Service>,
    /// ZooKeeper, masters, Marathon.
    pub stateful_sets: Vec<StatefulSet>,
    /// The proxies.
    pub deployments: Vec<Deployment>,
    /// The slaves.
    pub daemon_sets: Vec<DaemonSet>,
    /// How many members may be absent when nodes are emptied.
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    state: PhantomData<S>,
}

impl<S> Resources<S> {
    /// The same objects in another state.
    pub(super) fn into_state<T>(self) -> Resources<T> {
        let Self {
            service_accounts,
            roles,
            role_bindings,
            config_maps,
            kept_config_maps,
            services,
            stateful_sets,
            deployments,
            daemon_sets,
            disruption_budgets,
            state: _,
        } = self;
        Resources {
            service_accounts,
            roles,
            role_bindings,
            config_maps,
            kept_config_maps,
            services,
            stateful_sets,
            deployments,
            daemon_sets,
            disruption_budgets,
            state: PhantomData,
        }
    }
}

/// Builds every object of the cloud. What is refused is left out.
pub fn build(inputs: &Inputs<'_>) -> Resources {
    let mut resources = Resources {
        service_accounts: Vec::new(),
        roles: Vec::new(),
        role_bindings: Vec::new(),
        config_maps: Vec::new(),
        kept_config_maps: Vec::new(),
        services: Vec::new(),
        stateful_sets: Vec::new(),
        deployments: Vec::new(),
        daemon_sets: Vec::new(),
        disruption_budgets: Vec::new(),
        state: PhantomData,
    };
    zookeeper::build(inputs, &mut resources);
    masters::build(inputs, &mut resources);
    marathon::build(inputs, &mut resources);
    proxies::build(inputs, &mut resources);
    if !inputs.cloud.refuses(Component::Slave) {
        slaves::build(inputs, &mut resources);
    }
    resources
}

/// Name, labels and owner of one object.
fn metadata(cloud: &ValidatedCloud, component: Component, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cloud.id.namespace.clone()),
        labels: Some(cloud.id.labels(component)),
        owner_references: Some(vec![cloud.owner.clone()]),
        ..ObjectMeta::default()
    }
}
