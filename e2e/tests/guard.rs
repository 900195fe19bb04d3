//! Proves that the guard withdraws a dead neighbour's candidacy, whatever it died of, and nobody else's ever: the
//! next leader answers before the dead one's session in ZooKeeper could have ended.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;
use mesoscloud_e2e::cloud::{Life, pod_address};
use mesoscloud_e2e::cluster::until;
use mesoscloud_e2e::load::{Leader, Load};
use mesoscloud_e2e::marathon::eventually;
use mesoscloud_e2e::{Cloud, Context as _, Result, node, operator, test};

/// A session of 4 s ends at the earliest 2.7 s after its client's death (docs/originals.md). Whoever is replaced
/// sooner had its candidacy withdrawn.
const SESSION: Duration = Duration::from_millis(2700);
/// The kubelet asks for a minute before it believes that nobody answers.
const PROBED: Duration = Duration::from_secs(120);
/// Longest wait for the next leader; one that comes so late is late.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a guard may hold resident: 10 MiB, the pages of its program included, which all guards of a node share.
const GUARD_KIB: u64 = 10 * 1024;

#[test]
fn a_leader_that_is_killed() -> Result {
    leader_dies("guard_killed", SESSION, async |cloud, name| {
        node::signal(&cloud.pod_api().get(name).await?, "SIGKILL").await
    })
}

#[test]
fn a_leader_that_is_asked_to_end() -> Result {
    leader_dies("guard_terminated", SESSION, async |cloud, name| {
        node::signal(&cloud.pod_api().get(name).await?, "SIGTERM").await
    })
}

#[test]
fn a_leader_whose_pod_is_deleted() -> Result {
    leader_dies("guard_pod_deleted", SESSION, async |cloud, name| {
        cloud.delete_pod(name, false).await
    })
}

#[test]
fn a_leader_that_is_out_of_memory() -> Result {
    leader_dies("guard_oom", SESSION, async |cloud, name| {
        let pod = cloud.pod_api().get(name).await?;
        node::exhaust_memory(&node::main_container(&pod)?.0).await?;
        assert_eq!(ended(cloud, &pod).await?.reason.as_deref(), Some("OOMKilled"));
        Ok(())
    })
}

/// The kubelet finds no answer for a minute, and starts the master anew.
#[test]
fn a_leader_whose_probe_fails() -> Result {
    leader_dies("guard_probe", SESSION, async |cloud, name| {
        let pod = cloud.pod_api().get(name).await?;
        node::keep_kubelet_from(&pod, 5050, true).await?;
        let ended = ended(cloud, &pod).await;
        node::keep_kubelet_from(&pod, 5050, false).await?;
        ended.map(drop)
    })
}

#[test]
fn a_leader_whose_pod_is_deleted_by_force() -> Result {
    leader_dies("guard_pod_forced", SESSION, async |cloud, name| {
        cloud.delete_pod(name, true).await
    })
}

/// A guard that can do nothing any more when its neighbour's pod goes: the operator knows that the pod is gone.
#[test]
fn a_leader_whose_guard_dies_with_it() -> Result {
    leader_dies("guard_dies_too", SESSION, async |cloud, name| {
        let told = async || operator::told(&cloud.cluster, "its candidacy is withdrawn", name).await;
        let before = told().await?;
        let pod = cloud.pod_api().get(name).await?;
        node::signal_container(&node::container(&pod, "guard")?, "SIGSTOP").await?;
        cloud.delete_pod(name, true).await?;
        eventually("the operator withdraws it", async || {
            let now = told().await?;
            Ok((now > before).then_some(()).ok_or(format!("said {now} times")))
        })
        .await
    })
}

/// While ZooKeeper has no quorum nothing can be withdrawn; the guard goes on trying, and the next leader answers before
/// a session that was alive at the end of the standstill could have ended.
#[test]
fn a_leader_that_dies_while_zookeeper_stands_still() -> Result {
    test("guard_without_zookeeper", async |scene| {
        let cloud = scene.sample().await?;
        let load = Load::start(&cloud.name);
        let old = load.usual().await?;
        let dies = cloud.pod_api().get(&old.name).await?;
        let members = cloud.pods(Some("zookeeper")).await?;
        for member in &members {
            node::signal(member, "SIGSTOP").await?;
        }
        let killed = node::signal(&dies, "SIGKILL").await;
        // Well below the session, so that nobody else loses one.
        tokio::time::sleep(Duration::from_millis(500)).await;
        for member in &members {
            node::signal(member, "SIGCONT").await?;
        }
        killed?;
        let again = load.now();
        load.another(&old, PATIENCE).await?;
        cloud.reborn(&old.name, &Life::of(&dies)).await?;
        cloud.settled().await?;
        let report = load.stop().await?;
        let back = report.next_leader(&old).context("nobody answered")?;
        let after = back.saturating_sub(again);
        println!("{after:.3?} after ZooKeeper went on: {report}");
        assert!(after < SESSION, "{after:?}");
        assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
        Ok(())
    })
}

