//! Proves that the Mesos proxy never lets a standby answer: 50 requests a second on connections of their own and
//! ten on one that is kept, each answer attributed to a master, while the leader's pod is deleted, its process
//! killed, or all three masters are restarted; each also without an operator.
//!
//! Until the next leader is there, requests may go unanswered (503 or a broken connection); before and after,
//! none may.

use std::time::Duration;

use futures::future::try_join_all;
use kube::ResourceExt as _;
use mesoscloud_e2e::cloud::{Life, pod_address};
use mesoscloud_e2e::http::get;
use mesoscloud_e2e::load::{Load, Outcome, judge};
use mesoscloud_e2e::{Cloud, Context as _, MESOS, Result, node, operator, test};

/// Longest time without a leader's answer when one master of three goes: ZooKeeper notices within 4.5 s, and the
/// next leader reads the registry.
const ONE_GONE: Duration = Duration::from_secs(20);
/// When all go, the masters may elect one before there is a quorum; Mesos gives such a one a minute.
const ALL_GONE: Duration = Duration::from_secs(150);

#[derive(Clone, Copy, Debug)]
enum Blow {
    PodDeleted,
    ProcessKilled,
    AllRestarted,
}

#[test]
fn the_leaders_pod_is_deleted() -> Result {
    with_operator("mesos_leader_deleted", Blow::PodDeleted)
}

#[test]
fn the_leaders_process_is_killed() -> Result {
    with_operator("mesos_leader_killed", Blow::ProcessKilled)
}

#[test]
fn all_masters_are_restarted() -> Result {
    with_operator("mesos_leader_all", Blow::AllRestarted)
}

#[test]
fn without_an_operator_the_leaders_pod_is_deleted() -> Result {
    without_operator("mesos_leader_deleted_alone", Blow::PodDeleted)
}

#[test]
fn without_an_operator_the_leaders_process_is_killed() -> Result {
    without_operator("mesos_leader_killed_alone", Blow::ProcessKilled)
}

#[test]
fn without_an_operator_all_masters_are_restarted() -> Result {
    without_operator("mesos_leader_all_alone", Blow::AllRestarted)
}

/// A test that could not tell a standby would prove nothing: asked directly, every standby is found out.
#[test]
fn a_standby_is_told_from_the_leader() -> Result {
    test("mesos_leader_attribution", async |scene| {
        let cloud = scene.sample().await?;
        let answer = get(MESOS, "/state.json").await?;
        let Outcome::Leader(leader) = judge(&answer, &cloud.name) else {
            return Err(mesoscloud_e2e::Error::new(format!(
                "{:?}",
                judge(&answer, &cloud.name)
            )));
        };
        let masters = cloud.pods(Some("master")).await?;
        let standbys: Vec<_> = masters.iter().filter(|m| m.name_any() != leader.name).collect();
        assert_eq!(standbys.len(), 2);
        for master in standbys {
            let mut standby = answer.clone();
            let state = format!("http://{}:5050/state.json", pod_address(master)?);
            standby.body = node::curl(&state).await?.into();
            let name = master.name_any();
            let server = name.strip_prefix("cloud-").context("a master's name")?;
            standby.headers.insert("x-mesoscloud-server", server.parse()?);
            let judged = judge(&standby, &cloud.name);
            assert!(matches!(judged, Outcome::Wrong(_)), "{judged:?}");
        }
        Ok(())
    })
}

fn with_operator(name: &str, blow: Blow) -> Result {
    test(name, async |scene| {
        let cloud = scene.sample().await?;
        strike(&cloud, blow).await?;
        told(&cloud).await
    })
}

fn without_operator(name: &str, blow: Blow) -> Result {
    test(name, async |scene| {
        let cloud = scene.sample().await?;
        let cluster = scene.cluster.clone();
        scene.after(async move { operator::scale(&cluster, 1).await });
        operator::scale(&scene.cluster, 0).await?;
        strike(&cloud, blow).await?;
        operator::scale(&scene.cluster, 1).await?;
        told(&cloud).await
    })
}

async fn strike(cloud: &Cloud, blow: Blow) -> Result {
    let masters: Vec<_> = cloud
        .pods(Some("master"))
        .await?
        .iter()
        .map(kube::ResourceExt::name_any)
        .collect();
    let count = cloud.pods(None).await?.len();
    let load = Load::start(&cloud.name);
    let old = load.usual().await?;
    let life = Life::of(&cloud.pod_api().get(&old.name).await?);

    let struck = load.now();
    let patience = match blow {
        Blow::PodDeleted => {
            cloud.delete_pod(&old.name, false).await?;
            ONE_GONE
        }
        Blow::ProcessKilled => {
            node::signal(&cloud.pod_api().get(&old.name).await?, "SIGKILL").await?;
            ONE_GONE
        }
        Blow::AllRestarted => {
            try_join_all(masters.iter().map(|name| cloud.delete_pod(name, false))).await?;
            ALL_GONE
        }
    };
    let new = load.another(&old, patience).await?;
    // Whoever was lost comes back under the load, which must not feel that either.
    cloud.reborn(&old.name, &life).await?;
    cloud.pods_ready(count).await?;
    let report = load.stop().await?;
    // When all go, one may lead for a moment before its own turn comes: what counts is who leads in the end.
    let back = match blow {
        Blow::PodDeleted | Blow::ProcessKilled => report.next_leader(&old),
        Blow::AllRestarted => report.last_leader().and_then(|last| report.first_answer(&last)),
    };
    let back = back.context("nobody answered after the blow")?;
    let gap = back.saturating_sub(struck).as_secs_f64();
    println!(
        "{blow:?}: {} -> {} after {gap:.3} s; {report}",
        old.name, new.name
    );

    let wrong = report.wrong();
    assert!(wrong.is_empty(), "answered by others than the leader: {wrong:#?}");
    let lost = report.lost_outside(struck, back);
    assert!(lost.is_empty(), "unanswered while there was a leader: {lost:#?}");
    Ok(())
}

/// Waits until the status tells of the leader that the proxy serves.
async fn told(cloud: &Cloud) -> Result {
    let state = get(MESOS, "/state.json").await?.json();
    let hostname = state["hostname"].as_str().unwrap_or_default();
    let serving = hostname.split('.').next().unwrap_or_default();
    let what = format!("has leader {serving}");
    cloud
        .until(&what, ONE_GONE, |status| {
            (status.leaders.mesos.as_ref()?.name == serving).then_some(())
        })
        .await?;
    cloud.settled().await?;
    Ok(())
}
