//! In front of the masters: whoever is asked, the leader answers.

use super::{
    DOWN_AT_ONCE, FORWARDED, HARMLESS, HOLD_RETRY_STATUS, RETRIES, Server, hold_line, nobody, server_lines,
};
use crate::cloud::names::MASTER_PORT;

/// The masters. At most one of them is up.
pub const BACKEND: &str = "mesos";
/// How long a worker that a reload has replaced may go on with what it has. A deposed master exits, so nothing
/// that is still open comes from a standby.
pub const HARD_STOP: &str = "1h";

/// Frontend and backend.
///
/// - Only a leader that has recovered its registry answers the check with 405 (403 when frameworks must
///   authenticate); a standby says 307, a recovering leader 503 (Mesos 0.28.1, http.cpp:341–355).
/// - A connection that fails takes the server down at once. A master that was killed may be back as a standby
///   before the next check, and must find the door closed.
/// - `timeout connect` is also the pause between two tries. Only requests that change nothing are tried again
///   once they have been sent.
/// - A request that finds no leader goes to the agent, is told to try again when there is one, and is sent to that
///   one by `option redispatch 1`. What a master says is never tried again.
/// - A request never goes out on a connection that has been used: one that is reset then, for its master died a moment
///   ago, is not tried again; HAProxy closes the client's connection without a word (seen once in 20 deaths with
///   3.0.11). A connection within the cluster costs a tenth of a millisecond.
/// - Connections to a dead master end by themselves. Cutting them (`on-marked-down shutdown-sessions`) cost
///   requests that would have been tried again (docs/originals.md).
pub fn sections(servers: &[Server], leader: Option<&str>) -> String {
    let servers = server_lines(servers, leader, |_| DOWN_AT_ONCE.to_owned());
    let (hold, nobody) = (hold_line(), nobody("No Mesos master leads at the moment."));
    format!(
        "frontend mesos
    mode http
    bind :{MASTER_PORT}
    option httplog
    timeout client 1h
    timeout http-request 10s
    timeout http-keep-alive 60s
    {FORWARDED}
    http-request disable-l7-retry if !{{ {HARMLESS} }}
    default_backend {BACKEND}

backend {BACKEND}
    mode http
    timeout server 1h
    option httpchk
    http-check send meth GET uri /master/api/v1/scheduler ver HTTP/1.1 hdr Host mesos
    http-check expect rstatus ^40[35]$
    retries {RETRIES}
    retry-on conn-failure empty-response {HOLD_RETRY_STATUS}
    option http-server-close
    http-response return {nobody} if {{ srv_name hold }}
    http-response set-header X-Mesoscloud-Server %s
    http-error {nobody}
{servers}{hold}"
    )
}
