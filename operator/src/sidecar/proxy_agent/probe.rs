//! Asks a member whether it leads, with the question that HAProxy's check asks too.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cloud::haproxy::Kind;

/// Whether the member at `address` says within `patience` that it leads and is ready to.
pub async fn leads(kind: Kind, address: &str, patience: Duration) -> bool {
    let path = match kind {
        Kind::Mesos => "/master/api/v1/scheduler",
        Kind::Marathon => "/v2/leader",
        Kind::ZooKeeper => return false,
    };
    let answer = timeout(patience, head(address, path)).await;
    matches!(answer, Ok(Ok(head)) if is_leaders(kind, &head))
}

/// Status line and headers of the answer to a GET.
async fn head(address: &str, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !answer.windows(4).any(|w| w == b"\r\n\r\n") && answer.len() < 16 * 1024 {
        match connection.read(&mut part).await? {
            0 => break,
            n => answer.extend_from_slice(&part[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn is_leaders(kind: Kind, head: &str) -> bool {
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    let status = head.split(' ').nth(1).unwrap_or_default();
    match kind {
        Kind::Mesos => status == "405" || status == "403",
        Kind::Marathon => status == "200" && !head.to_ascii_lowercase().contains("\r\nx-marathon-via:"),
        Kind::ZooKeeper => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ready_leader_is_recognised() {
        let table = [
            (
                Kind::Mesos,
                "HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\n\r\n",
                true,
            ),
            (Kind::Mesos, "HTTP/1.1 403 Forbidden\r\n\r\n", true),
            (
                Kind::Mesos,
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: //x\r\n\r\n",
                false,
            ),
            (Kind::Mesos, "HTTP/1.1 503 Service Unavailable\r\n\r\n405", false),
            (Kind::Mesos, "", false),
            (
                Kind::Marathon,
                "HTTP/1.1 200 OK\r\nX-Marathon-Leader: http://a\r\n\r\n",
                true,
            ),
            (
                Kind::Marathon,
                "HTTP/1.1 200 OK\r\nX-Marathon-Via: 1.1 b\r\n\r\n",
                false,
            ),
            (Kind::Marathon, "HTTP/1.1 404 Not Found\r\n\r\n", false),
        ];
        for (kind, head, expected) in table {
            assert_eq!(is_leaders(kind, head), expected, "{kind:?} {head:?}");
        }
    }
}
