//! Ends a candidacy whose candidate is known to be gone.

use std::time::Duration;

use zookeeper_client::{Client, Error};

use super::Electorate;

/// It is needed for one answer.
const SESSION: Duration = Duration::from_secs(4);
/// How long a member may be silent before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// Deletes a candidate's node, in a session of its own: this is rare. That it is gone already is success.
///
/// # Errors
/// When ZooKeeper cannot be asked.
pub async fn withdraw(electorate: &Electorate, path: &str, node: &str) -> Result<(), Error> {
    let members = electorate.ensemble.iter().map(|(_, address)| address.as_str());
    // The oldest protocol that is still spoken: a 3.4 server drops a connection that asks for more.
    let client = Client::connector()
        .with_server_version(3, 4, 8)
        .with_session_timeout(SESSION)
        .with_connection_timeout(PATIENCE)
        .connect(&members.collect::<Vec<_>>().join(","))
        .await?;
    match client.delete(&format!("{path}/{node}"), None).await {
        Ok(()) | Err(Error::NoNode) => Ok(()),
        Err(error) => Err(error),
    }
}
