//! Ends a candidacy whose candidate is known to be gone.

use zookeeper_client::Error;

use super::{Electorate, session};

/// Deletes a candidate's node that was made until `made_until`, in milliseconds since 1970, in a session of its own:
/// this is rare. Returns whether it was there and that old.
///
/// # Errors
/// When ZooKeeper cannot be asked.
pub async fn withdraw(
    electorate: &Electorate,
    path: &str,
    node: &str,
    made_until: i64,
) -> Result<bool, Error> {
    let client = session::open(&electorate.servers()).await?;
    let node = format!("{path}/{node}");
    let made = client.check_stat(&node).await?.map(|stat| stat.ctime);
    if made.is_none_or(|made| made > made_until) {
        return Ok(false);
    }
    match client.delete(&node, None).await {
        Ok(()) => Ok(true),
        Err(Error::NoNode) => Ok(false),
        Err(error) => Err(error),
    }
}
