//! Follows elections in ZooKeeper, whoever wants to know: the operator, and the agent beside each proxy.

use std::time::Duration;

use futures::future::select_all;
use zookeeper_client::{Client, Error, OneshotWatcher};

use super::session;
use crate::cloud::election::{Candidate, Election, leading_node};

/// Pause before a lost session is replaced: doubled after each failure, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What ZooKeeper tells.
#[derive(Clone)]
pub enum News {
    /// There is this session. Who leads is told next.
    Connected(Client),
    /// Who leads now, in the election with this index.
    Leads(usize, Option<Candidate>),
    /// The session is over: whatever was told may have changed.
    Lost,
}

/// Follows elections for ever, with one session for all of them. `ensemble` is a list of `ip:port`, of which any
/// may be down.
pub async fn follow(ensemble: &[String], elections: &[Election], tell: impl Fn(News)) {
    let ensemble = ensemble.join(",");
    let mut pause = PAUSE.0;
    loop {
        let ended = match session::open(&ensemble).await {
            Ok(client) => {
                pause = PAUSE.0;
                tell(News::Connected(client.clone()));
                let (client, tell) = (&client, &tell);
                let all = elections.iter().enumerate().map(|(index, election)| {
                    let tell = move |leader| tell(News::Leads(index, leader));
                    Box::pin(follow_one(client, election, tell))
                });
                let (ended, ..) = select_all(all).await;
                tell(News::Lost);
                ended
            }
            Err(error) => error,
        };
        tracing::debug!(ensemble, error = %ended, "ZooKeeper cannot be asked");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Follows one election for as long as the session lasts.
async fn follow_one(client: &Client, election: &Election, tell: impl Fn(Option<Candidate>)) -> Error {
    loop {
        match leader(client, election).await {
            Ok((leader, watcher)) => {
                tell(leader);
                watcher.changed().await;
            }
            // The leader's node went between the list and the read: look again at once.
            Err(Error::NoNode) => {}
            Err(error) => return error,
        }
    }
}

async fn leader(client: &Client, election: &Election) -> Result<(Option<Candidate>, OneshotWatcher), Error> {
    let (children, watcher) = match client.list_and_watch_children(&election.path).await {
        Ok(listed) => listed,
        Err(Error::NoNode) => {
            let (stat, watcher) = client.check_and_watch_stat(&election.path).await?;
            return if stat.is_some() {
                Err(Error::NoNode)
            } else {
                Ok((None, watcher))
            };
        }
        Err(error) => return Err(error),
    };
    let Some(node) = leading_node(children.iter().map(String::as_str), election.is_candidate) else {
        return Ok((None, watcher));
    };
    let (data, _) = client.get_data(&format!("{}/{node}", election.path)).await?;
    Ok(((election.read)(node, &data), watcher))
}
