//! Who leads (`MarathonSchedulerService.scala @ v1.1.1`, twitter commons' `CandidateImpl`): ephemeral sequential
//! nodes `<zk path>/leader/member_<10 digits>`, data `hostname:port`, the lowest leads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use zookeeper_client as zk;

use super::flags::Settings;
use super::leader::Leader;
use super::store::Store;
use super::zookeeper::Ensemble;

/// From the election to the first answer: 0.57–0.84 s in a JVM that leads for the first time, 0.13–0.28 s later
/// (docs/originals.md, "Marathon"). The slowest seen, so as not to be kinder than the original.
const FIRST_ELECTION: Duration = Duration::from_millis(800);
const LATER_ELECTION: Duration = Duration::from_millis(280);
/// How soon it offers itself again after it stepped down.
const OFFER_AGAIN: Duration = Duration::from_millis(500);
/// From `DELETE /v2/leader` to the own node's end: 0.03–0.08 s measured.
const ABDICATION: Duration = Duration::from_millis(30);
/// From SIGTERM to the own node's end: 0.06–0.09 s measured.
const SHUTDOWN: Duration = Duration::from_millis(60);
/// Pause between two attempts to reach ZooKeeper.
const RECONNECT: Duration = Duration::from_millis(500);

/// How one Marathon sees the leadership.
#[derive(Debug, Clone)]
pub enum View {
    /// It leads and is ready.
    Leading(Arc<Leader>),
    /// Another one leads, or nobody, or it is elected but not ready (then its own name).
    Following(Option<String>),
}

/// One Marathon's part in the election.
#[derive(Debug)]
pub struct Candidate {
    settings: Arc<Settings>,
    ensemble: Ensemble,
    view: watch::Sender<View>,
    elected_before: bool,
    shutdown: Arc<Notify>,
}

/// Why a leadership or a candidacy ended.
enum End {
    /// ZooKeeper is not connected any more.
    Disconnected,
    /// The own node is gone.
    NodeGone,
    /// Asked to step down.
    Abdicated,
    /// SIGTERM.
    Shutdown,
}

impl Candidate {
    /// A candidate that has not joined yet.
    pub fn new(
        settings: Arc<Settings>,
        ensemble: Ensemble,
        view: watch::Sender<View>,
        shutdown: Arc<Notify>,
    ) -> Self {
        Self {
            settings,
            ensemble,
            view,
            elected_before: false,
            shutdown,
        }
    }

    /// Takes part for ever; returns when it led and was told to shut down.
    pub async fn run(mut self, first: zk::Client) {
        let mut client = first;
        loop {
            match self.take_part(&client).await {
                Ok(End::Shutdown) => return,
                Ok(_) => {}
                Err(error) => tracing::info!("Election: {error}"),
            }
            self.view.send_replace(View::Following(None));
            tokio::time::sleep(OFFER_AGAIN).await;
            while client.state().is_terminated() {
                match self.ensemble.connect(self.settings.zk_session_timeout).await {
                    Ok(fresh) => client = fresh,
                    Err(error) => {
                        tracing::info!("Cannot connect to ZooKeeper: {error}");
                        tokio::time::sleep(RECONNECT).await;
                    }
                }
            }
        }
    }

