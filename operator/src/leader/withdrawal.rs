//! Ends a candidacy whose candidate is known to be gone.

use tokio::time::timeout;
use zookeeper_client::{Client, Error};

use super::{Electorate, session};

/// Deletes a candidate's node that was made until `made_until`, in milliseconds since 1970: in the session that is
/// there, which costs a round trip, or else in one of its own. Returns whether the node was there and that old.
///
/// # Errors
/// When ZooKeeper cannot be asked.
pub async fn withdraw(
    live: Option<Client>,
    electorate: &Electorate,
    path: &str,
    node: &str,
    made_until: i64,
) -> Result<bool, Error> {
    let node = format!("{path}/{node}");
    if let Some(live) = live {
        // Its member may have died with the candidate.
        let deleted = timeout(session::PATIENCE, delete(&live, &node, made_until)).await;
        if let Ok(Ok(deleted)) = deleted {
            return Ok(deleted);
        }
    }
    let own = session::open(&electorate.servers()).await?;
    delete(&own, &node, made_until).await
}

async fn delete(client: &Client, node: &str, made_until: i64) -> Result<bool, Error> {
    let made = client.check_stat(node).await?.map(|stat| stat.ctime);
    if made.is_none_or(|made| made > made_until) {
        return Ok(false);
    }
    match client.delete(node, None).await {
        Ok(()) => Ok(true),
        Err(Error::NoNode) => Ok(false),
        Err(error) => Err(error),
    }
}