#[test]
fn a_standby_that_is_killed_costs_nothing() -> Result {
    test("guard_standby", async |scene| {
        let cloud = scene.sample().await?;
        let load = Load::start(&cloud.name);
        let leader = load.usual().await?;
        let standby = standby(&cloud, &leader).await?;
        let before = Counts::of(&cloud, &standby).await?;
        let pod = cloud.pod_api().get(&standby).await?;
        node::signal(&pod, "SIGKILL").await?;
        eventually("its candidacy is withdrawn", async || {
            let now = Counts::of(&cloud, &standby).await?;
            let done = now.deaths == before.deaths + 1 && now.withdrawn == before.withdrawn + 1;
            Ok(done.then_some(()).ok_or(format!("{now:?}")))
        })
        .await?;
        cloud.reborn(&standby, &Life::of(&pod)).await?;
        cloud.settled().await?;
        let report = load.stop().await?;
        let others = report.samples.iter().filter(|s| s.leader() != Some(&leader));
        assert_eq!(others.count(), 0, "{report}");
        Ok(())
    })
}

/// Silence is no death: a leader that stands still for a while still leads afterwards.
#[test]
fn a_leader_that_is_paused_keeps_its_candidacy() -> Result {
    test("guard_paused", async |scene| {
        let cloud = scene.sample().await?;
        let load = Load::start(&cloud.name);
        let leader = load.usual().await?;
        let pod = cloud.pod_api().get(&leader.name).await?;
        let before = Counts::of(&cloud, &leader.name).await?;
        node::signal(&pod, "SIGSTOP").await?;
        // Well below the session, beyond which ZooKeeper itself takes it for dead.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        node::signal(&pod, "SIGCONT").await?;
        cloud.settled().await?;
        let after = Counts::of(&cloud, &leader.name).await?;
        assert_eq!(after, before);
        let again = Load::start(&cloud.name);
        assert_eq!(again.usual().await?, leader);
        again.stop().await?;
        let report = load.stop().await?;
        assert!(report.wrong().is_empty(), "{report}");
        Ok(())
    })
}

/// As it is released; the quick build of `e2e/testbed/load-operator` takes more.
#[test]
fn every_guard_is_small() -> Result {
    test("guard_memory", async |scene| {
        let cloud = scene.sample().await?;
        for component in ["master", "marathon", "slave"] {
            for pod in cloud.pods(Some(component)).await? {
                let resident = node::resident_kib(&node::container(&pod, "guard")?).await?;
                assert!(resident <= GUARD_KIB, "{}: {resident} KiB", pod.name_any());
            }
        }
        Ok(())
    })
}

/// With one replica silent, the other two are the quorum: a leader that dies then is withdrawn only when its own
/// replica is back, for an election without a quorum would stand still for a minute.
#[test]
fn without_a_quorum_it_waits_for_its_neighbour() -> Result {
    test("guard_quorum", async |scene| {
        let cloud = scene.sample().await?;
        Box::pin(in_new_pods(&cloud, "master")).await?;
        let load = Load::start(&cloud.name);
        let old = load.usual().await?;
        let silent = cloud.pod_api().get(&standby(&cloud, &old).await?).await?;
        node::signal(&silent, "SIGSTOP").await?;
        let dies = cloud.pod_api().get(&old.name).await?;
        let before = Counts::of(&cloud, &old.name).await?;
        node::signal(&dies, "SIGKILL").await?;
        let next = load.another(&old, PATIENCE).await;
        node::signal(&silent, "SIGCONT").await?;
        let new = next?;
        println!("{} -> {}", old.name, new.name);
        // It did not wait for the session's end, but for its neighbour's replica.
        let after = Counts::of(&cloud, &old.name).await?;
        assert_eq!(after.withdrawn, before.withdrawn + 1, "{after:?}");
        let log = cloud.log(&old.name, "guard").await?;
        assert!(log.contains("too few replicas vote"), "{log}");
        cloud.reborn(&old.name, &Life::of(&dies)).await?;
        cloud.settled().await?;
        let report = load.stop().await?;
        assert!(report.wrong().is_empty(), "{report}");
        Ok(())
    })
}

