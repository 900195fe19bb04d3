//! HAProxy's configuration for each of the three proxies.
//!
//! Servers are member Services: pods come and go, and the file stays the same. The admin socket is a file in the
//! pod; no port changes anything. What shaped the rest, found with HAProxy 3.0.11:
//! - A server without a line in the state file is believed up until its first check, and first checks are spread
//!   over the interval: a standby was served for up to 0.7 s after a start. So every server always has a line
//!   ([`server_states`]), and a fresh process believes nobody.
//! - A line of the state file wins over the configuration: the port that a server had before a reload stays, and
//!   so does "up" when its address has changed. So what the last worker says is never handed on as it is.
//! - `set server … health` holds until the server's next check, which goes on in its own rhythm: a leader told
//!   down is up again within 0.5 s, a standby told up is down again within 1 s.
//! - With `fall 1 rise 1`, `fastinter` counts only until the first check. A server that is up is asked every
//!   `inter`, one that is down every `downinter`.
//! - While a check is under way its result reads "unknown", its status does not (`show servers state`).
//! - A worker that a reload has replaced goes on with its connections but checks nobody and takes no orders
//!   ("Proxy is disabled"): only `hard-stop-after` bounds what it still does. It holds no idle connections.
//! - The master's answer to `reload` waits until the new worker serves (0.1 to 0.5 s); a refused configuration
//!   leaves the old worker as it was.
//! - A leader that is killed and back as a standby before its next check, without a request in between, is
//!   served for up to a second. The agent's idle connection tells within milliseconds; this is what remains
//!   when the agent is dead. One failed request in between is enough to close the door (`on-error mark-down`).

mod following;
mod marathon;
mod mesos;
mod zookeeper;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::following::{Following, Place};
use super::names::{MARATHON_PORT, MASTER_PORT, ZOOKEEPER_PORT};

/// Folder that HAProxy and its agent share.
pub const RUN_DIR: &str = "/run/haproxy";
/// Port of the statistics page and of HAProxy's metrics.
pub const ADMIN_PORT: i32 = 9101;
/// Port on loopback where the agent holds requests that find no leader.
pub const HOLD_PORT: u16 = 9103;
/// Requests that the agent holds at most.
pub const HOLD_LIMIT: usize = 1000;
/// Status by which the agent makes HAProxy try a held request again. No master and no Marathon says it.
pub const HOLD_RETRY_STATUS: u16 = 425;
/// Key of the ConfigMap with HAProxy's configuration.
pub const CFG_KEY: &str = "haproxy.cfg";
/// Key of the ConfigMap with [`ProxyState`] as JSON.
pub const STATE_KEY: &str = "proxy.json";

/// Which of the three it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In front of the masters: always the leader.
    Mesos,
    /// In front of the Marathons: the leader first.
    Marathon,
    /// In front of ZooKeeper: any member that serves.
    ZooKeeper,
}

impl Kind {
    /// Port it listens on.
    pub fn port(self) -> i32 {
        match self {
            Self::Mesos => MASTER_PORT,
            Self::Marathon => MARATHON_PORT,
            Self::ZooKeeper => ZOOKEEPER_PORT,
        }
    }

    /// Backend whose servers are up only while they lead; `None` where it does not matter who leads.
    pub fn leader_backend(self) -> Option<&'static str> {
        match self {
            Self::Mesos => Some(mesos::BACKEND),
            Self::Marathon => Some(marathon::LEADER_BACKEND),
            Self::ZooKeeper => None,
        }
    }

    /// Every backend whose servers are the members.
    pub fn backends(self) -> &'static [&'static str] {
        match self {
            Self::Mesos => &[mesos::BACKEND],
            Self::Marathon => &[marathon::LEADER_BACKEND, marathon::MEMBER_BACKEND],
            Self::ZooKeeper => &[zookeeper::BACKEND],
        }
    }
}

/// One member behind a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Name, such as `master-1`.
    pub name: String,
    /// `ip:port` of its Service.
    pub address: String,
}

/// What the agent beside HAProxy is told, besides the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyState {
    /// Which proxy it is.
    pub kind: Kind,
    /// Hash of everything in the configuration but the leader: HAProxy is reloaded when this changes. A worker
    /// tells it as its description, so it is known what really runs.
    pub settings: String,
    /// Name of the server that leads.
    pub leader: Option<String>,
    /// The members.
    pub servers: Vec<Server>,
    /// How the agent follows the leader by itself.
    pub following: Following,
}

/// A configuration, and what the agent is told with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The file.
    pub cfg: String,
    /// For the agent.
    pub state: ProxyState,
}