    /// Offers itself once and follows, until it led or lost its node.
    async fn take_part(&mut self, client: &zk::Client) -> Result<End, zk::Error> {
        let parent = format!("{}/leader", self.ensemble.path);
        let acl = self.ensemble.acl();
        client
            .mkdir(&parent, &zk::CreateMode::Persistent.with_acls(acl))
            .await?;
        withdraw(client, &parent).await?;
        let prefix = format!("{parent}/member_");
        let options = zk::CreateMode::EphemeralSequential.with_acls(acl);
        let me = self.settings.host_port();
        let (_, sequence) = client.create(&prefix, me.as_bytes(), &options).await?;
        let own = format!("member_{sequence}");
        tracing::info!("Candidate {own}");
        loop {
            match self.follow(client, &parent, &own).await {
                Ok(None) => {}
                // The session, and the node with it, may well survive.
                Err(zk::Error::ConnectionLoss) => {
                    self.view.send_replace(View::Following(None));
                }
                Ok(Some(end)) => return Ok(end),
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at the candidates once and waits for a change; leads if it is the first of them.
    async fn follow(
        &mut self,
        client: &zk::Client,
        parent: &str,
        own: &str,
    ) -> Result<Option<End>, zk::Error> {
        let mut state = client.state_watcher();
        let (members, changed) = client.list_and_watch_children(parent).await?;
        let lowest = members
            .iter()
            .filter_map(|name| Some((number(name)?, name)))
            .min();
        let Some((_, lowest)) = lowest.filter(|_| members.iter().any(|name| name == own)) else {
            return Ok(Some(End::NodeGone));
        };
        if lowest == own {
            return self.lead(client, &format!("{parent}/{own}")).await.map(Some);
        }
        match client.get_data(&format!("{parent}/{lowest}")).await {
            Ok((data, _)) => {
                let leader = String::from_utf8_lossy(&data).into_owned();
                self.view.send_replace(View::Following(Some(leader)));
            }
            Err(zk::Error::NoNode) => return Ok(None),
            Err(error) => return Err(error),
        }
        tokio::select! {
            _ = changed.changed() => Ok(None),
            // It knows no leader until it is connected again.
            _ = state.changed() => Err(zk::Error::ConnectionLoss),
        }
    }

    /// Leads until something ends it, then removes its own node.
    async fn lead(&mut self, client: &zk::Client, node: &str) -> Result<End, zk::Error> {
        let mut state = client.state_watcher();
        let (_, gone) = client.check_and_watch_stat(node).await?;
        self.view
            .send_replace(View::Following(Some(self.settings.host_port())));
        let patience = if self.elected_before {
            LATER_ELECTION
        } else {
            FIRST_ELECTION
        };
        self.elected_before = true;
        let ready = tokio::time::Instant::now() + patience;

        let store = Store::open(client.clone(), &self.ensemble.path, self.ensemble.acl()).await?;
        let leader = Leader::start(Arc::clone(&self.settings), store).await?;
        let work = async {
            tokio::time::sleep_until(ready).await;
            tracing::info!("Elected and ready");
            self.view.send_replace(View::Leading(Arc::clone(&leader)));
            std::future::pending::<()>().await;
        };
        let end = tokio::select! {
            () = work => End::Abdicated,
            _ = state.changed() => End::Disconnected,
            _ = gone.changed() => End::NodeGone,
            () = leader.abdicated.notified() => End::Abdicated,
            () = self.shutdown.notified() => End::Shutdown,
        };
        self.view.send_replace(View::Following(None));
        leader.stop();
        tracing::info!("Lost leadership");
        let pause = match end {
            // What is left of the node is withdrawn when ZooKeeper is back.
            End::Disconnected | End::NodeGone => return Ok(end),
            End::Abdicated => ABDICATION,
            End::Shutdown => SHUTDOWN,
        };
        tokio::time::sleep(pause).await;
        client.delete(node, None).await?;
        Ok(end)
    }
}

/// Removes what an earlier candidacy of the same session left behind.
async fn withdraw(client: &zk::Client, parent: &str) -> Result<(), zk::Error> {
    for name in client.list_children(parent).await? {
        let node = format!("{parent}/{name}");
        match client.get_data(&node).await {
            Ok((_, stat)) if stat.ephemeral_owner == client.session_id().0 => {
                client.delete(&node, None).await?;
            }
            Ok(_) | Err(zk::Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The number of a candidate's node; other children are no candidates.
fn number(name: &str) -> Option<u64> {
    name.strip_prefix("member_")?.parse().ok()
}