#[test]
fn a_leading_marathon_that_is_killed() -> Result {
    test("guard_marathon", async |scene| {
        let cloud = scene.sample().await?;
        Box::pin(in_new_pods(&cloud, "marathon")).await?;
        let status = cloud.settled().await?;
        let old = status.leaders.marathon.context("no Marathon leads")?.name;
        marathon_is_killed(&cloud, &old).await?;
        let status = cloud.settled().await?;
        assert_ne!(status.leaders.marathon.context("no Marathon leads")?.name, old);
        Ok(())
    })
}

/// A Marathon is killed; its candidacy is withdrawn, and that of its successor in the same pod stays.
async fn marathon_is_killed(cloud: &Cloud, name: &str) -> Result {
    let before = Counts::of(cloud, name).await?;
    let pod = cloud.pod_api().get(name).await?;
    node::signal(&pod, "SIGKILL").await?;
    let expected = Counts {
        deaths: before.deaths + 1,
        withdrawn: before.withdrawn + 1,
    };
    eventually("its candidacy is withdrawn", async || {
        let now = Counts::of(cloud, name).await?;
        Ok((now == expected).then_some(()).ok_or(format!("{now:?}")))
    })
    .await?;
    cloud.reborn(name, &Life::of(&pod)).await?;
    cloud.settled().await?;
    assert_eq!(Counts::of(cloud, name).await?, expected);
    Ok(())
}

/// The leader dies by `blow`, under load; another answers within this time, and nobody else ever.
fn leader_dies(name: &str, within: Duration, blow: impl AsyncFnOnce(&Cloud, &str) -> Result) -> Result {
    test(name, async |scene| {
        let cloud = scene.sample().await?;
        let count = cloud.pods(None).await?.len();
        let load = Load::start(&cloud.name);
        let old = load.usual().await?;
        let life = Life::of(&cloud.pod_api().get(&old.name).await?);
        blow(&cloud, &old.name).await?;
        let new = load.another(&old, PATIENCE).await?;
        cloud.reborn(&old.name, &life).await?;
        cloud.pods_ready(count).await?;
        let report = load.stop().await?;
        let gap = report.gap(&old)?;
        println!("{} -> {} after {gap:.3?}; {report}", old.name, new.name);
        assert!(
            gap < within,
            "{gap:?}: its candidacy went with its session, not before"
        );
        assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
        assert_eq!(report.lost(), 0, "a request failed: {report}");
        cloud.settled().await?;
        Ok(())
    })
}

/// Starts a component's programs in new pods, where their first restart is not put off.
async fn in_new_pods(cloud: &Cloud, component: &str) -> Result {
    for pod in cloud.pods(Some(component)).await? {
        cloud.delete_pod(&pod.name_any(), false).await?;
        cloud.reborn(&pod.name_any(), &Life::of(&pod)).await?;
    }
    cloud.settled().await.map(drop)
}

/// How the program of a pod ended, once it has. It may come back in the same pod or in another.
async fn ended(cloud: &Cloud, before: &Pod) -> Result<ContainerStateTerminated> {
    let name = before.name_any();
    let program = |pod: &Pod| pod.status.as_ref()?.container_statuses.as_ref()?.first().cloned();
    let id = program(before).and_then(|p| p.container_id);
    until(cloud.pod_api(), &name, "ends", PROBED, |pod| {
        let program = program(pod?)?;
        let mut ends = [program.state, program.last_state].into_iter().flatten();
        ends.find_map(|state| state.terminated.filter(|end| end.container_id == id))
    })
    .await
}

async fn standby(cloud: &Cloud, leader: &Leader) -> Result<String> {
    let masters = cloud.pods(Some("master")).await?;
    let mut names = masters.iter().map(ResourceExt::name_any);
    names.find(|name| *name != leader.name).context("no standby")
}

/// What a guard has seen and done.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    deaths: u64,
    withdrawn: u64,
}

impl Counts {
    /// As the guard beside this member tells it.
    async fn of(cloud: &Cloud, member: &str) -> Result<Self> {
        let address = pod_address(&cloud.pod_api().get(member).await?)?;
        let metrics = node::curl(&format!("http://{address}:9103/metrics")).await?;
        let count = |name: &str| {
            let mut lines = metrics.lines();
            let value = lines.find_map(|line| line.strip_prefix(&format!("mesoscloud_guard_{name} ")));
            value
                .and_then(|value| value.parse().ok())
                .context(format!("no {name}"))
        };
        Ok(Self {
            deaths: count("neighbour_deaths_total")?,
            withdrawn: count("withdrawn_total")?,
        })
    }
}
