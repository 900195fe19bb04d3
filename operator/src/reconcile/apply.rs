//! Fourth step: the API server gets what was built, and loses what is no longer part of the cloud.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::networking::v1::IPAddress;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};

use kube::runtime::reflector::Store;
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_deleted;
use kube::{Api, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::time::timeout;

use super::build::{Applied, Prepared, Resources};
use super::stores::{component_of, named, of_cloud};
use super::validate::ValidatedCloud;
use super::{Context, content_hash};
use crate::cloud::component::Component;
use crate::cloud::names::{APPLIED_HASH_ANNOTATION, MANAGER};
use crate::cloud::volume_growth::same_quantity;

/// Longest wait for the release of an address; it takes some milliseconds.
const RELEASE: Duration = Duration::from_secs(5);

/// Why the API server does not have what was built.
#[derive(Debug, Error)]
pub enum Error {
    /// It did not take an object.
    #[error("failed to apply {kind} {name}: {source}")]
    Apply {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// An object of that name is there and belongs to somebody else.
    #[error(
        "{kind} {name} exists and does not belong to this cloud: rename or delete it, or name the cloud differently"
    )]
    Foreign {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
    },
    /// It did not delete an object.
    #[error("failed to delete {kind} {name}: {source}")]
    Delete {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// An object could not be written as JSON.
    #[error("failed to write {kind} as JSON: {source}")]
    Serialize {
        /// Kind of the object.
        kind: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Applies every object, configuration before what reads it, then deletes what is left over. The Deployments and
/// DaemonSets that are `held_back` stay as they are.
///
/// # Errors
/// At the first object that the API server refuses. What was applied stays; the next pass starts anew.
pub async fn apply(
    ctx: &Context,
    cloud: &ValidatedCloud,
    resources: Resources<Prepared>,
    held_back: &BTreeSet<String>,
) -> Result<Resources<Applied>, Error> {
    let mut resources = resources.into_state::<Applied>();
    let stores = &ctx.stores;
    each(
        ctx,
        cloud,
        &stores.service_accounts,
        &mut resources.service_accounts,
    )
    .await?;
    each(ctx, cloud, &stores.roles, &mut resources.roles).await?;
    each(ctx, cloud, &stores.role_bindings, &mut resources.role_bindings).await?;
    each(ctx, cloud, &stores.config_maps, &mut resources.config_maps).await?;
    each(ctx, cloud, &stores.services, &mut resources.services).await?;
    each(ctx, cloud, &stores.stateful_sets, &mut resources.stateful_sets).await?;
    unless(
        held_back,
        ctx,
        cloud,
        &stores.deployments,
        &mut resources.deployments,
    )
    .await?;
    unless(
        held_back,
        ctx,
        cloud,
        &stores.daemon_sets,
        &mut resources.daemon_sets,
    )
    .await?;
    each(
        ctx,
        cloud,
        &stores.disruption_budgets,
        &mut resources.disruption_budgets,
    )
    .await?;

    let budgets = names(&resources.disruption_budgets);
    orphans(ctx, cloud, &stores.disruption_budgets, budgets).await?;
    orphans(ctx, cloud, &stores.daemon_sets, names(&resources.daemon_sets)).await?;
    orphans(ctx, cloud, &stores.deployments, names(&resources.deployments)).await?;
    orphans(ctx, cloud, &stores.stateful_sets, names(&resources.stateful_sets)).await?;
    orphans(ctx, cloud, &stores.services, names(&resources.services)).await?;
    let mut config_maps = names(&resources.config_maps);
    config_maps.extend(resources.kept_config_maps.iter().cloned());
    orphans(ctx, cloud, &stores.config_maps, config_maps).await?;
    orphans(ctx, cloud, &stores.role_bindings, names(&resources.role_bindings)).await?;
    orphans(ctx, cloud, &stores.roles, names(&resources.roles)).await?;
    let accounts = names(&resources.service_accounts);
    orphans(ctx, cloud, &stores.service_accounts, accounts).await?;
    Ok(resources)
}

/// Enlarges a member's disk.
///
/// # Errors
/// When the API server refuses.
pub async fn grow(ctx: &Context, cloud: &ValidatedCloud, claim: &str, size: &str) -> Result<(), Error> {
    let patch = json!({"spec": {"resources": {"requests": {"storage": size}}}});
    Api::<PersistentVolumeClaim>::namespaced(ctx.client.clone(), &cloud.id.namespace)
        .patch(claim, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map_err(|e| Error::Apply {
            kind: "PersistentVolumeClaim".into(),
            name: claim.into(),
            source: Box::new(e),
        })?;
    Ok(())
}

/// What an object kind must be to be applied.
pub trait Applicable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}
impl<K> Applicable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

async fn each<K: Applicable>(
    ctx: &Context,
    cloud: &ValidatedCloud,
    store: &Store<K>,
    objects: &mut [K],
) -> Result<(), Error>
where
    K::DynamicType: Eq + Hash,
{
    for object in objects {
        *object = one(ctx, cloud, store, object).await?;
    }
    Ok(())
}

/// The same, but those that are held back stay what they are.
async fn unless<K: Applicable>(
    held_back: &BTreeSet<String>,
    ctx: &Context,
    cloud: &ValidatedCloud,
    store: &Store<K>,
    objects: &mut [K],
) -> Result<(), Error>
where
    K::DynamicType: Eq + Hash,
{
    for object in objects {
        let name = object.name_any();
        if !held_back.contains(&name) {
            *object = one(ctx, cloud, store, object).await?;
        } else if let Some(live) = named(store, &cloud.id, &name) {
            *object = live.as_ref().clone();
        }
    }
    Ok(())
}

/// Whether the last thing that was applied in the place of `live` is what was `built`.
pub fn is_current<K: Applicable>(built: &K, live: &K) -> bool {
    let applied = live.annotations().get(APPLIED_HASH_ANNOTATION);
    desired(built).is_ok_and(|desired| Some(&desired.hash) == applied)
}

/// An object as it is applied.
struct Desired {
    object: Value,
    hash: String,
    /// An address is asked for when a Service is made; the one that it has cannot be changed.
    address: Option<Value>,
}

fn desired<K: Applicable>(built: &K) -> Result<Desired, Error> {
    let mut object = serde_json::to_value(built).map_err(|source| Error::Serialize {
        kind: K::kind(&()).into_owned(),
        source,
    })?;
    let address = object
        .pointer_mut("/spec")
        .and_then(Value::as_object_mut)
        .and_then(|spec| spec.remove("clusterIP"));
    let hash = content_hash(&object);
    object["metadata"]["annotations"][APPLIED_HASH_ANNOTATION] = Value::from(hash.as_str());
    Ok(Desired {
        object,
        hash,
        address,
    })
}

/// Applies one object, unless the live one already is what was built.
async fn one<K: Applicable>(
    ctx: &Context,
    cloud: &ValidatedCloud,
    store: &Store<K>,
    object: &K,
) -> Result<K, Error> {
    let (kind, name) = (K::kind(&()).into_owned(), object.name_any());
    let Desired {
        object: mut desired,
        address,
        ..
    } = desired(object)?;
    let live = named(store, &cloud.id, &name);
    if let Some(live) = &live {
        let now = serde_json::to_value(live.as_ref()).map_err(|source| Error::Serialize {
            kind: kind.clone(),
            source,
        })?;
        if is_part_of(&desired, &now) {
            return Ok(live.as_ref().clone());
        }
    }
    desired["apiVersion"] = Value::from(K::api_version(&()));
    desired["kind"] = Value::from(kind.clone());
    let api = Api::<K>::namespaced(ctx.client.clone(), &cloud.id.namespace);
    let failed = |source| Error::Apply {
        kind: kind.clone(),
        name: name.clone(),
        source: Box::new(source),
    };
    if live.is_none() {
        match api.get_opt(&name).await.map_err(failed)? {
            Some(found) if !belongs(&found, cloud) => return Err(Error::Foreign { kind, name }),
            None if address.is_some() => desired["spec"]["clusterIP"] = Value::from(address),
            _ => {}
        }
    }
    let params = PatchParams::apply(MANAGER).force();
    let mut result = api.patch(&name, &params, &Patch::Apply(&desired)).await;
    if is_address_taken(&result) {
        // A Service was deleted, and its address is about to be free.
        let address = desired["spec"]["clusterIP"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        released(ctx, cloud, &name, &address).await;
        result = api.patch(&name, &params, &Patch::Apply(&desired)).await;
    }
    if is_address_taken(&result)
        && let Some(spec) = desired["spec"].as_object_mut()
    {
        // Somebody else has got it in the meantime.
        spec.remove("clusterIP");
        result = api.patch(&name, &params, &Patch::Apply(&desired)).await;
    }
    result.map_err(failed)
}

fn is_address_taken<K>(result: &Result<K, kube::Error>) -> bool {
    matches!(result, Err(kube::Error::Api(status)) if status.message.contains("provided IP is already allocated"))
}

/// Waits until the API server has released the address of a Service of ours that is gone: it does so a moment
/// after the Service.
async fn released(ctx: &Context, cloud: &ValidatedCloud, service: &str, address: &str) {
    let addresses = Api::<IPAddress>::all(ctx.client.clone());
    // Without this kind, as before Kubernetes 1.33, addresses are released with their Services.
    let Ok(Some(held)) = addresses.get_opt(address).await else {
        return;
    };
    let holder = held.spec.as_ref().map(|spec| &spec.parent_ref);
    let ours = holder.is_some_and(|holder| {
        holder.name == service && holder.namespace.as_ref() == Some(&cloud.id.namespace)
    });
    if !ours {
        return;
    }
    let uid = held.uid().unwrap_or_default();
    let gone = await_condition(addresses, address, is_deleted(&uid));
    if timeout(RELEASE, gone).await.is_err() {
        tracing::warn!(service, address, "its address is not released");
    }
}

fn names<K: Applicable>(objects: &[K]) -> BTreeSet<String> {
    objects.iter().map(kube::ResourceExt::name_any).collect()
}

/// Deletes the cloud's objects of a kind whose names are not among `kept`.
async fn orphans<K: Applicable>(
    ctx: &Context,
    cloud: &ValidatedCloud,
    store: &Store<K>,
    kept: BTreeSet<String>,
) -> Result<(), Error> {
    let left: Vec<Arc<K>> = of_cloud(store, &cloud.id)
        .into_iter()
        .filter(|object| !kept.contains(&object.name_any()) && belongs(object.as_ref(), cloud))
        // Of a component of which something is refused, everything stays as it is.
        .filter(|object| !component_of(object.as_ref()).is_some_and(|c: Component| cloud.refuses(c)))
        .collect();
    for object in left {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        match Api::<K>::namespaced(ctx.client.clone(), &cloud.id.namespace)
            .delete(&object.name_any(), &params)
            .await
        {
            Ok(_) => {
                tracing::info!(kind = %K::kind(&()), name = %object.name_any(), "deleted, no longer part of the cloud");
            }
            // Gone already, or another object by now.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(source) => {
                let (kind, name) = (K::kind(&()).into_owned(), object.name_any());
                return Err(Error::Delete {
                    kind,
                    name,
                    source: Box::new(source),
                });
            }
        }
    }
    Ok(())
}

fn belongs(object: &impl Resource, cloud: &ValidatedCloud) -> bool {
    object
        .meta()
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.uid == cloud.owner.uid)
}

/// Whether everything in `desired` stands in `live` as well, which may have more: defaults, status, and what
/// others added. A list without entries is none: users may write one, and the API server leaves it out.
fn is_part_of(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            desired.iter().all(|(key, value)| match live.get(key) {
                Some(live) => is_part_of(value, live),
                None => value.as_array().is_some_and(Vec::is_empty),
            })
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len()
                && desired
                    .iter()
                    .zip(live)
                    .all(|(desired, live)| is_part_of(desired, live))
        }
        (Value::String(desired), Value::String(live)) => desired == live || same_quantity(desired, live),
        (desired, live) => desired == live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_object_may_have_more_but_not_less() {
        let live = json!({"a": 1, "cpu": "500m", "list": [{"name": "x", "default": true}], "status": {}});
        let table = [
            (json!({"a": 1}), true),
            (json!({"cpu": "0.5"}), true),
            (json!({"cpu": "0.6"}), false),
            (json!({"list": [{"name": "x"}]}), true),
            (json!({"a": 2}), false),
            (json!({"b": 1}), false),
            (json!({"list": []}), false),
            (json!({"env": []}), true),
            (json!({"list": [{"name": "x"}, {"name": "y"}]}), false),
        ];
        for (desired, expected) in table {
            assert_eq!(is_part_of(&desired, &live), expected, "{desired}");
        }
    }
}
