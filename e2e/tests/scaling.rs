//! Proves that ZooKeeper, the masters, Marathon and the proxies grow and shrink under way: every step keeps a quorum,
//! what was written stays, and an operator that is killed half way ends it all the same.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, ResourceExt as _};
use mesoscloud_e2e::cloud::{Lives, endpoint, pod_address};
use mesoscloud_e2e::marathon::eventually;
use mesoscloud_e2e::writer::Writer;
use mesoscloud_e2e::{Cloud, Context as _, Result, Scene, node, operator, test};
use serde_json::{Value, json};

/// It is about three seconds; an election of Mesos 0.28 that lacks a replica stands still for a minute.
const GAP: Duration = Duration::from_secs(10);
/// Port of the node that leads to the small cloud's ZooKeeper.
const ZOOKEEPER_PORT: i32 = 30281;
/// Time for ZooKeeper to acknowledge something.
const WRITTEN: Duration = Duration::from_secs(30);

#[test]
fn masters_grow_and_shrink() -> Result {
    test("scaling_masters", async |scene| {
        let cloud = three_of_each(scene).await?;
        let lives = cloud.lives().await?;
        cloud.change(&json!({"masters": {"replicas": 5}}), false).await?;
        let gap = without_leader(&cloud, Box::pin(async { cloud.settled().await.map(drop) })).await?;
        println!("growing: nobody led for at most {gap:.1?}");
        assert!(gap <= GAP, "{gap:?}");
        assert_eq!(quorums(&cloud).await?, ["3"; 5]);
        for disturbed in ["-zk-", "-marathon-", "-slave-"] {
            same(&lives, &cloud.lives().await?, disturbed);
        }
        let disks = disks(&cloud).await?;
        cloud.change(&json!({"masters": {"replicas": 3}}), false).await?;
        let shrinks = async {
            are_fewer_than_five(&cloud, "master").await?;
            operator::kill(&scene.cluster).await?;
            cloud.settled().await.map(drop)
        };
        let gap = without_leader(&cloud, Box::pin(shrinks)).await?;
        println!("shrinking: nobody led for at most {gap:.1?}");
        assert!(gap <= GAP, "{gap:?}");
        assert_eq!(quorums(&cloud).await?, ["2"; 3]);
        // The disks of those that went are still there, and must not be taken up as if they were current.
        assert_eq!(self::disks(&cloud).await?, disks);
        cloud.change(&json!({"masters": {"replicas": 5}}), false).await?;
        has_begun(&cloud).await?;
        operator::kill(&scene.cluster).await?;
        cloud.settled().await?;
        assert_eq!(quorums(&cloud).await?, ["3"; 5]);
        let new = self::disks(&cloud).await?;
        assert!(new.is_disjoint(&disks), "{new:?}, and before {disks:?}");
        Ok(())
    })
}

#[test]
fn zookeeper_grows_and_shrinks_though_the_operator_is_killed() -> Result {
    test("scaling_zookeeper", async |scene| {
        let cloud = three_of_each(scene).await?;
        let lives = cloud.lives().await?;
        let specs = specs(&cloud).await?;
        let address = scene.cluster.node_address().await?;
        let writer = Writer::start(&format!("{address}:{ZOOKEEPER_PORT}"));
        writer.acknowledged_after(Instant::now(), WRITTEN).await?;
        cloud
            .change(&json!({"zookeeper": {"replicas": 5}}), false)
            .await?;
        eventually("the fourth member is on its way", async || {
            let members = cloud.pods(Some("zookeeper")).await?.len();
            Ok((members > 3).then_some(()).ok_or(format!("{members} members")))
        })
        .await?;
        operator::kill(&scene.cluster).await?;
        cloud.settled().await?;
        assert_eq!(modes(&cloud).await?, (4, 1));
        // A leading master that loses its session while ZooKeeper elects a leader of its own exits, and is back at
        // once, maybe in a new pod; but nobody's spec has changed.
        assert_eq!(self::specs(&cloud).await?, specs);
        same(&lives, &cloud.lives().await?, "-slave-");

        cloud
            .change(&json!({"zookeeper": {"replicas": 3}}), false)
            .await?;
        are_fewer_than_five(&cloud, "zookeeper").await?;
        operator::kill(&scene.cluster).await?;
        cloud.settled().await?;
        assert_eq!(modes(&cloud).await?, (2, 1));
        assert_eq!(self::specs(&cloud).await?, specs);
        same(&lives, &cloud.lives().await?, "-slave-");
        writer.acknowledged_after(Instant::now(), WRITTEN).await?;
        let written = writer.stop().await?;
        println!(
            "{} writes acknowledged, the longest pause {:.1?}",
            written.acknowledged, written.longest_pause
        );
        assert!(
            written.lost.is_empty(),
            "acknowledged and lost: {:?}",
            written.lost
        );
        Ok(())
    })
}

#[test]
fn marathon_and_the_proxies_grow_and_shrink_though_the_operator_is_killed() -> Result {
    test("scaling_marathon", async |scene| {
        let cloud = scene.small("scaled", json!({})).await?;
        let lives = cloud.lives().await?;
        for (replicas, proxies) in [(3, 2), (1, 1)] {
            let sizes = json!({"marathon": {"replicas": replicas}, "proxies": {"replicas": proxies}});
            cloud.change(&sizes, false).await?;
            operator::kill(&scene.cluster).await?;
            let status = cloud.settled().await?;
            assert_eq!(cloud.pods(Some("marathon")).await?.len(), replicas);
            for proxy in ["mesos-proxy", "marathon-proxy", "zk-proxy"] {
                assert_eq!(cloud.pods(Some(proxy)).await?.len(), proxies, "{proxy}");
            }
            let leader = status.leaders.marathon.context("no Marathon leads")?;
            cloud.pod_api().get(&leader.name).await?;
            for disturbed in ["-zk-", "-master-", "-slave-", "-marathon-0"] {
                same(&lives, &cloud.lives().await?, disturbed);
            }
        }
        Ok(())
    })
}

