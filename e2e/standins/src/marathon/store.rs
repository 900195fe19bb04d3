//! What survives a change of leader, kept in ZooKeeper under `<zk path>/state`, under the original's names
//! (`framework:id`, `app:…`, `task:…`, `deployment:…`), as JSON where the original writes protobuf.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zookeeper_client as zk;

/// The keys' first parts.
pub const APP: &str = "app";
/// Tasks.
pub const TASK: &str = "task";
/// Deployments under way.
pub const DEPLOYMENT: &str = "deployment";
/// The last failure of a task of an app.
pub const FAILURE: &str = "taskFailure";
/// The framework id.
pub const FRAMEWORK: &str = "framework";

/// The state of one Marathon cluster in ZooKeeper.
#[derive(Debug, Clone)]
pub struct Store {
    zk: zk::Client,
    base: String,
    acl: zk::Acls<'static>,
}

impl Store {
    /// The state below `path`.
    pub async fn open(zk: zk::Client, path: &str, acl: zk::Acls<'static>) -> Result<Self, zk::Error> {
        let base = format!("{path}/state");
        zk.mkdir(&base, &zk::CreateMode::Persistent.with_acls(acl))
            .await?;
        Ok(Self { zk, base, acl })
    }

    fn node(&self, kind: &str, id: &str) -> String {
        format!(
            "{}/{kind}:{}",
            self.base,
            id.trim_start_matches('/').replace('/', "_")
        )
    }

    /// All values of one kind; what cannot be read is left out and said.
    pub async fn all<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, zk::Error> {
        let prefix = format!("{kind}:");
        let mut found = Vec::new();
        for name in self.zk.list_children(&self.base).await? {
            if !name.starts_with(&prefix) {
                continue;
            }
            match self.zk.get_data(&format!("{}/{name}", self.base)).await {
                Ok((bytes, _)) => match serde_json::from_slice(&bytes) {
                    Ok(value) => found.push(value),
                    Err(error) => tracing::info!("Cannot read {name}: {error}"),
                },
                Err(zk::Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Writes one value.
    pub async fn put(&self, kind: &str, id: &str, value: &impl Serialize) -> Result<(), zk::Error> {
        let bytes =
            serde_json::to_vec(value).map_err(|error| zk::Error::UnexpectedError(error.to_string()))?;
        let node = self.node(kind, id);
        match self.zk.set_data(&node, &bytes, None).await {
            Err(zk::Error::NoNode) => {
                let options = zk::CreateMode::Persistent.with_acls(self.acl);
                self.zk.create(&node, &bytes, &options).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Removes one value; it is no error if there is none.
    pub async fn remove(&self, kind: &str, id: &str) -> Result<(), zk::Error> {
        match self.zk.delete(&self.node(kind, id), None).await {
            Err(zk::Error::NoNode) => Ok(()),
            other => other,
        }
    }
}
