//! Who leads, read from the election nodes in ZooKeeper.

use serde::Deserialize;

/// A candidate of an election that is under way or over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Name of its node in ZooKeeper.
    pub node: String,
    /// Host it calls itself by. For members of a cloud the name of their Service.
    pub host: String,
    /// Where it listens, `host:port` or `ip:port`.
    pub address: String,
}

/// One election: where its candidates are, which of the children they are, and how they are read.
#[derive(Clone, Debug)]
pub struct Election {
    /// Folder of the candidates' nodes.
    pub path: String,
    /// Whether a child of the folder is a candidacy.
    pub is_candidate: fn(&str) -> bool,
    /// The candidate of a node with this name and content.
    pub read: fn(&str, &[u8]) -> Option<Candidate>,
}

impl Election {
    /// That of the masters, whose candidacies are directly below their path.
    pub fn of_masters(zk_path: &str) -> Self {
        Self {
            path: zk_path.to_owned(),
            is_candidate: is_master_candidate,
            read: master,
        }
    }

    /// That of the Marathons, in the folder `leader` below their path.
    pub fn of_marathons(zk_path: &str) -> Self {
        Self {
            path: format!("{zk_path}/leader"),
            is_candidate: is_marathon_candidate,
            read: marathon,
        }
    }
}

/// The leading one of a folder's children: the smallest sequence number among the nodes that `is_candidate`.
/// Neither a Mesos path's `log_replicas` nor foreign nodes take part.
pub fn leading_node<'a>(
    children: impl IntoIterator<Item = &'a str>,
    is_candidate: fn(&str) -> bool,
) -> Option<&'a str> {
    children
        .into_iter()
        .filter(|node| is_candidate(node))
        .min_by_key(|node| sequence(node))
}

/// Whether a child of Mesos' path is a master's candidacy: `json.info_` and ten digits, the only form 0.28.1
/// and later write (Mesos src/master/constants.cpp:42–43).
pub fn is_master_candidate(node: &str) -> bool {
    node.strip_prefix("json.info_").is_some_and(is_sequence)
}

/// Whether a child of Marathon's `leader` folder is a candidacy: `member_` and ten digits.
pub fn is_marathon_candidate(node: &str) -> bool {
    node.strip_prefix("member_").is_some_and(is_sequence)
}

/// The master whose candidacy holds `data`, the JSON of a MasterInfo
/// (Mesos include/mesos/mesos.proto:454–485). `address` is used, never `ip`: that one's bytes are swapped.
pub fn master(node: &str, data: &[u8]) -> Option<Candidate> {
    #[derive(Deserialize)]
    struct MasterInfo {
        hostname: Option<String>,
        address: Address,
    }
    #[derive(Deserialize)]
    struct Address {
        hostname: Option<String>,
        ip: String,
        port: u16,
    }
    let MasterInfo { hostname, address } = serde_json::from_slice(data).ok()?;
    Some(Candidate {
        node: node.to_owned(),
        host: address
            .hostname
            .or(hostname)
            .unwrap_or_else(|| address.ip.clone()),
        address: format!("{}:{}", address.ip, address.port),
    })
}

/// The Marathon whose candidacy holds `data`, plain `host:port`
/// (Marathon 1.1.1, MarathonModule.scala:251–273).
pub fn marathon(node: &str, data: &[u8]) -> Option<Candidate> {
    let address = std::str::from_utf8(data).ok()?.trim();
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    Some(Candidate {
        node: node.to_owned(),
        host: host.to_owned(),
        address: address.to_owned(),
    })
}

fn sequence(node: &str) -> Option<u64> {
    node.rsplit('_').next()?.parse().ok()
}

fn is_sequence(digits: &str) -> bool {
    digits.len() == 10 && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_number_leads() {
        let table: [(&[&str], Option<&str>); 5] = [
            (&[], None),
            (&["log_replicas"], None),
            (
                &["json.info_0000000009", "json.info_0000000010", "log_replicas"],
                Some("json.info_0000000009"),
            ),
            (
                &["json.info_0000000012", "info_0000000001", "member_0000000000"],
                Some("json.info_0000000012"),
            ),
            (
                &["json.info_7", "json.info_00000000x1", "json.info_0000000002"],
                Some("json.info_0000000002"),
            ),
        ];
        for (children, expected) in table {
            assert_eq!(
                leading_node(children.iter().copied(), is_master_candidate),
                expected,
                "{children:?}"
            );
        }
    }

    #[test]
    fn a_master_is_known_by_its_address() {
        let data = br#"{"address":{"hostname":"c-master-1.n.svc","ip":"10.0.0.7","port":5050},
            "hostname":"c-master-1.n.svc","id":"x","ip":117440522,"pid":"master@10.0.0.7:5050","port":5050}"#;
        let leader = master("json.info_0000000003", data).unwrap();
        assert_eq!(leader.host, "c-master-1.n.svc");
        assert_eq!(leader.address, "10.0.0.7:5050");
        for garbage in [
            &b""[..],
            b"{}",
            b"\xff",
            br#"{"address":{"ip":"1.2.3.4","port":99999}}"#,
        ] {
            assert_eq!(master("json.info_0000000003", garbage), None);
        }
    }

    #[test]
    fn a_marathon_is_known_by_host_and_port() {
        let leader = marathon("member_0000000001", b"c-marathon-0.n.svc:8080").unwrap();
        assert_eq!(
            (leader.host.as_str(), leader.address.as_str()),
            ("c-marathon-0.n.svc", "c-marathon-0.n.svc:8080")
        );
        for garbage in [&b""[..], b"host", b"host:", b"host:http", b"\xff:1"] {
            assert_eq!(marathon("member_0000000001", garbage), None);
        }
    }
}
