//! The kind cluster.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{Config, KubeConfigOptions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{CONTEXT, Context as _, Error, Result};

/// Label of the namespaces that tests make.
const LABEL: &str = "mesoscloud.io/e2e";
/// Time for a namespace to be emptied: its pods have half a minute to end.
const NAMESPACE_GONE: Duration = Duration::from_secs(180);

/// The kind cluster.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the rights of kind's administrator.
    pub client: Client,
}

impl Cluster {
    /// Connects to it.
    pub async fn connect() -> Result<Self> {
        let options = KubeConfigOptions {
            context: Some(CONTEXT.to_owned()),
            ..KubeConfigOptions::default()
        };
        let config = Config::from_kubeconfig(&options)
            .await
            .context("is the cluster up? `make up` raises it")?;
        Ok(Self {
            client: Client::try_from(config)?,
        })
    }

    /// The objects of a kind in a namespace.
    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes a namespace for a test, which enforces this Pod Security Standard.
    pub async fn create_namespace(&self, name: &str, standard: &str) -> Result {
        let namespace = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {
                LABEL: "true", "pod-security.kubernetes.io/enforce": standard
            }}
        }))?;
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(())
    }

    /// Deletes a namespace and waits until it is gone with everything in it.
    pub async fn delete_namespace(&self, name: &str) -> Result {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        gone_is_fine(namespaces.delete(name, &DeleteParams::default()).await)?;
        until(namespaces, name, "is gone", NAMESPACE_GONE, |namespace| {
            namespace.is_none().then_some(())
        })
        .await
    }

    /// Names of the namespaces that tests made and that are still there.
    pub async fn test_namespaces(&self) -> Result<Vec<String>> {
        let list = Api::<Namespace>::all(self.client.clone())
            .list(&ListParams::default().labels(LABEL))
            .await?;
        Ok(list.iter().map(kube::ResourceExt::name_any).collect())
    }

    /// The only node.
    pub async fn node(&self) -> Result<Node> {
        let nodes = Api::<Node>::all(self.client.clone())
            .list(&ListParams::default())
            .await?;
        match <[Node; 1]>::try_from(nodes.items) {
            Ok([node]) => Ok(node),
            Err(nodes) => Err(Error::new(format!("{} nodes instead of one", nodes.len()))),
        }
    }

    /// Address of the only node, which the machine reaches through Docker's network.
    pub async fn node_address(&self) -> Result<String> {
        let node = self.node().await?;
        let addresses = node.status.and_then(|s| s.addresses).unwrap_or_default();
        let internal = addresses.into_iter().find(|a| a.type_ == "InternalIP");
        Ok(internal.context("the node has no address")?.address)
    }

    /// Whether new pods find a place. Without one, a deleted member stays away.
    pub async fn set_schedulable(&self, schedulable: bool) -> Result {
        let node = self.node().await?.name_any();
        let nodes = Api::<Node>::all(self.client.clone());
        if schedulable {
            nodes.uncordon(&node).await?;
        } else {
            nodes.cordon(&node).await?;
        }
        Ok(())
    }
}

/// Waits, by watch, until `wanted` finds in the object of this name (or in its absence) what it looks for.
pub async fn until<K, T>(
    api: Api<K>,
    name: &str,
    what: &str,
    patience: Duration,
    mut wanted: impl FnMut(Option<&K>) -> Option<T>,
) -> Result<T>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut last = None;
    let waiting = async {
        let mut states = pin!(watch_object(api, name).default_backoff());
        // After an error, such as one of a restarting API server, the watch resumes by itself.
        loop {
            if let Ok(Some(state)) = states.try_next().await {
                if let Some(found) = wanted(state.as_ref()) {
                    return found;
                }
                last = state;
            }
        }
    };
    if let Ok(found) = tokio::time::timeout(patience, waiting).await {
        return Ok(found);
    }
    let seen = last.and_then(|object| serde_json::to_value(object).ok());
    let seen = match &seen {
        Some(object) => object.get("status").unwrap_or(object),
        None => &Value::Null,
    };
    Err(Error::new(format!(
        "within {patience:?} it did not come about that {name} {what}; last seen: {seen:#}"
    )))
}

/// The result of deleting something that may be gone already.
pub fn gone_is_fine<T>(result: Result<T, kube::Error>) -> Result {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}
