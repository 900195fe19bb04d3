//! The `zk://` strings by which Mesos and Marathon find ZooKeeper.

use super::component::Component;
use super::names::{CloudId, ZOOKEEPER_PORT};

/// Members that clients are told of.
const CLIENT_MEMBERS: i32 = 3;

/// `zk://host:port,…/path` over members' own Services.
///
/// Never a name that may vanish: one unresolvable host ends Mesos 0.28.1 (src/zookeeper/zookeeper.cpp:104–133
/// with the bundled C client 3.4.5), and Marathon 1.1.1 resolves its list once. Services outlive pods.
pub fn zk_url(id: &CloudId, members: i32, path: &str) -> String {
    format!("zk://{}{path}", zk_hosts(id, members))
}

/// `host:port,…` over the Services of the first three members, or of the only one.
///
/// Always the same ones: with the ensemble every master, Marathon and slave would have to be rolled, and a slave
/// takes its tasks with it. The first members are the last to go, and any quorum of up to five has one of them.
pub fn zk_hosts(id: &CloudId, members: i32) -> String {
    let host = |n| format!("{}:{ZOOKEEPER_PORT}", id.member_host(Component::ZooKeeper, n));
    (0..members.min(CLIENT_MEMBERS))
        .map(host)
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_every_member_in_order() {
        let id = CloudId {
            namespace: "n".into(),
            name: "c".into(),
            cluster_domain: "d".into(),
        };
        assert_eq!(zk_url(&id, 3, "/x"), zk_url(&id, 5, "/x"), "scaling rolls nobody");
        for (members, expected) in [
            (1, "zk://c-zk-0.n.svc.d:2181/mesos/my_mesos"),
            (
                3,
                "zk://c-zk-0.n.svc.d:2181,c-zk-1.n.svc.d:2181,c-zk-2.n.svc.d:2181/mesos/my_mesos",
            ),
        ] {
            assert_eq!(zk_url(&id, members, "/mesos/my_mesos"), expected);
        }
    }
}
