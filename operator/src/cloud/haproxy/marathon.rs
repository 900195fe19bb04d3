//! In front of the Marathons: the leader. While there is none, what may be sent twice waits with the agent, and what
//! may not with a Marathon.

use std::fmt::Write as _;

use super::{
    DOWN_AT_ONCE, FORWARDED, HARMLESS, HOLD_RETRY_STATUS, RETRIES, Server, hold_line, nobody, server_lines,
};
use crate::cloud::names::MARATHON_PORT;

/// The leading Marathon. At most one server is up, besides the agent.
pub const LEADER_BACKEND: &str = "marathon-leader";
/// The same one, for event streams.
const EVENTS_BACKEND: &str = "marathon-events";
/// Every Marathon that accepts connections.
pub const MEMBER_BACKEND: &str = "marathon-members";
/// How long a worker that a reload has replaced may go on with what it has. It no longer sees who leads, and a
/// deposed Marathon stays alive: an event stream must not hang on one for long.
pub const HARD_STOP: &str = "30s";

/// Frontend and backends.
///
/// - The leader answers `GET /v2/leader` itself; an answer that a standby relayed carries `X-Marathon-Via`
///   (Marathon 1.1.1, LeaderProxyFilter.scala:168).
/// - A connection that fails takes the server down at once, and is used for one request, as in front of the masters.
/// - Event streams must not pass a standby, which cuts them after 10 s of silence, and a deposed Marathon
///   stays alive: its streams are ended when it stops leading, so that their clients ask the next one. They have
///   a backend of their own: `on-marked-down shutdown-sessions` also ends the very request whose refused
///   connection took the server down, with a 500 (seen with 3.0.11).
/// - While nobody leads, a request that changes nothing waits with the agent. Any other goes to any Marathon,
///   which holds it for up to 2.75 s and passes it on, once, when there is a leader.
/// - 502 and 503 are what a Marathon says that leads no longer and cannot reach or find the one that does.
pub fn sections(servers: &[Server], leader: Option<&str>) -> String {
    let leading = server_lines(servers, leader, |_| DOWN_AT_ONCE.to_owned());
    let streaming = server_lines(servers, leader, |server| {
        format!(" no-check track {LEADER_BACKEND}/{server} on-marked-down shutdown-sessions")
    });
    let members = server_lines(servers, None, |_| String::new());
    let (hold, nobody) = (hold_line(), nobody("No Marathon answers at the moment."));
    // Not `nbsrv`, which would count the agent.
    let led = servers.iter().fold(String::new(), |mut led, server| {
        // Writing to a String cannot fail.
        let _ = writeln!(led, "    acl led srv_is_up({LEADER_BACKEND}/{})", server.name);
        led
    });
    format!(
        "frontend marathon
    mode http
    bind :{MARATHON_PORT}
    option httplog
    timeout client 2h
    timeout http-request 10s
    timeout http-keep-alive 60s
    option clitcpka
    {FORWARDED}
    http-request disable-l7-retry if !{{ {HARMLESS} }}
{led}    use_backend {MEMBER_BACKEND} if !led !{{ {HARMLESS} }}
    use_backend {EVENTS_BACKEND} if {{ path /v2/events }}
    default_backend {LEADER_BACKEND}

backend {LEADER_BACKEND}
    mode http
    timeout server 2h
    option srvtcpka
    option httpchk
    http-check send meth GET uri /v2/leader ver HTTP/1.1 hdr Host marathon
    http-check expect status 200
    http-check expect ! hdr name X-Marathon-Via
    retries {RETRIES}
    retry-on conn-failure empty-response 502 503 {HOLD_RETRY_STATUS}
    option http-server-close
    http-response return {nobody} if {{ srv_name hold }}
    http-response set-header X-Mesoscloud-Server %s
    http-error {nobody}
{leading}{hold}
backend {EVENTS_BACKEND}
    mode http
    timeout server 2h
    option srvtcpka
    retries {RETRIES}
    retry-on conn-failure empty-response {HOLD_RETRY_STATUS}
    http-response return {nobody} if {{ srv_name hold }}
    http-response set-header X-Mesoscloud-Server %s
    http-error {nobody}
{streaming}{hold}
backend {MEMBER_BACKEND}
    mode http
    timeout server 60s
    retry-on conn-failure empty-response
    http-response set-header X-Mesoscloud-Server %s
    http-error {nobody}
{members}"
    )
}
