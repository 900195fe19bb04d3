//! What ZooKeeper's members tell of themselves: no znode holds it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cloud::four_letter;

/// Time that a member has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Name of the member that leads, or that is the only one, among `(name, ip:port)`.
pub async fn leader(members: &[(String, String)]) -> Option<String> {
    let answers = join_all(members.iter().map(|(name, address)| async move {
        let answer = ask(address, "srvr").await?;
        matches!(four_letter::mode(&answer)?, "leader" | "standalone").then(|| name.clone())
    }));
    answers.await.into_iter().flatten().next()
}

/// From which address each session is used, as the members tell that answer, among `host:port` separated by commas.
pub async fn sessions(members: &str) -> BTreeMap<i64, IpAddr> {
    let answers = join_all(members.split(',').map(|address| ask(address, "cons"))).await;
    let answers = answers.iter().flatten();
    answers.flat_map(|answer| four_letter::sessions(answer)).collect()
}

/// What a member answers to a four-letter word.
async fn ask(address: &str, word: &str) -> Option<String> {
    timeout(PATIENCE, said(address, word)).await.ok()?.ok()
}

async fn said(address: &str, word: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(word.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}
