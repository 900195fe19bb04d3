//! Sessions with a cloud's ZooKeeper.

use std::time::Duration;

use zookeeper_client::{Client, Connector};

/// As short as a session is by default (`spec.zookeeper.maxSessionTimeout`): ours own nothing, and a short one finds
/// another server soon.
const SESSION: Duration = Duration::from_secs(4);

/// Connects to an ensemble.
pub fn connector() -> Connector {
    Client::connector()
        // The oldest protocol that is still spoken: a 3.4 server drops a connection that asks for more.
        .with_server_version(3, 4, 8)
        .with_session_timeout(SESSION)
}
