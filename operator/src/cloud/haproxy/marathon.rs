//! In front of the Marathons: the leader, and while there is none, whoever can wait for one.

use super::{FORWARDED, Server, server_lines};
use crate::cloud::names::MARATHON_PORT;

/// The leading Marathon. At most one server is up.
pub const LEADER_BACKEND: &str = "marathon-leader";
/// Every Marathon that accepts connections.
pub const MEMBER_BACKEND: &str = "marathon-members";
/// How long a worker that a reload has replaced may go on with what it has. It no longer sees who leads, and a
/// deposed Marathon stays alive: an event stream must not hang on one for long.
pub const HARD_STOP: &str = "30s";

/// What a client is told when HAProxy has nobody to ask.
const NOBODY: &str = "http-error status 503 content-type text/plain string \"No Marathon answers at the moment.\\n\" hdr Retry-After 1";

/// Frontend and backends.
///
/// - The leader answers `GET /v2/leader` itself; an answer that a standby relayed carries `X-Marathon-Via`
///   (Marathon 1.1.1, LeaderProxyFilter.scala:168).
/// - Event streams must not pass a standby, which cuts them after 10 s of silence, and a deposed Marathon
///   stays alive: its streams are ended when it stops leading, so that their clients ask the next one.
/// - While nobody leads, any Marathon holds a request for up to 2.75 s and answers it when one does.
pub fn sections(servers: &[Server], leader: Option<&str>) -> String {
    let leading = server_lines(
        servers,
        leader,
        " on-marked-down shutdown-sessions observe layer4 error-limit 1 on-error mark-down",
    );
    let members = server_lines(servers, None, "");
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
    http-request disable-l7-retry if !{{ method GET HEAD OPTIONS }}
    use_backend {LEADER_BACKEND} if {{ nbsrv({LEADER_BACKEND}) gt 0 }}
    default_backend {MEMBER_BACKEND}

backend {LEADER_BACKEND}
    mode http
    timeout server 2h
    option srvtcpka
    option httpchk
    http-check send meth GET uri /v2/leader ver HTTP/1.1 hdr Host marathon
    http-check expect status 200
    http-check expect ! hdr name X-Marathon-Via
    retry-on conn-failure empty-response 502 503
    http-response set-header X-Mesoscloud-Server %s
    {NOBODY}
{leading}
backend {MEMBER_BACKEND}
    mode http
    timeout server 60s
    retry-on conn-failure empty-response
    http-response set-header X-Mesoscloud-Server %s
    {NOBODY}
{members}"
    )
}
