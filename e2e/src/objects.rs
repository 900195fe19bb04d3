//! Kubernetes objects of any kind, as far as a test looks at many kinds alike.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Api, ResourceExt as _};
use serde_json::Value;

use crate::cluster::until;
use crate::{Cloud, Cluster, Context as _, Result};

/// Time for the operator to notice and mend one object, also when it was killed a moment ago.
const MENDED: Duration = Duration::from_secs(60);

/// The kinds that the operator makes, configuration before what reads it.
pub fn owned_kinds() -> [ApiResource; 9] {
    [
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<RoleBinding>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<DaemonSet>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<StatefulSet>(&()),
    ]
}

/// One object, of a kind known only at run time.
#[derive(Clone)]
pub struct Object {
    /// Its kind.
    pub kind: ApiResource,
    /// Its content.
    pub content: DynamicObject,
    api: Api<DynamicObject>,
}

impl Object {
    /// `Kind name`, for messages.
    pub fn title(&self) -> String {
        format!("{} {}", self.kind.kind, self.name())
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.content.name_any()
    }

    /// A part of it, by JSON pointer; null where there is none.
    pub fn at(&self, pointer: &str) -> Value {
        at(&self.content, pointer)
    }

    /// Changes it as `kubectl edit` would; returns it as it is right after.
    pub async fn edit(&self, patch: &Value) -> Result<Self> {
        let content = self
            .api
            .patch(&self.name(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .context(self.title())?;
        Ok(Self {
            content,
            ..self.clone()
        })
    }

    /// Deletes it and waits until another one of the same name is there; returns that.
    pub async fn delete_and_await_successor(&self) -> Result<Self> {
        self.api
            .delete(&self.name(), &DeleteParams::background())
            .await
            .context(self.title())?;
        let uid = self.content.uid();
        self.until("is there again", |content| {
            content.uid() != uid && content.metadata.deletion_timestamp.is_none()
        })
        .await
    }

    /// Waits, by watch, until it is as wanted; returns it as it is then.
    pub async fn until(&self, what: &str, mut wanted: impl FnMut(&DynamicObject) -> bool) -> Result<Self> {
        let content = until(self.api.clone(), &self.name(), what, MENDED, |object| {
            object.filter(|content| wanted(content)).cloned()
        })
        .await
        .context(&self.kind.kind)?;
        Ok(Self {
            content,
            ..self.clone()
        })
    }
}

/// A part of an object, by JSON pointer; null where there is none.
pub fn at(content: &DynamicObject, pointer: &str) -> Value {
    let whole = serde_json::to_value(content).unwrap_or_default();
    whole.pointer(pointer).cloned().unwrap_or_default()
}

/// Everything the operator made for a cloud.
pub async fn owned(cluster: &Cluster, cloud: &Cloud) -> Result<Vec<Object>> {
    let ours = ListParams::default().labels(&cloud.selector());
    let mut all = Vec::new();
    for kind in owned_kinds() {
        let api = Api::namespaced_with(cluster.client.clone(), &cloud.namespace, &kind);
        let list = api.list(&ours).await?;
        all.extend(list.items.into_iter().map(|content| Object {
            kind: kind.clone(),
            content,
            api: api.clone(),
        }));
    }
    Ok(all)
}

/// `Kind name` of every object of every kind in a namespace that the selector matches, apart from events, which
/// tell of the past.
pub async fn inventory(cluster: &Cluster, namespace: &str, selector: &str) -> Result<BTreeSet<String>> {
    let discovery = Discovery::new(cluster.client.clone()).run().await?;
    let mut found = BTreeSet::new();
    for (kind, capabilities) in discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
    {
        if capabilities.scope != Scope::Namespaced
            || !capabilities.supports_operation(verbs::LIST)
            || kind.kind == "Event"
        {
            continue;
        }
        let api = Api::<DynamicObject>::namespaced_with(cluster.client.clone(), namespace, &kind);
        let list = api
            .list_metadata(&ListParams::default().labels(selector))
            .await
            .context(&kind.plural)?;
        found.extend(
            list.iter()
                .map(|object| format!("{} {}", kind.kind, object.name_any())),
        );
    }
    Ok(found)
}
