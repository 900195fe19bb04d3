//! Who leads, as ZooKeeper tells it: sooner than the operator can write it, and without it.

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::cloud::election::{Candidate, Election};
use crate::cloud::haproxy::{Place, ProxyState};
use crate::leader::election_watch::{News, follow};

/// What is known of the election.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Elected {
    /// Nothing: ZooKeeper cannot be asked.
    #[default]
    Unknown,
    /// It leads, or nobody does.
    Known(Option<Candidate>),
}

impl Elected {
    /// Name of the server that leads: what ZooKeeper says is newer than what the operator wrote after it.
    pub fn leader<'a>(&self, state: &'a ProxyState) -> Option<&'a str> {
        match self {
            Self::Unknown => state.leader.as_deref(),
            Self::Known(leader) => state.server_of(leader.as_ref()?),
        }
    }
}

/// The watch of one election, for as long as this lives.
pub struct ElectionWatch {
    of: Option<Place>,
    /// Ends its task when it is dropped.
    _task: JoinSet<()>,
}

impl ElectionWatch {
    /// Watches where `state` says. Nothing is known at first.
    pub fn start(state: &ProxyState, elected: &watch::Sender<Elected>) -> Self {
        elected.send_if_modified(|known| std::mem::take(known) != Elected::Unknown);
        let mut task = JoinSet::new();
        if let (Some(place), Some(election)) = (&state.following.place, state.election()) {
            task.spawn(run(place.ensemble.clone(), election, elected.clone()));
        }
        Self {
            of: state.following.place.clone(),
            _task: task,
        }
    }

    /// Whether this is the election that is watched.
    pub fn is_of(&self, state: &ProxyState) -> bool {
        self.of == state.following.place
    }
}

async fn run(ensemble: Vec<String>, election: Election, elected: watch::Sender<Elected>) {
    let learn = |new: Elected| {
        elected.send_if_modified(|known| {
            let differs = *known != new;
            *known = new;
            differs
        });
    };
    let elections = [election];
    follow(&ensemble, &elections, |news| match news {
        News::Connected(_) => {}
        News::Leads(_, leader) => learn(Elected::Known(leader)),
        News::Lost => learn(Elected::Unknown),
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::haproxy::{Following, Kind, Server, config};

    #[test]
    fn what_zookeeper_says_is_newer() {
        let servers: Vec<_> = (0..3)
            .map(|n| Server {
                name: format!("master-{n}"),
                address: format!("10.96.0.{n}:5050"),
            })
            .collect();
        let following = Following {
            place: Some(Place {
                ensemble: Vec::new(),
                path: "/mesos".to_owned(),
                cloud: "blue".to_owned(),
            }),
            hold_timeout_ms: 0,
        };
        let state = config(Kind::Mesos, &servers, Some("master-0"), following).state;
        let candidate = |host: &str| {
            Elected::Known(Some(Candidate {
                node: "json.info_0000000004".to_owned(),
                host: host.to_owned(),
                address: "10.0.0.7:5050".to_owned(),
            }))
        };
        for (elected, expected) in [
            (Elected::Unknown, Some("master-0")),
            (candidate("blue-master-2.estate.svc"), Some("master-2")),
            (Elected::Known(None), None),
            (candidate("stranger"), None),
        ] {
            assert_eq!(elected.leader(&state), expected, "{elected:?}");
        }
    }
}
