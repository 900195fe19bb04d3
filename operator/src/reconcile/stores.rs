//! What the operator sees: one watch for each kind it makes, each with a store that is always current.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::{BoxStream, select_all};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::Guarded;
use crate::cloud::component::Component;
use crate::cloud::names::{COMPONENT_LABEL, CloudId, INSTANCE_LABEL, SELECTOR};

/// Every cloud, and every object of every cloud, by kind.
pub struct Stores {
    pub(super) clouds: Store<Guarded>,
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
    pub(super) disruption_budgets: Store<PodDisruptionBudget>,
    /// Kinds of which everything has been delivered.
    delivered: watch::Receiver<usize>,
}

/// What the stores are filled by, while it is polled.
pub struct Streams {
    /// Clouds that were made or changed.
    pub clouds: BoxStream<'static, Result<Guarded, watcher::Error>>,
    /// Clouds to whose objects something happened.
    pub touched: BoxStream<'static, ObjectRef<Guarded>>,
}

/// Kinds that are watched.
const KINDS: usize = 12;

impl Stores {
    /// The stores, and the streams that fill them.
    pub fn new(client: &Client) -> (Self, Streams) {
        let (count, delivered) = watch::channel(0);
        let counter = Arc::new(count);
        let mut touched = Vec::new();
        let (clouds, changed) = filled::<Guarded>(client, watcher::Config::default(), counter.clone());
        let stores = Self {
            clouds,
            pods: owned(client, &counter, &mut touched),
            claims: owned(client, &counter, &mut touched),
            service_accounts: owned(client, &counter, &mut touched),
            roles: owned(client, &counter, &mut touched),
            role_bindings: owned(client, &counter, &mut touched),
            config_maps: owned(client, &counter, &mut touched),
            services: owned(client, &counter, &mut touched),
            stateful_sets: owned(client, &counter, &mut touched),
            deployments: owned(client, &counter, &mut touched),
            daemon_sets: owned(client, &counter, &mut touched),
            disruption_budgets: owned(client, &counter, &mut touched),
            delivered,
        };
        let streams = Streams {
            clouds: changed.applied_objects().boxed(),
            touched: select_all(touched).boxed(),
        };
        (stores, streams)
    }

    /// Completes once every watch has delivered what there is; never, if the watches have ended before.
    ///
    /// Not by the stores' own `wait_until_ready`: in kube 5.0 of several tasks that wait for the same store
    /// only the last is woken.
    pub async fn delivered(&self) {
        if self
            .delivered
            .clone()
            .wait_for(|kinds| *kinds == KINDS)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

/// A watch of a kind and the store it fills; `delivered` grows when everything has arrived for the first time.
fn filled<K>(
    client: &Client,
    config: watcher::Config,
    delivered: Arc<watch::Sender<usize>>,
) -> (Store<K>, BoxStream<'static, watcher::Result<watcher::Event<K>>>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let mut first = true;
    let events = watcher(Api::<K>::all(client.clone()), config)
        .default_backoff()
        // Half of an object's metadata, and never looked at.
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .inspect(move |event| match event {
            Ok(watcher::Event::InitDone) if std::mem::take(&mut first) => {
                delivered.send_modify(|kinds| *kinds += 1);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "watch interrupted"),
        });
    (store, events.boxed())
}

/// A watch of the objects of this kind that belong to clouds.
fn owned<K>(
    client: &Client,
    delivered: &Arc<watch::Sender<usize>>,
    touched: &mut Vec<BoxStream<'static, ObjectRef<Guarded>>>,
) -> Store<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let (store, events) = filled::<K>(
        client,
        watcher::Config::default().labels(SELECTOR),
        delivered.clone(),
    );
    let clouds = events.touched_objects().filter_map(|object| async {
        let object = object.ok()?;
        Some(ObjectRef::new(object.labels().get(INSTANCE_LABEL)?).within(&object.namespace()?))
    });
    touched.push(clouds.boxed());
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
