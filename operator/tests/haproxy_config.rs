//! What the operator writes is a configuration that the real HAProxy takes without a warning.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "proxy_lab/program.rs"]
mod program;

use std::process::Command;

use mesoscloud_operator::cloud::haproxy::{Following, Kind, RUN_DIR, Server, config, server_states};

#[test]
fn haproxy_accepts_every_configuration_without_a_warning() {
    for (kind, name) in [
        (Kind::Mesos, "master"),
        (Kind::Marathon, "marathon"),
        (Kind::ZooKeeper, "zk"),
    ] {
        for (count, leader) in [(1, None), (1, Some(0)), (3, None), (3, Some(2)), (7, Some(6))] {
            let servers: Vec<_> = (0..count)
                .map(|n| Server {
                    name: format!("{name}-{n}"),
                    address: format!("10.96.0.{}:{}", n + 1, kind.port()),
                })
                .collect();
            let leader = leader.map(|n| format!("{name}-{n}"));
            let config = config(kind, &servers, leader.as_deref(), Following::default());
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            // Half of them up, half of them down.
            let states = server_states(&config.state, |_, server| server.name.ends_with(['0', '2', '4']));
            std::fs::write(path("servers.state"), states).unwrap();
            std::fs::write(
                path("haproxy.cfg"),
                config.cfg.replace(RUN_DIR, dir.path().to_str().unwrap()),
            )
            .unwrap();
            let output = Command::new(&*program::HAPROXY)
                .args(["-c", "-f"])
                .arg(path("haproxy.cfg"))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // That a server is down because the state file says so is told as a warning too.
            let against: Vec<_> = said
                .lines()
                .filter(|line| line.starts_with("[WARNING]") || line.starts_with("[ALERT]"))
                .filter(|line| !line.contains("changed from server-state"))
                .filter(|line| !line.contains(" is DOWN via "))
                .filter(|line| !line.contains("has no server available"))
                .collect();
            assert!(
                output.status.success() && against.is_empty(),
                "{kind:?} {count} {leader:?}: {said}"
            );
        }
    }
}
