//! Which ZooKeeper member leads: no znode tells, each member does.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cloud::four_letter::mode;

/// Time that a member has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Name of the member that leads, or that is the only one, among `(name, ip:port)`.
pub async fn leader(members: &[(String, String)]) -> Option<String> {
    let answers = join_all(members.iter().map(|(name, address)| async move {
        let answer = timeout(PATIENCE, srvr(address)).await.ok()?.ok()?;
        matches!(mode(&answer)?, "leader" | "standalone").then(|| name.clone())
    }));
    answers.await.into_iter().flatten().next()
}

async fn srvr(address: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"srvr").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
