//! In front of ZooKeeper: any member that is part of a quorum.

use super::{Server, server_lines};
use crate::cloud::names::ZOOKEEPER_PORT;

/// The members.
pub const BACKEND: &str = "zookeeper";

/// Frontend and backend.
///
/// - Only a member that shows a Mode serves; one without a quorum accepts connections just the same.
/// - A client sends a ping every third of its session, so a connection that is silent for a minute is dead.
/// - A member that goes down ends its connections itself, and clients move to another one.
pub fn sections(servers: &[Server]) -> String {
    let servers = server_lines(servers, None, " on-marked-down shutdown-sessions");
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
    tcp-check expect rstring ^Mode:\\s
{servers}"
    )
}
