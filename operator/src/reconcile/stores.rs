//! What the operator sees: one watch for each kind it makes, each with a store that is always current.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::future::try_join_all;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::runtime::reflector::store::WriterDropped;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::Guarded;
use crate::cloud::component::Component;
use crate::cloud::names::{COMPONENT_LABEL, CloudId, INSTANCE_LABEL, SELECTOR};

/// Every object of every cloud, by kind.
pub struct Stores {
    pub(super) pods: Store<Pod>,
    pub(super) claims: Store<PersistentVolumeClaim>,
    pub(super) service_accounts: Store<ServiceAccount>,
    pub(super) roles: Store<Role>,
    pub(super) role_bindings: Store<RoleBinding>,
    pub(super) config_maps: Store<ConfigMap>,
    pub(super) services: Store<Service>,
    pub(super) stateful_sets: Store<StatefulSet>,
    pub(super) deployments: Store<Deployment>,
    pub(super) daemon_sets: Store<DaemonSet>,
}

impl Stores {
    /// The stores, and the stream of clouds to which something happened. The stores fill while it is polled.
    pub fn new(client: &Client) -> (Self, BoxStream<'static, ObjectRef<Guarded>>) {
        let mut streams = Vec::new();
        let stores = Self {
            pods: watch(client, &mut streams),
            claims: watch(client, &mut streams),
            service_accounts: watch(client, &mut streams),
            roles: watch(client, &mut streams),
            role_bindings: watch(client, &mut streams),
            config_maps: watch(client, &mut streams),
            services: watch(client, &mut streams),
            stateful_sets: watch(client, &mut streams),
            deployments: watch(client, &mut streams),
            daemon_sets: watch(client, &mut streams),
        };
        (stores, futures::stream::select_all(streams).boxed())
    }

    /// Completes once every watch has delivered what there is.
    ///
    /// # Errors
    /// When the watches have ended.
    pub async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        let Self {
            pods,
            claims,
            service_accounts,
            roles,
            role_bindings,
            config_maps,
            services,
            stateful_sets,
            deployments,
            daemon_sets,
        } = self;
        try_join_all([
            pods.wait_until_ready().boxed(),
            claims.wait_until_ready().boxed(),
            service_accounts.wait_until_ready().boxed(),
            roles.wait_until_ready().boxed(),
            role_bindings.wait_until_ready().boxed(),
            config_maps.wait_until_ready().boxed(),
            services.wait_until_ready().boxed(),
            stateful_sets.wait_until_ready().boxed(),
            deployments.wait_until_ready().boxed(),
            daemon_sets.wait_until_ready().boxed(),
        ])
        .await
        .map(drop)
    }
}

fn watch<K>(client: &Client, streams: &mut Vec<BoxStream<'static, ObjectRef<Guarded>>>) -> Store<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let stream = watcher(
        Api::<K>::all(client.clone()),
        watcher::Config::default().labels(SELECTOR),
    )
    .default_backoff()
    // Half of an object's metadata, and never looked at.
    .modify(|object| object.managed_fields_mut().clear())
    .reflect(writer)
    .touched_objects()
    .filter_map(|touched| async {
        let object = touched
            .inspect_err(|error| tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted"))
            .ok()?;
        Some(ObjectRef::new(object.labels().get(INSTANCE_LABEL)?).within(&object.namespace()?))
    });
    streams.push(stream.boxed());
    store
}

/// The objects of one cloud in a store.
pub fn of_cloud<K>(store: &Store<K>, id: &CloudId) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let ours = |object: &K| {
        object.meta().namespace.as_ref() == Some(&id.namespace)
            && object.labels().get(INSTANCE_LABEL) == Some(&id.name)
    };
    store.state().into_iter().filter(|object| ours(object)).collect()
}

/// The object of this name in a store.
pub fn named<K>(store: &Store<K>, id: &CloudId, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + 'static,
    K::DynamicType: Eq + Hash,
{
    store.get(&ObjectRef::new(name).within(&id.namespace))
}

/// The component an object belongs to.
pub fn component_of(object: &impl Resource) -> Option<Component> {
    Component::from_label(object.meta().labels.as_ref()?.get(COMPONENT_LABEL)?)
}
