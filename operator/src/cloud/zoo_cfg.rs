//! ZooKeeper's configuration file.

use std::fmt::Write as _;

use mesoscloud_crds::spec::ZooKeeper;

use super::component::Component;
use super::names::{CloudId, ZOOKEEPER_ELECTION_PORT, ZOOKEEPER_PEER_PORT, ZOOKEEPER_PORT};

/// Where a member keeps its data.
pub const DATA_DIR: &str = "/data";

/// `myid` of the member with this ordinal: ZooKeeper counts from 1.
pub fn my_id(ordinal: i32) -> i32 {
    ordinal + 1
}

/// `zoo.cfg` of the member with this ordinal, in an ensemble of `members`.
///
/// - Peers are the members' Services; the own entry is 0.0.0.0, because a member binds its election port to
///   its own entry and cannot bind a Service's address (ZooKeeper 3.4.8, QuorumCnxManager.java:524–537).
/// - `initLimit` and `syncLimit` count ticks: with `tickTime` a quarter of the usual 2000 they are four times
///   the usual 10 and 5, so that the times they stand for, 20 s and 10 s, stay.
/// - `maxClientCnxns` is off: the 60 per address of ZooKeeper would count every client of the zk proxy as one.
/// - A single member is a standalone server; ZooKeeper ignores a list of one.
pub fn zoo_cfg(id: &CloudId, spec: &ZooKeeper, members: i32, ordinal: i32) -> String {
    let ticks = |millis: i32| (millis + spec.tick_time - 1) / spec.tick_time;
    let mut cfg = format!(
        "tickTime={}\nmaxSessionTimeout={}\ninitLimit={}\nsyncLimit={}\ndataDir={DATA_DIR}\n\
         clientPort={ZOOKEEPER_PORT}\nmaxClientCnxns=0\nautopurge.snapRetainCount=3\nautopurge.purgeInterval=1\n\
         admin.enableServer=false\n4lw.commands.whitelist=srvr,stat,mntr,ruok,conf,cons\n",
        spec.tick_time,
        spec.max_session_timeout,
        ticks(20_000),
        ticks(10_000),
    );
    if members > 1 {
        for member in 0..members {
            let host = if member == ordinal {
                "0.0.0.0".to_owned()
            } else {
                id.member_host(Component::ZooKeeper, member)
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                cfg,
                "server.{}={host}:{ZOOKEEPER_PEER_PORT}:{ZOOKEEPER_ELECTION_PORT}",
                my_id(member)
            );
        }
    }
    cfg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cfg(replicas: i32, ordinal: i32) -> String {
        let id = CloudId {
            namespace: "n".into(),
            name: "c".into(),
            cluster_domain: "d".into(),
        };
        zoo_cfg(&id, &ZooKeeper::default(), replicas, ordinal)
    }

    #[test]
    fn own_entry_is_any_address_and_peers_are_services() {
        let servers: Vec<_> = cfg(3, 1)
            .lines()
            .filter(|l| l.starts_with("server."))
            .map(str::to_owned)
            .collect();
        assert_eq!(
            servers,
            [
                "server.1=c-zk-0.n.svc.d:2888:3888",
                "server.2=0.0.0.0:2888:3888",
                "server.3=c-zk-2.n.svc.d:2888:3888"
            ]
        );
    }

    #[test]
    fn limits_keep_their_wall_clock() {
        let cfg = cfg(3, 0);
        for line in [
            "tickTime=500",
            "maxSessionTimeout=4000",
            "initLimit=40",
            "syncLimit=20",
        ] {
            assert!(cfg.lines().any(|l| l == line), "{line} in\n{cfg}");
        }
    }

    #[test]
    fn a_single_member_is_standalone() {
        assert!(!cfg(1, 0).contains("server."));
    }
}
