//! Proves that the Mesos proxy follows the leader although its agent is dead or stands still, and stays in its
//! Service: HAProxy's own checks find the next leader.

use std::time::Duration;

use mesoscloud_e2e::agent::Agent;
use mesoscloud_e2e::cloud::{Life, Lives};
use mesoscloud_e2e::load::{Load, Report};
use mesoscloud_e2e::{Cloud, Result, node, test};

/// HAProxy asks a standby every 500 ms whether it leads, and takes a leader's silence for its end at once.
const BY_CHECKS: Duration = Duration::from_secs(2);
/// One that stands still is noticed after three seconds.
const PAUSED: Duration = Duration::from_secs(6);
/// Longest wait for the next leader; one that comes so late is late.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn without_an_agent_the_next_leader_is_found_by_checks() -> Result {
    test("agent_dead", async |scene| {
        let cloud = scene.sample().await?;
        let proxies = proxies(&cloud).await?;
        let agent = Agent::of(&cloud).await?;
        agent.kill().await?;
        scene.after(async move { agent.revive().await });
        let report = leader_dies(&cloud, BY_CHECKS).await?;
        println!("{report}");
        assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
        assert_eq!(self::proxies(&cloud).await?, proxies, "a proxy was disturbed");
        Ok(())
    })
}

#[test]
fn an_agent_that_stands_still_loses_no_request() -> Result {
    test("agent_paused", async |scene| {
        let cloud = scene.sample().await?;
        let proxies = proxies(&cloud).await?;
        Agent::of(&cloud).await?.pause().await?;
        let report = leader_dies(&cloud, PAUSED).await?;
        println!("{report}");
        assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
        assert_eq!(report.lost(), 0, "{report}");
        assert!(report.slowest() < PAUSED, "{report}");
        assert_eq!(self::proxies(&cloud).await?, proxies, "a proxy was disturbed");
        Ok(())
    })
}

/// What guard and agent need is ZooKeeper, and nothing else.
#[test]
fn without_an_api_server_nothing_is_slower() -> Result {
    test("api_server_paused", async |scene| {
        let cloud = scene.sample().await?;
        let load = Load::start(&cloud.name);
        let old = load.usual().await?;
        let pod = cloud.pod_api().get(&old.name).await?;
        node::pause_api_server(true).await?;
        let struck = async {
            node::signal(&pod, "SIGKILL").await?;
            load.another(&old, PATIENCE).await
        };
        let struck = struck.await;
        node::pause_api_server(false).await?;
        struck?;
        cloud.reborn(&old.name, &Life::of(&pod)).await?;
        cloud.settled().await?;
        let report = load.stop().await?;
        let gap = report.gap(&old)?;
        println!("after {gap:.3?}: {report}");
        assert!(gap < BY_CHECKS, "{gap:?}");
        assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
        assert_eq!(report.lost(), 0, "{report}");
        Ok(())
    })
}

/// Kills the leading master under load; another answers within this time.
async fn leader_dies(cloud: &Cloud, within: Duration) -> Result<Report> {
    let load = Load::start(&cloud.name);
    let old = load.usual().await?;
    let pod = cloud.pod_api().get(&old.name).await?;
    node::signal(&pod, "SIGKILL").await?;
    load.another(&old, PATIENCE).await?;
    cloud.reborn(&old.name, &Life::of(&pod)).await?;
    cloud.settled().await?;
    let report = load.stop().await?;
    let gap = report.gap(&old)?;
    println!("after {gap:.3?}");
    assert!(gap < within, "{gap:?}");
    Ok(report)
}

/// The proxies' lives.
async fn proxies(cloud: &Cloud) -> Result<Lives> {
    let mut lives = cloud.lives().await?;
    lives.retain(|name, _| name.contains("-proxy-"));
    Ok(lives)
}
