//! Marathon's way to ZooKeeper: names are resolved **once**, at start, and the addresses used for ever
//! (ZOOKEEPER-2184, fixed after Marathon 1.1.1).

use std::time::Duration;

use zookeeper_client as zk;

use crate::zk_url::ZkUrl;

/// Everyone reads, the creator does the rest: what a `user:password@` in the URL asks for.
const PROTECTED: &[zk::Acl] = &[
    zk::Acl::new_const(zk::Permission::ALL, "auth", ""),
    zk::Acl::new_const(zk::Permission::READ, "world", "anyone"),
];
/// Pause between two attempts to resolve the names.
const RETRY: Duration = Duration::from_secs(1);

/// The ensemble's addresses, found once.
#[derive(Debug, Clone)]
pub struct Ensemble {
    servers: String,
    auth: Option<String>,
    /// The path of this Marathon's nodes.
    pub path: String,
}

impl Ensemble {
    /// Resolves every name; waits until all of them are known.
    pub async fn resolve(url: &ZkUrl) -> Self {
        let addresses = loop {
            match url.resolve().await {
                Ok(addresses) => break addresses,
                Err(error) => tracing::info!("Cannot resolve {error}"),
            }
            tokio::time::sleep(RETRY).await;
        };
        let servers: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Self {
            servers: servers.join(","),
            auth: url.auth.clone(),
            path: url.path.clone(),
        }
    }

    /// A new session. Java's client takes a connection for lost when nothing comes for two thirds of the session's
    /// time, this one by default after two fifths; three fifths is the most that can be asked for, and it must be
    /// asked for before the session's time is known. So a first session finds that out.
    pub async fn connect(&self, timeout: Duration) -> Result<zk::Client, zk::Error> {
        let granted = self
            .connector(timeout)
            .connect(&self.servers)
            .await?
            .session_timeout();
        self.connector(timeout)
            .with_connection_timeout(granted * 3 / 5)
            .connect(&self.servers)
            .await
    }

    fn connector(&self, timeout: Duration) -> zk::Connector {
        // 3.4.8 knows no newer request codes.
        let connector = zk::Client::connector()
            .with_session_timeout(timeout)
            .with_server_version(3, 4, 8);
        match &self.auth {
            Some(auth) => connector.with_auth("digest", auth.as_bytes()),
            None => connector,
        }
    }

    /// For nodes it creates.
    pub fn acl(&self) -> zk::Acls<'static> {
        if self.auth.is_some() {
            zk::Acls::new(PROTECTED)
        } else {
            zk::Acls::anyone_all()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_addresses_are_kept() {
        let url = ZkUrl::parse("zk://localhost:2181,127.0.0.2:2182/marathon").unwrap();
        let ensemble = Ensemble::resolve(&url).await;
        assert_eq!(ensemble.servers, "127.0.0.1:2181,127.0.0.2:2182");
        assert_eq!(ensemble.path, "/marathon");
    }
}
