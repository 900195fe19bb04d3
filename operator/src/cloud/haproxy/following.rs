//! What the agent beside HAProxy needs to follow the leader without anybody's help.

use serde::{Deserialize, Serialize};

use super::{Kind, ProxyState};
use crate::cloud::election::{Candidate, Election};

/// How the agent follows the leader by itself. No setting of HAProxy's: a change reloads nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// Where the members elect their leader; none where it does not matter who leads.
    pub place: Option<Place>,
    /// How long a request that finds no leader is held, in milliseconds.
    pub hold_timeout_ms: u32,
}

/// Where an election takes place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `ip:port` of each ZooKeeper member's Service.
    pub ensemble: Vec<String>,
    /// The members' path in ZooKeeper (`zkPath`).
    pub path: String,
    /// Name of the cloud: a candidate's host begins with it.
    pub cloud: String,
}

impl ProxyState {
    /// The election that decides who leads.
    pub fn election(&self) -> Option<Election> {
        let place = self.following.place.as_ref()?;
        match self.kind {
            Kind::Mesos => Some(Election::of_masters(&place.path)),
            Kind::Marathon => Some(Election::of_marathons(&place.path)),
            Kind::ZooKeeper => None,
        }
    }

    /// Name of the server that a candidate is. Candidates call themselves by their Service's DNS name, whose first
    /// label is the pod's: `cloud-master-1.estate.svc.cluster.local` is `master-1` of the cloud `cloud`. A stranger
    /// in the same path is nobody's server.
    pub fn server_of(&self, candidate: &Candidate) -> Option<&str> {
        let pod = candidate.host.split('.').next()?;
        let place = self.following.place.as_ref()?;
        let name = pod.strip_prefix(&place.cloud)?.strip_prefix('-')?;
        let server = self.servers.iter().find(|server| server.name == name)?;
        Some(&server.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::haproxy::Server;

    #[test]
    fn a_candidate_is_a_server_by_its_pods_name() {
        let server = |n| Server {
            name: format!("master-{n}"),
            address: format!("10.96.0.{n}:5050"),
        };
        let state = ProxyState {
            kind: Kind::Mesos,
            settings: String::new(),
            leader: None,
            servers: vec![server(1), server(11)],
            following: Following {
                place: Some(Place {
                    ensemble: Vec::new(),
                    path: "/mesos/blue".to_owned(),
                    cloud: "my-blue".to_owned(),
                }),
                hold_timeout_ms: 0,
            },
        };
        for (host, expected) in [
            ("my-blue-master-1.estate.svc.cluster.local", Some("master-1")),
            ("my-blue-master-11.estate.svc.cluster.local", Some("master-11")),
            ("my-blue-master-11", Some("master-11")),
            ("my-blue-master-2.estate.svc.cluster.local", None),
            ("blue-master-1.estate.svc.cluster.local", None),
            ("my-bluemaster-1", None),
            ("10.0.0.7", None),
            ("", None),
        ] {
            let candidate = Candidate {
                node: "json.info_0000000001".to_owned(),
                host: host.to_owned(),
                address: "10.0.0.7:5050".to_owned(),
            };
            assert_eq!(state.server_of(&candidate), expected, "{host}");
        }
    }

    #[test]
    fn each_kind_has_its_own_election() {
        let of = |kind| {
            let place = Place {
                ensemble: Vec::new(),
                path: "/x/y".to_owned(),
                cloud: "blue".to_owned(),
            };
            ProxyState {
                kind,
                settings: String::new(),
                leader: None,
                servers: Vec::new(),
                following: Following {
                    place: Some(place),
                    hold_timeout_ms: 0,
                },
            }
            .election()
            .map(|election| election.path)
        };
        assert_eq!(of(Kind::Mesos).as_deref(), Some("/x/y"));
        assert_eq!(of(Kind::Marathon).as_deref(), Some("/x/y/leader"));
        assert_eq!(of(Kind::ZooKeeper), None);
    }
}