/// Half way to five masters the spec says three again.
#[test]
fn a_change_of_mind_ends_well() -> Result {
    test("scaling_reversed", async |scene| {
        let cloud = three_of_each(scene).await?;
        cloud.change(&json!({"masters": {"replicas": 5}}), false).await?;
        has_begun(&cloud).await?;
        cloud.change(&json!({"masters": {"replicas": 3}}), false).await?;
        cloud.settled().await?;
        assert_eq!(quorums(&cloud).await?, ["2"; 3]);
        Ok(())
    })
}

async fn three_of_each(scene: &Scene) -> Result<Cloud> {
    let disks = json!({"reclaim": "Retain"});
    // Ports that Kubernetes chooses might be those of tasks.
    let ports = json!({"mesos": 30250, "marathon": 30280, "zookeeper": ZOOKEEPER_PORT});
    let three = json!({
        "zookeeper": {"replicas": 3, "storage": disks},
        "masters": {"replicas": 3, "storage": disks},
        "proxies": {"service": {"type": "NodePort", "nodePorts": ports}},
    });
    scene.small("scaled", three).await
}

/// The longest time, until `end`, during which no leader answered through the proxy of Mesos.
async fn without_leader(cloud: &Cloud, mut end: impl Future<Output = Result> + Unpin) -> Result<Duration> {
    let proxy = endpoint(&cloud.status().await?, &format!("{}-mesos-proxy", cloud.name))?
        .address
        .clone();
    let url = format!("http://{proxy}:5050/state.json");
    let (mut led, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        tokio::select! {
            ended = &mut end => return ended.map(|()| longest.max(led.elapsed())),
            leader = leads(&url) => if leader.unwrap_or_default() {
                longest = longest.max(led.elapsed());
                led = Instant::now();
            },
        }
    }
}

/// Whether the master that answers is the leader.
async fn leads(url: &str) -> Result<bool> {
    let state: Value = serde_json::from_str(&node::curl(url).await?)?;
    Ok(state["pid"].is_string() && state["pid"] == state["leader"])
}

/// The disks of the fourth and the fifth master.
async fn disks(cloud: &Cloud) -> Result<BTreeSet<Option<String>>> {
    let claims: Api<PersistentVolumeClaim> = cloud.cluster.api(&cloud.namespace);
    let mut disks = BTreeSet::new();
    for ordinal in [3, 4] {
        let claim = claims
            .get(&format!("data-{}-master-{ordinal}", cloud.name))
            .await?;
        disks.insert(claim.uid());
    }
    Ok(disks)
}

/// Waits until the first of five members has gone.
async fn are_fewer_than_five(cloud: &Cloud, component: &str) -> Result {
    eventually("the fifth member is gone", async || {
        let members = cloud.pods(Some(component)).await?.len();
        Ok((members < 5).then_some(()).ok_or(format!("{members} members")))
    })
    .await
}

/// Waits until the first of three masters is on the way to five.
async fn has_begun(cloud: &Cloud) -> Result {
    eventually("the first master has the larger quorum", async || {
        let quorums = quorums(cloud).await.unwrap_or_default();
        let begun = quorums.iter().any(|q| q == "3");
        Ok(begun.then_some(()).ok_or(format!("{quorums:?}")))
    })
    .await
}

/// The quorum that each master was started with.
async fn quorums(cloud: &Cloud) -> Result<Vec<String>> {
    let mut quorums = Vec::new();
    for master in cloud.pods(Some("master")).await? {
        let flags = node::curl(&format!("http://{}:5050/flags", pod_address(&master)?)).await?;
        let flags: Value = serde_json::from_str(&flags)?;
        let quorum = flags["flags"]["quorum"].as_str().context("no quorum")?;
        quorums.push(quorum.to_owned());
    }
    Ok(quorums)
}

/// The revision of its spec that each master and each Marathon runs.
async fn specs(cloud: &Cloud) -> Result<Vec<(String, Option<String>)>> {
    let mut pods = cloud.pods(Some("master")).await?;
    pods.extend(cloud.pods(Some("marathon")).await?);
    let revision = |pod: &Pod| pod.labels().get("controller-revision-hash").cloned();
    Ok(pods.iter().map(|pod| (pod.name_any(), revision(pod))).collect())
}

/// Followers and leaders among the members.
async fn modes(cloud: &Cloud) -> Result<(usize, usize)> {
    let mut modes = Vec::new();
    for member in cloud.pods(Some("zookeeper")).await? {
        let said = node::talk(&pod_address(&member)?, 2181, "srvr").await?;
        modes.extend(
            said.lines()
                .find_map(|l| l.strip_prefix("Mode: ").map(str::to_owned)),
        );
    }
    let count = |mode: &str| modes.iter().filter(|m| *m == mode).count();
    Ok((count("follower"), count("leader")))
}

fn same(before: &Lives, now: &Lives, component: &str) {
    let of = |lives: &Lives| {
        let ours = |name: &str| name.contains(component) && !name.contains("-proxy-");
        let ours = lives.iter().filter(|(name, _)| ours(name));
        ours.map(|(name, life)| (name.clone(), life.uid.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(before), of(now), "pods of {component} were replaced");
}
