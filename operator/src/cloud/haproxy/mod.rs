//! HAProxy's configuration for each of the three proxies.
//!
//! What holds for all of them, found with HAProxy 3.0.11:
//! - A server is believed up until its first check. A standby's answer must never be served, so a fresh process
//!   reads [`all_down`] as its state file and believes nobody until a check succeeds.
//! - Servers are member Services: pods come and go, and the file stays the same.
//! - The admin socket is a file in the pod; no port changes anything.

mod marathon;
mod mesos;
mod zookeeper;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::names::{MARATHON_PORT, MASTER_PORT, ZOOKEEPER_PORT};

/// Folder that HAProxy and its agent share.
pub const RUN_DIR: &str = "/run/haproxy";
/// Port of the statistics page and of HAProxy's metrics.
pub const ADMIN_PORT: i32 = 9101;
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
    /// Hash of everything in the configuration but the leader: HAProxy is reloaded when this changes.
    pub settings: String,
    /// Name of the server that leads.
    pub leader: Option<String>,
    /// The members.
    pub servers: Vec<Server>,
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
pub fn config(kind: Kind, servers: &[Server], leader: Option<&str>) -> ProxyConfig {
    let leader = leader.filter(|name| servers.iter().any(|s| s.name == *name));
    let settings = text(kind, servers, None);
    ProxyConfig {
        cfg: text(kind, servers, leader),
        state: ProxyState {
            kind,
            settings: Sha256::digest(settings.as_bytes()).iter().take(5).fold(
                String::new(),
                |mut hash, byte| {
                    // Writing to a String cannot fail.
                    let _ = write!(hash, "{byte:02x}");
                    hash
                },
            ),
            leader: leader.map(str::to_owned),
            servers: servers.to_vec(),
        },
    }
}

/// A state file in which every server of the proxy is down, so that a fresh process serves nobody before a
/// check of its own. Format: version 1 of `show servers state` (HAProxy management guide, 9.3).
pub fn all_down(state: &ProxyState) -> String {
    let mut file = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight \
        srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health \
        srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord \
        srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
        .to_owned();
    for backend in state.kind.backends() {
        for (n, server) in state.servers.iter().enumerate() {
            let (ip, port) = server.address.rsplit_once(':').unwrap_or((&server.address, "0"));
            // Writing to a String cannot fail.
            let _ = writeln!(
                file,
                "0 {backend} {} {} {ip} 0 0 1 1 0 1 0 0 6 0 0 0 - {port} - 0 0 - - 0",
                n + 1,
                server.name
            );
        }
    }
    file
}

fn text(kind: Kind, servers: &[Server], leader: Option<&str>) -> String {
    let sections = match kind {
        Kind::Mesos => mesos::sections(servers, leader),
        Kind::Marathon => marathon::sections(servers, leader),
        Kind::ZooKeeper => zookeeper::sections(servers),
    };
    let hard_stop = match kind {
        // A ZooKeeper session is one connection for as long as its client lives: a reload must not end it soon.
        Kind::ZooKeeper => "24h",
        Kind::Mesos | Kind::Marathon => "1h",
    };
    format!(
        "# Written by mesoscloud-operator. Servers are the members' Services; the leader comes first.
global
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

/// The lines of a backend's servers: the leader first, the others its backup.
fn server_lines(servers: &[Server], leader: Option<&str>, options: &str) -> String {
    let (first, others): (Vec<_>, Vec<_>) = servers
        .iter()
        .partition(|server| Some(server.name.as_str()) == leader);
    let backup = if first.is_empty() { "" } else { " backup" };
    let line = |server: &Server, backup: &str| {
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
        let config = config(Kind::Mesos, &servers("master", 3, 5050), Some("master-1"));
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
        let settings = |servers: &[Server], leader| config(Kind::Mesos, servers, leader).state.settings;
        let three = servers("master", 3, 5050);
        assert_eq!(settings(&three, None), settings(&three, Some("master-2")));
        assert_ne!(settings(&three, None), settings(&three[..1], None));
        // Somebody else leads in this path: a stranger is nobody's server.
        assert_eq!(config(Kind::Mesos, &three, Some("stranger")).state.leader, None);
    }

    #[test]
    fn a_fresh_process_believes_nobody() {
        let state = config(Kind::Marathon, &servers("marathon", 2, 8080), None).state;
        let file = all_down(&state);
        let lines: Vec<Vec<_>> = file.lines().skip(2).map(|l| l.split(' ').collect()).collect();
        assert_eq!(lines.len(), 4, "each server in both backends");
        let columns = file.lines().nth(1).unwrap().split(' ').count() - 1;
        for line in lines {
            assert_eq!(line.len(), columns);
            assert_eq!(line[5], "0", "operational state: stopped");
        }
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
                config(kind, &servers(name, count, kind.port()), leader.as_deref()).cfg
            );
        }
    }
}