/// The configuration of one proxy in front of `servers`, of which `leader` leads.
pub fn config(kind: Kind, servers: &[Server], leader: Option<&str>, following: Following) -> ProxyConfig {
    let leader = leader.filter(|name| servers.iter().any(|s| s.name == *name));
    // Who leads decides the order and `backup`, and is no setting.
    let settings = hash(&text(kind, servers, None, ""));
    ProxyConfig {
        cfg: text(kind, servers, leader, &settings),
        state: ProxyState {
            kind,
            settings,
            leader: leader.map(str::to_owned),
            servers: servers.to_vec(),
            following,
        },
    }
}

/// Five bytes of a SHA-256 in hexadecimal: enough to tell one cloud's settings apart, short enough to read.
fn hash(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().take(5).fold(String::new(), |mut hash, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// A state file for a process that is about to start: `up(backend, server)` says who is believed up until its
/// first check, which a fresh process believes of nobody. Addresses are those of the configuration.
///
/// Format: version 1 of `show servers state` (HAProxy management guide, 9.3).
pub fn server_states(state: &ProxyState, up: impl Fn(&str, &Server) -> bool) -> String {
    let mut file = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
        srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health \
        srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord \
        srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
        .to_owned();
    for backend in state.kind.backends() {
        for (n, server) in state.servers.iter().enumerate() {
            let (ip, port) = server.address.rsplit_once(':').unwrap_or((&server.address, "0"));
            // Operational state 2 is running, 0 stopped; health is counted from 0 (down) to rise + fall - 1.
            let (running, health) = if up(backend, server) { (2, 1) } else { (0, 0) };
            // Writing to a String cannot fail.
            let _ = writeln!(
                file,
                "0 {backend} {} {} {ip} {running} 0 1 1 0 1 0 {health} 6 0 0 0 - {port} - 0 0 - - 0",
                n + 1,
                server.name
            );
        }
    }
    file
}

fn text(kind: Kind, servers: &[Server], leader: Option<&str>, settings: &str) -> String {
    let (sections, hard_stop) = match kind {
        Kind::Mesos => (mesos::sections(servers, leader), mesos::HARD_STOP),
        Kind::Marathon => (marathon::sections(servers, leader), marathon::HARD_STOP),
        Kind::ZooKeeper => (zookeeper::sections(servers), zookeeper::HARD_STOP),
    };
    format!(
        "# Written by mesoscloud-operator. Servers are the members' Services; the leader comes first.
global
    description {settings}
    log stdout format raw local0 info
    stats socket {RUN_DIR}/admin.sock mode 600 level admin
    server-state-file {RUN_DIR}/servers.state
    hard-stop-after {hard_stop}
    maxconn 8000

defaults
    log global
    option dontlognull
    option redispatch 1
    retries 3
    timeout connect 100ms
    timeout check 1s
    load-server-state-from-file global
    default-server check inter 1s fastinter 100ms downinter 500ms fall 1 rise 1

frontend stats
    mode http
    bind :{ADMIN_PORT}
    no log
    timeout client 10s
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /
    stats refresh 5s

{sections}"
    )
}

/// What a frontend of layer 7 tells the servers of their client. A TLS end in front of it knows better.
const FORWARDED: &str = "option forwardfor
    http-request set-header X-Forwarded-Proto http if !{ req.hdr(X-Forwarded-Proto) -m found }
    http-request set-header X-Forwarded-Host %[req.hdr(Host)] if !{ req.hdr(X-Forwarded-Host) -m found }";

/// Methods of the requests that are tried again, and held: they change nothing.
const HARMLESS: &str = "method GET HEAD OPTIONS";

/// How often a request is tried again in a backend with a leader. One change of leader takes three: its connection
/// is reset, the next one refused, then it is held. This is enough for three changes, and, while the agent is dead
/// and refuses too, for the second that HAProxy's own checks take to find the next leader.
const RETRIES: u32 = 10;

/// The last server of a backend with a leader: the agent, with whom a request waits for one.
///
/// It is not checked, so it is there at any moment. While the agent is dead its port refuses, which costs what any
/// refused connection does. It has room to turn others away beyond [`HOLD_LIMIT`].
fn hold_line() -> String {
    let maxconn = HOLD_LIMIT + 100;
    format!("    server hold 127.0.0.1:{HOLD_PORT} no-check maxconn {maxconn} backup\n")
}

/// What a client is told when nobody leads: by HAProxy when it has nobody to ask, and when the agent has held the
/// request long enough. What the agent itself says is between the two of them.
fn nobody(text: &str) -> String {
    format!("status 503 content-type text/plain string \"{text}\\n\" hdr Retry-After 1")
}

/// Options of a server that a failed connection takes down, without a check.
const DOWN_AT_ONCE: &str = " observe layer4 error-limit 1 on-error mark-down";

/// The lines of a backend's servers, each with the options that its name has: the leader first, the others its
/// backup.
fn server_lines(servers: &[Server], leader: Option<&str>, options: impl Fn(&str) -> String) -> String {
    let (first, others): (Vec<_>, Vec<_>) = servers
        .iter()
        .partition(|server| Some(server.name.as_str()) == leader);
    let backup = if first.is_empty() { "" } else { " backup" };
    let line = |server: &Server, backup: &str| {
        let options = options(&server.name);
        format!("    server {} {}{options}{backup}\n", server.name, server.address)
    };
    let first = first.into_iter().map(|server| line(server, ""));
    first
        .chain(others.into_iter().map(|server| line(server, backup)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(name: &str, count: i32, port: i32) -> Vec<Server> {
        (0..count)
            .map(|n| Server {
                name: format!("{name}-{n}"),
                address: format!("10.96.0.{}:{port}", n + 1),
            })
            .collect()
    }

    #[test]
    fn the_leader_comes_first_and_the_others_are_its_backup() {
        let config = config(
            Kind::Mesos,
            &servers("master", 3, 5050),
            Some("master-1"),
            Following::default(),
        );
        let lines: Vec<_> = config
            .cfg
            .lines()
            .filter(|l| l.starts_with("    server "))
            .map(str::trim)
            .collect();
        assert!(lines[0].starts_with("server master-1 10.96.0.2:5050") && !lines[0].ends_with("backup"));
        assert!(lines[1].starts_with("server master-0 ") && lines[1].ends_with(" backup"));
        assert!(lines[2].starts_with("server master-2 ") && lines[2].ends_with(" backup"));
        assert_eq!(config.state.leader.as_deref(), Some("master-1"));
    }

    #[test]
    fn only_a_change_of_settings_is_worth_a_reload() {
        let settings = |servers: &[Server], leader| {
            config(Kind::Mesos, servers, leader, Following::default())
                .state
                .settings
        };
        let three = servers("master", 3, 5050);
        assert_eq!(settings(&three, None), settings(&three, Some("master-2")));
        assert_ne!(settings(&three, None), settings(&three[..1], None));
        // The agent takes these up without HAProxy.
        let following = Following {
            place: Some(Place {
                ensemble: vec!["10.96.0.9:2181".to_owned()],
                path: "/mesos".to_owned(),
                cloud: "blue".to_owned(),
            }),
            hold_timeout_ms: 1,
        };
        let followed = config(Kind::Mesos, &three, None, following);
        assert_eq!(settings(&three, None), followed.state.settings);
        // Somebody else leads in this path: a stranger is nobody's server.
        assert_eq!(
            config(Kind::Mesos, &three, Some("stranger"), Following::default())
                .state
                .leader,
            None
        );
    }

    #[test]
    fn the_settings_are_told_by_the_process_itself() {
        let config = config(
            Kind::Mesos,
            &servers("master", 3, 5050),
            Some("master-1"),
            Following::default(),
        );
        assert!(
            config
                .cfg
                .contains(&format!("    description {}\n", config.state.settings))
        );
    }

    #[test]
    fn every_server_has_a_state_with_the_address_of_the_configuration() {
        let state = config(
            Kind::Marathon,
            &servers("marathon", 2, 8080),
            None,
            Following::default(),
        )
        .state;
        let rows = |file: String| -> Vec<Vec<String>> {
            let columns = file.lines().nth(1).unwrap().split(' ').count() - 1;
            let rows = file
                .lines()
                .skip(2)
                .map(|l| l.split(' ').map(str::to_owned).collect());
            rows.inspect(|row: &Vec<String>| assert_eq!(row.len(), columns))
                .collect()
        };
        let fresh = rows(server_states(&state, |_, _| false));
        assert_eq!(fresh.len(), 4, "each server in both backends");
        for row in fresh {
            assert_eq!(row[5], "0", "operational state: stopped");
        }
        let handed_on = rows(server_states(&state, |backend, server| {
            backend == "marathon-leader" && server.name == "marathon-1"
        }));
        assert_eq!(handed_on[1][3..6], ["marathon-1", "10.96.0.2", "2"]);
        assert_eq!(handed_on[1][18], "8080");
        assert_eq!(handed_on.iter().filter(|row| row[5] == "2").count(), 1);
    }

    #[test]
    fn the_three_files_are_as_reviewed() {
        for (kind, name, count) in [
            (Kind::Mesos, "master", 3),
            (Kind::Marathon, "marathon", 2),
            (Kind::ZooKeeper, "zk", 3),
        ] {
            let leader = kind.leader_backend().map(|_| format!("{name}-1"));
            insta::assert_snapshot!(
                name,
                config(
                    kind,
                    &servers(name, count, kind.port()),
                    leader.as_deref(),
                    Following::default()
                )
                .cfg
            );
        }
    }
}
