//! The proxy's configuration, as the operator last wrote it.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::cloud::haproxy::{CFG_KEY, ProxyState, STATE_KEY};

/// A configuration to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// HAProxy's file.
    pub cfg: String,
    /// What it is about.
    pub state: ProxyState,
}

impl Desired {
    /// Reads a ConfigMap; `None` when it is not one of the operator's.
    pub fn of(config_map: &ConfigMap) -> Option<Self> {
        let data = config_map.data.as_ref()?;
        Some(Self {
            cfg: data.get(CFG_KEY)?.clone(),
            state: serde_json::from_str(data.get(STATE_KEY)?).ok()?,
        })
    }
}

/// Watches one ConfigMap for ever. What was last read stays while the API server is away or the object is.
///
/// Through the API, because a mounted ConfigMap arrives only after a minute or more.
pub async fn follow(client: Client, namespace: &str, name: &str, desired: watch::Sender<Option<Desired>>) {
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let events = watcher(Api::<ConfigMap>::namespaced(client, namespace), only)
        .default_backoff()
        .applied_objects();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event.map(|config_map| Desired::of(&config_map)) {
            Ok(Some(read)) => {
                desired.send_if_modified(|current| {
                    let differs = current.as_ref() != Some(&read);
                    *current = Some(read);
                    differs
                });
            }
            Ok(None) => tracing::warn!(
                name,
                "the ConfigMap holds no proxy configuration, keeping the last"
            ),
            Err(error) => tracing::warn!(name, %error, "the ConfigMap cannot be watched, keeping the last"),
        }
    }
}
