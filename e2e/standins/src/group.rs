//! Groups of processes in ZooKeeper, as Mesos keeps them (src/zookeeper/group.cpp @ 0.28.1): each member is an
//! ephemeral sequential node directly below the group's folder, and the one with the smallest number leads.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use zookeeper_client::{Acl, Acls, Client, CreateMode, Error, OneshotWatcher, Permission, SessionState};

use crate::zk_url::ZkUrl;

/// Contender, detector and log all ask for this; the server may grant less (contender.cpp @ 0.28.1:44).
const SESSION: Duration = Duration::from_secs(10);
/// A new handle knocks at every server, and again after this (zookeeper.c @ release-3.4.5, `zookeeper_interest`:
/// a sixtieth of the session's time).
const KNOCK: Duration = Duration::from_millis(166);
/// After a failure that may pass (group.cpp @ 0.28.1:59).
const RETRY: Duration = Duration::from_secs(2);
/// Everyone reads, the creator does the rest: what `user:password@` in the URL asks for (group.cpp:98–100).
const EVERYONE_READ_CREATOR_ALL: &[Acl] = &[
    Acl::new_const(Permission::READ, "world", "anyone"),
    Acl::new_const(Permission::ALL, "auth", ""),
];

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// The number at the end of its name; the smallest leads.
    pub sequence: u64,
    /// Its node's name, such as `json.info_0000000007`.
    pub node: String,
}

impl Member {
    /// What follows the last `_` decides: any node that ends in a number is a member, whoever made it
    /// (group.cpp @ 0.28.1:743–764).
    pub fn of(node: &str) -> Option<Self> {
        let sequence = node.rsplit('_').next()?.parse().ok()?;
        Some(Self {
            sequence,
            node: node.to_owned(),
        })
    }
}

/// One handle, hence one session, on one group.
pub struct Group {
    client: Client,
    folder: String,
    acls: Acls<'static>,
}

impl Group {
    /// A new handle; waits as long as no server answers. Every host is resolved anew (MESOS-4546), and the folder
    /// is made.
    ///
    /// # Errors
    /// In words, when a single host does not resolve, which ends every Mesos process, or when the folder cannot be
    /// made.
    pub async fn open(url: &ZkUrl, folder: &str) -> Result<Self, String> {
        let acls = if url.auth.is_some() {
            Acls::new(EVERYONE_READ_CREATOR_ALL)
        } else {
            Acls::anyone_all()
        };
        let group = Self {
            client: connect(url).await?,
            folder: folder.to_owned(),
            acls,
        };
        let mode = CreateMode::Persistent.with_acls(group.acls);
        match group.insist(|| group.client.mkdir(folder, &mode)).await {
            // Whoever opens the group finds a session that ended meanwhile by `lost`.
            Ok(()) | Err(Error::NodeExists | Error::SessionExpired) => Ok(group),
            Err(error) => Err(format!("Failed to create '{folder}' in ZooKeeper: {error}")),
        }
    }

    /// Joins with a node of this label (none: the bare number); the node's name.
    ///
    /// # Errors
    /// When the session is over, or ZooKeeper refuses.
    pub async fn join(&self, label: Option<&str>, data: &[u8]) -> Result<Member, Error> {
        let prefix = label.map(|label| format!("{label}_")).unwrap_or_default();
        let path = format!("{}/{prefix}", self.folder);
        let mode = CreateMode::EphemeralSequential.with_acls(self.acls);
        let (_, sequence) = self.insist(|| self.client.create(&path, data, &mode)).await?;
        let number = sequence.into_i64();
        Ok(Member {
            sequence: u64::try_from(number).unwrap_or_default(),
            node: format!("{prefix}{number:010}"),
        })
    }

    /// The members, the leading one first, and what tells that they have changed.
    ///
    /// # Errors
    /// When the session is over, or ZooKeeper refuses.
    pub async fn members(&self) -> Result<(Vec<Member>, OneshotWatcher), Error> {
        let list = || self.client.list_and_watch_children(&self.folder);
        let (nodes, changed) = self.insist(list).await?;
        let mut members: Vec<_> = nodes.iter().filter_map(|node| Member::of(node)).collect();
        members.sort();
        Ok((members, changed))
    }

    /// What a member says of itself; `None` when it is gone.
    ///
    /// # Errors
    /// When the session is over, or ZooKeeper refuses.
    pub async fn data(&self, member: &Member) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("{}/{}", self.folder, member.node);
        match self.insist(|| self.client.get_data(&path)).await {
            Ok((data, _)) => Ok(Some(data)),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Does `work`, which ends only in failure, as long as the session lasts.
    ///
    /// # Errors
    /// In words, when it failed for another reason than the end of the session.
    pub async fn during(&self, work: impl Future<Output = Error>) -> Result<(), String> {
        tokio::select! {
            () = self.lost() => Ok(()),
            error = work => {
                if self.client.state().is_terminated() {
                    return Ok(());
                }
                Err(format!("ZooKeeper: {error}"))
            }
        }
    }

    /// Returns when the session is over: the server says so, or the connection was away for its whole (negotiated)
    /// time, for Mesos does not wait to be told (group.cpp @ 0.28.1:467–563).
    pub async fn lost(&self) {
        let patience = self.client.session_timeout();
        let mut watcher = self.client.state_watcher();
        let mut state = self.client.state();
        while !state.is_terminated() {
            state = if state == SessionState::Disconnected {
                match timeout(patience, watcher.changed()).await {
                    Ok(state) => state,
                    Err(_) => return,
                }
            } else {
                watcher.changed().await
            };
        }
    }

    /// Repeats what failed for want of a connection: when it is back, at the latest after two seconds.
    async fn insist<T>(&self, mut operation: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            let mut watcher = self.client.state_watcher();
            match operation().await {
                Err(Error::ConnectionLoss | Error::Timeout) if !self.client.state().is_terminated() => {
                    let _ = timeout(RETRY, watcher.changed()).await;
                }
                result => return result,
            }
        }
    }
}

/// A new session, from addresses that are as old as the handle at most.
async fn connect(url: &ZkUrl) -> Result<Client, String> {
    loop {
        let addresses = url.resolve().await.map_err(|error| {
            format!("Failed to create ZooKeeper, zookeeper_init: No such file or directory [2] ({error})")
        })?;
        let servers: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let handle = Instant::now();
        while handle.elapsed() < SESSION {
            let mut connector = Client::connector()
                .with_server_version(3, 4, 8)
                .with_session_timeout(SESSION)
                .with_fail_eagerly();
            if let Some(auth) = &url.auth {
                connector = connector.with_auth("digest", auth.as_bytes());
            }
            match connector.connect(&servers.join(",")).await {
                Ok(client) => return Ok(client),
                Err(Error::NoHosts) => sleep(KNOCK).await,
                Err(error) => {
                    tracing::info!("ZooKeeper: {error}, trying again");
                    sleep(RETRY).await;
                }
            }
        }
        tracing::info!("No ZooKeeper among {} answers, trying again", url.hosts.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_ends_in_a_number_is_a_member() {
        let sequence = |node| Member::of(node).map(|member| member.sequence);
        assert_eq!(sequence("json.info_0000000012"), Some(12));
        assert_eq!(sequence("0000000003"), Some(3));
        assert_eq!(sequence("foreign_1"), Some(1));
        assert_eq!(sequence("log_replicas"), None);
        assert_eq!(sequence("json.info_"), None);
    }
}
