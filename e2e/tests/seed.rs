//! Proves what the seed tried by hand: each ZooKeeper tells its state, `zkCli.sh` works through the proxy (also
//! while one member is down), each master and each Marathon serves its page, and both user interfaces open at
//! the machine's own address.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use mesoscloud_e2e::cloud::pod_address;
use mesoscloud_e2e::http::get;
use mesoscloud_e2e::marathon::eventually;
use mesoscloud_e2e::{Cloud, Context as _, MARATHON, MESOS, Result, ZOOKEEPER, docker, node, test};

const MEMBERS: [&str; 3] = ["cloud-zk-0", "cloud-zk-1", "cloud-zk-2"];
const ZOOKEEPER_IMAGE: &str = "mesoscloud/zookeeper:3.4.8-centos-7";

/// The seed's first test: `echo stat | nc ip 2181`.
#[test]
fn each_zookeeper_tells_its_state() -> Result {
    test("seed_stat", async |scene| {
        let cloud = scene.sample().await?;
        let mut modes = Vec::new();
        for member in MEMBERS {
            let pod = cloud.pod_api().get(member).await?;
            let stat = stat(&pod).await?;
            assert!(stat.starts_with("Zookeeper version: "), "{member}: {stat}");
            modes.push(mode(&stat).to_owned());
        }
        modes.sort();
        assert_eq!(modes, ["follower", "follower", "leader"]);
        Ok(())
    })
}

/// The seed's second test: `zkCli.sh -server <machine>:2181`, through the proxy.
#[test]
fn zk_cli_works_through_the_proxy() -> Result {
    test("seed_zk_cli", async |scene| {
        scene.sample().await?;
        zk_cli("/e2e-all-members").await
    })
}

/// The same while a member is down, and of all members the leader.
#[test]
fn zk_cli_works_with_one_member_down() -> Result {
    test("seed_zk_cli_one_down", async |scene| {
        let cloud = scene.sample().await?;
        let leader = cloud
            .status()
            .await?
            .leaders
            .zookeeper
            .context("no ZooKeeper leader")?
            .name;
        let cluster = scene.cluster.clone();
        scene.after(async move { cluster.set_schedulable(true).await });
        // The pod's successor finds no place: the member stays down as long as it is wanted down.
        scene.cluster.set_schedulable(false).await?;
        cloud.delete_pod(&leader, false).await?;
        // `zkCli.sh` does not repeat a command that meets an election: it comes when there is a leader again.
        eventually("the two others have a leader", async || {
            if member(&cloud, &leader).await?.is_some() {
                return Ok(Err(format!("{leader} still runs")));
            }
            let mut modes = Vec::new();
            for other in MEMBERS.iter().filter(|name| **name != leader) {
                let stat = stat(&cloud.pod_api().get(other).await?).await?;
                modes.push(mode(&stat).to_owned());
            }
            modes.sort();
            Ok(if modes == ["follower", "leader"] {
                Ok(())
            } else {
                Err(format!("{modes:?}"))
            })
        })
        .await?;
        zk_cli("/e2e-one-member-down").await?;
        let up = member(&cloud, &leader).await?;
        assert!(up.is_none(), "{leader} was up again: nothing is proved");
        scene.cluster.set_schedulable(true).await?;
        cloud.settled().await?;
        Ok(())
    })
}

/// The seed's third test: `curl http://ip:5050` in each master.
#[test]
fn each_master_serves_its_page() -> Result {
    test("seed_masters", async |scene| {
        let cloud = scene.sample().await?;
        let masters = cloud.pods(Some("master")).await?;
        assert_eq!(masters.len(), 3);
        for master in &masters {
            let page = node::curl(&format!("http://{}:5050/", pod_address(master)?)).await?;
            assert!(page.contains("<title>Mesos"), "{}: {page}", master.name_any());
        }
        Ok(())
    })
}

/// The seed's fourth test: the Mesos UI opens at `<machine>:5050`, and it is the leading master's.
#[test]
fn the_mesos_ui_opens_on_the_machine() -> Result {
    test("seed_mesos_ui", async |scene| {
        let cloud = scene.sample().await?;
        let page = get(MESOS, "/").await?;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("<title>Mesos"), "{}", page.text());
        let leader = cloud
            .status()
            .await?
            .leaders
            .mesos
            .context("no Mesos leader")?
            .name;
        let state = get(MESOS, "/state.json").await?.json();
        assert_eq!(state["pid"], state["leader"]);
        let hostname = state["hostname"].as_str().unwrap_or_default();
        assert_eq!(hostname.split('.').next(), Some(leader.as_str()));
        // Both slaves have found it.
        assert_eq!(state["activated_slaves"].as_f64(), Some(2.0));
        Ok(())
    })
}

/// The seed's fifth test: `curl http://ip:8080` in each Marathon, and the UI opens at `<machine>:8080`.
#[test]
fn each_marathon_serves_its_page() -> Result {
    test("seed_marathon", async |scene| {
        let cloud = scene.sample().await?;
        let marathons = cloud.pods(Some("marathon")).await?;
        assert_eq!(marathons.len(), 2);
        for marathon in &marathons {
            let page = node::curl(&format!("http://{}:8080/", pod_address(marathon)?)).await?;
            assert!(
                page.contains("<title>Marathon"),
                "{}: {page}",
                marathon.name_any()
            );
        }
        let page = get(MARATHON, "/ui/").await?;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("<title>Marathon"), "{}", page.text());
        Ok(())
    })
}

/// What a ZooKeeper member answers to `stat`.
async fn stat(member: &Pod) -> Result<String> {
    node::talk(&pod_address(member)?, 2181, "stat").await
}

/// What a member is by its `stat`; all of it if it is neither leader nor follower at the moment.
fn mode(stat: &str) -> &str {
    let mode = stat.lines().find_map(|line| line.strip_prefix("Mode: "));
    mode.unwrap_or(stat)
}

/// The address of a member that has a pod that runs.
async fn member(cloud: &Cloud, name: &str) -> Result<Option<String>> {
    let pod = cloud.pod_api().get_opt(name).await?;
    Ok(pod.and_then(|pod| pod.status?.pod_ip))
}

/// Creates, reads, lists and deletes a node with the real `zkCli.sh`.
async fn zk_cli(path: &str) -> Result {
    let commands = format!("create {path} seed\nget {path}\nls /\ndelete {path}\nls /\nquit\n");
    let said = docker::run(ZOOKEEPER_IMAGE, &["zkCli.sh", "-server", ZOOKEEPER], &commands).await?;
    let name = path.trim_start_matches('/');
    assert!(said.contains(&format!("Created {path}")), "{said}");
    assert!(said.lines().any(|line| line == "seed"), "{said}");
    let lists: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with('[') && line.contains("zookeeper"))
        .collect();
    assert_eq!(lists.len(), 2, "{said}");
    assert!(lists[0].contains(name) && !lists[1].contains(name), "{said}");
    Ok(())
}
