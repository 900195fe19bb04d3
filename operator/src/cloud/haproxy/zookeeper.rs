//! In front of ZooKeeper: any member that is part of a quorum.

use super::{Server, server_lines};
use crate::cloud::names::ZOOKEEPER_PORT;

/// The members.
pub const BACKEND: &str = "zookeeper";
/// How long a worker that a reload has replaced may go on with what it has. A session is one connection for as
/// long as its client lives: a reload must not end it.
pub const HARD_STOP: &str = "24h";

/// Frontend and backend.
///
/// - Only a member that shows a Mode serves; one without a quorum accepts connections just the same.
/// - A client sends a ping every third of its session, so a connection that is silent for a minute is dead.
/// - A member that leaves the quorum ends its connections itself, and one that dies has them ended. A check that
///   fails, for a slow disk perhaps, keeps new clients away and cuts nobody.
/// - The answer is one text of several lines, in which `^` would be its very beginning.
pub fn sections(servers: &[Server]) -> String {
    let servers = server_lines(servers, None, |_| String::new());
    format!(
        "frontend zookeeper
    mode tcp
    bind :{ZOOKEEPER_PORT}
    option tcplog
    option clitcpka
    timeout client 2m
    default_backend {BACKEND}

backend {BACKEND}
    mode tcp
    balance leastconn
    option srvtcpka
    timeout server 2m
    option tcp-check
    tcp-check connect
    tcp-check send srvr
    tcp-check expect string Mode:
{servers}"
    )
}
