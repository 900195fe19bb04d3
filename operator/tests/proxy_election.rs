//! The agent beside a real HAProxy, with a real ZooKeeper where the members elect: what clients see when the leader
//! dies and the operator does not tell.
#![allow(clippy::unwrap_used, clippy::panic)]

mod proxy_lab;
#[allow(dead_code)] // it serves others too
#[path = "../../e2e/standins/tests/harness/zookeeper.rs"]
mod zookeeper;

use std::time::Duration;

use mesoscloud_operator::cloud::haproxy::{Following, Kind, Place};
use proxy_lab::client::{Client, assert_no_standby};
use proxy_lab::fakes::{Fake, Role};
use proxy_lab::{Lab, eventually, free_port};
use tokio::time::{Instant, sleep};
use zookeeper::ZooKeeper;
use zookeeper_client as zk;

const TOLD_DOWN: &str = "mesoscloud_proxy_applied_seconds_count{cause=\"Election\"} ";
const TOLD_UP: &str = "mesoscloud_proxy_applied_seconds_count{cause=\"Leader\"} ";
const KNOWN: &str = "mesoscloud_proxy_election_known ";

/// Members behind a proxy, and the ZooKeeper in which they elect.
struct Scene {
    lab: Lab,
    zookeeper: ZooKeeper,
    candidates: Candidates,
}

/// Those who stand for election, in one session.
struct Candidates {
    kind: Kind,
    client: zk::Client,
}

impl Scene {
    /// `count` members, of which the first leads.
    async fn start(kind: Kind, count: usize) -> Self {
        let zookeeper = ZooKeeper::start().await;
        let candidates = Candidates::of(kind, &zookeeper).await;
        for (end, _) in candidates.folder().match_indices('/').skip(1) {
            candidates.make(&candidates.folder()[..end]).await;
        }
        candidates.make(candidates.folder()).await;
        assert_eq!(candidates.stand(0).await, 0);
        let following = Following {
            place: Some(Place {
                // One of the ensemble is down.
                ensemble: vec![
                    format!("127.0.0.1:{}", free_port()),
                    format!("127.0.0.1:{}", zookeeper.port),
                ],
                path: candidates.folder().trim_end_matches("/leader").to_owned(),
                cloud: "blue".to_owned(),
            }),
            hold_timeout_ms: 5000,
        };
        Self {
            lab: Lab::start_with(kind, count, following).await,
            zookeeper,
            candidates,
        }
    }
}

impl Candidates {
    async fn of(kind: Kind, zookeeper: &ZooKeeper) -> Self {
        let client = zookeeper.client().await;
        Self { kind, client }
    }

    fn folder(&self) -> &'static str {
        match self.kind {
            Kind::Mesos => "/mesos/blue",
            _ => "/marathon/blue/leader",
        }
    }

    fn prefix(&self) -> String {
        let node = if self.kind == Kind::Mesos {
            "json.info_"
        } else {
            "member_"
        };
        format!("{}/{node}", self.folder())
    }

    async fn make(&self, folder: &str) {
        let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
        self.client.create(folder, b"", &options).await.unwrap();
    }

    /// A member stands for election, as Mesos 0.28.1 and Marathon 1.1.1 do. Returns its number.
    async fn stand(&self, member: usize) -> i64 {
        let data = if self.kind == Kind::Mesos {
            let host = format!("blue-master-{member}.estate.svc.cluster.local");
            format!(
                r#"{{"address":{{"hostname":"{host}","ip":"10.0.0.{member}","port":5050}},"hostname":"{host}",
                    "id":"x","ip":1,"pid":"master@10.0.0.{member}:5050","port":5050,"version":"0.28.1"}}"#
            )
        } else {
            format!("blue-marathon-{member}.estate.svc.cluster.local:8080")
        };
        let options = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
        let made = self
            .client
            .create(&self.prefix(), data.as_bytes(), &options)
            .await;
        made.unwrap().1.into_i64()
    }

    /// The candidacy with this number ends, as when it is withdrawn.
    async fn withdraw(&self, number: i64) {
        let node = format!("{}{number:010}", self.prefix());
        self.client.delete(&node, None).await.unwrap();
    }
}

