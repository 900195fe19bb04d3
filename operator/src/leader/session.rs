//! Sessions with a cloud's ZooKeeper.

use std::time::Duration;

use zookeeper_client::{Client, Connector, Error};

/// As short as a session is by default (`spec.zookeeper.maxSessionTimeout`): a short one finds another server soon, and
/// what it owns ends soon after the program.
const SESSION: Duration = Duration::from_secs(4);
/// How long a member may be silent before the next one is asked.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// A session with the ensemble of these servers, `ip:port` with commas between, of which any may be down.
///
/// # Errors
/// When none of them can be reached.
pub async fn open(servers: &str) -> Result<Client, Error> {
    connector()
        .with_connection_timeout(PATIENCE)
        .connect(servers)
        .await
}

/// Connects to an ensemble.
fn connector() -> Connector {
    Client::connector()
        // The oldest protocol that is still spoken: a 3.4 server drops a connection that asks for more.
        .with_server_version(3, 4, 8)
        .with_session_timeout(SESSION)
}