/// The leader is killed again and again under steady load, and nobody tells the proxy but ZooKeeper.
async fn leaders_die(kind: Kind, count: usize) {
    let Scene {
        mut lab,
        candidates,
        zookeeper: _zookeeper,
    } = Scene::start(kind, count).await;
    let worker = lab.worker().await;
    let first = lab.leader_in_file();
    let client = Client::start(lab.port);
    let posts = Client::with(lab.port, "POST", |n| format!("/post/{n}"));
    let (mut gaps, mut lags) = (Vec::new(), Vec::new());
    for round in 0..10 {
        let (old, new) = (round % count, (round + 1) % count);
        let next = candidates.stand(new).await;
        let killed = Instant::now();
        lab.fakes[old].kill().await;
        lab.fakes[new].become_(Role::Recovering);
        // Guard notices.
        sleep(Duration::from_millis(20)).await;
        candidates.withdraw(next - 1).await;
        // The next leader recovers.
        sleep(Duration::from_millis(60)).await;
        let ready = Instant::now();
        lab.fakes[new].become_(Role::Leader);
        let name = lab.fakes[new].server.name.clone();
        lab.until_served_by(&name).await;
        gaps.push(killed.elapsed());
        lags.push(ready.elapsed());
        // Its container comes back.
        lab.fakes[old].revive(Role::Standby).await;
        sleep(Duration::from_millis(200)).await;
    }
    let (counts, slowest) = client.end_timed().await;
    let posted = posts.end().await;
    gaps.sort();
    lags.sort();
    println!("{counts:?}, slowest {slowest:?}\nPOST: {posted:?}");
    println!("killed → served (ready at 80 ms): {gaps:?}\nready → served: {lags:?}");
    assert_no_standby(&counts);
    assert!(
        counts.keys().all(|what| what.starts_with("200")),
        "a request failed: {counts:?}"
    );
    assert_eq!(lab.worker().await, worker, "nothing was reloaded");
    assert_eq!(lab.leader_in_file(), first, "the operator did not tell");
    let mut delivered: Vec<_> = lab.fakes.iter().flat_map(Fake::posts).collect();
    let all = delivered.len();
    delivered.sort();
    delivered.dedup();
    assert_eq!(delivered.len(), all, "a POST was delivered twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masters_death_costs_latency_and_no_request() {
    leaders_die(Kind::Mesos, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marathons_death_costs_latency_and_no_request() {
    leaders_die(Kind::Marathon, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_deposed_is_told_down_at_once() {
    let Scene {
        lab,
        candidates,
        zookeeper: _zookeeper,
    } = Scene::start(Kind::Mesos, 3).await;
    lab.until("nobody is told down", async |lab| lab.metric(TOLD_DOWN) == 0)
        .await;
    let next = candidates.stand(2).await;
    lab.fakes[2].become_(Role::Recovering);
    // The old one is alive and says that it leads, as one that was cut off from ZooKeeper: no check would find out.
    candidates.withdraw(next - 1).await;
    lab.until("it was told down", async |lab| lab.metric(TOLD_DOWN) > 0)
        .await;
    lab.fakes[0].become_(Role::Standby);
    lab.fakes[2].become_(Role::Leader);
    lab.until_served_by("master-2").await;
    assert_eq!(lab.leader_in_file(), "master-0", "the operator did not tell");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_zookeeper_the_configuration_tells_and_zookeeper_is_taken_up_again() {
    let Scene {
        lab,
        mut zookeeper,
        candidates,
    } = Scene::start(Kind::Mesos, 3).await;
    lab.until("ZooKeeper tells", async |lab| lab.metric(KNOWN) == 1)
        .await;
    drop(candidates);
    zookeeper.stop();
    lab.until("ZooKeeper does not tell", async |lab| lab.metric(KNOWN) == 0)
        .await;
    agent_follows(&lab, async |next| lab.tell(Some(next))).await;
    zookeeper.start_again().await;
    lab.until("ZooKeeper tells again", async |lab| lab.metric(KNOWN) == 1)
        .await;
    let candidates = Candidates::of(Kind::Mesos, &zookeeper).await;
    eventually("the old session ends", proxy_lab::PATIENCE, async || {
        let (children, _) = candidates.client.get_children(candidates.folder()).await.unwrap();
        children.is_empty().then_some(())
    })
    .await;
    agent_follows(&lab, async |next| {
        let number = candidates.stand(next).await;
        if number > 1 {
            candidates.withdraw(number - 1).await;
        }
    })
    .await;
}

/// Lets one master after the other lead, and tells so by `tell`. Now and then HAProxy's own check is faster than the
/// agent, but not each time.
async fn agent_follows(lab: &Lab, tell: impl AsyncFn(usize)) {
    let told = lab.metric(TOLD_UP);
    for round in 0..5 {
        let (old, new) = (round % 3, (round + 1) % 3);
        lab.fakes[old].become_(Role::Standby);
        tell(new).await;
        lab.until("the old one is down", async |lab| {
            !lab.is_up(&lab.fakes[old].server.name).await
        })
        .await;
        lab.fakes[new].become_(Role::Leader);
        lab.until_served_by(&lab.fakes[new].server.name).await;
    }
    lab.fakes[2].become_(Role::Standby);
    lab.fakes[0].become_(Role::Leader);
    assert!(lab.metric(TOLD_UP) > told, "the agent told nothing");
}
