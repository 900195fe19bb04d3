//! Proves that a slave leaves nothing behind, however it ends, and that the slaves of a node change one after
//! another.

use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use mesoscloud_e2e::cloud::endpoint;
use mesoscloud_e2e::marathon::{Marathon, eventually, no_container_left, pod_of, slaves};
use mesoscloud_e2e::{MARATHON, Result, docker, node, operator, test};
use serde_json::{Value, json};

const API: Marathon = Marathon(MARATHON);
/// A master takes a slave for lost when it has been silent for 75 s; one that says goodbye is forgotten at once.
const SOON: Duration = Duration::from_secs(20);

/// The pod stays, and so does its guard, which removes the containers; preflight has no part in it.
#[test]
fn a_slave_that_is_killed_leaves_no_container() -> Result {
    test("slaves_killed", async |scene| {
        let cloud = scene.sample().await?;
        let old = API.post(scene, "/e2e-killed").await?;
        let pod = pod_of(&cloud, &old).await?;
        let killed = Instant::now();
        node::signal(&pod, "SIGKILL").await?;
        old.no_container_left().await?;
        let new = API.healthy("/e2e-killed", &old.id).await?;
        println!("the next task is healthy after {:.1?}", killed.elapsed());
        let containers = docker::of_task(&new.id).await?;
        assert!(containers.len() == 1 && containers[0].running, "{containers:?}");
        cloud.settled().await?;
        let now = cloud.pod_api().get(&pod.name_any()).await?;
        assert_eq!(now.uid(), pod.uid(), "another pod");
        API.delete("/e2e-killed").await?;
        new.no_container_left().await
    })
}

/// From two slaves on the node to one and back, with the operator killed on both ways: the one that goes says goodbye,
/// and the ports are cut anew.
#[test]
fn slaves_of_a_node_become_fewer_and_more() -> Result {
    test("slaves_per_node", async |scene| {
        let cloud = scene.sample().await?;
        let end = cloud.clone();
        scene.after(async move {
            end.change(&json!({"slaves": {"perNode": null}}), false).await?;
            end.settled().await.map(drop)
        });
        let old = API.post(scene, "/e2e-moves").await?;
        let begun = Instant::now();
        cloud.change(&json!({"slaves": {"perNode": 1}}), false).await?;
        operator::kill(&scene.cluster).await?;
        eventually("one slave is left, with all ports", async || {
            let slaves = slaves().await?;
            let all = matches!(slaves.as_slice(), [one] if ports(one) == "[31000-32000]");
            Ok(all.then_some(()).ok_or(format!("{slaves:?}")))
        })
        .await?;
        println!("one slave after {:.1?}", begun.elapsed());
        old.no_container_left().await?;
        cloud.settled().await?;
        let new = API.healthy("/e2e-moves", &old.id).await?;

        let before = cloud.lives().await?;
        cloud.change(&json!({"slaves": {"perNode": 2}}), false).await?;
        eventually("the first pod has changed", async || {
            let begun = cloud.lives().await? != before;
            Ok(begun.then_some(()).ok_or(format!("{before:?}")))
        })
        .await?;
        operator::kill(&scene.cluster).await?;
        cloud.settled().await?;
        new.no_container_left().await?;
        eventually("each slave has its own half of the ports", async || {
            let mut ports: Vec<_> = slaves().await?.iter().map(ports).collect();
            ports.sort();
            let halves = ports == ["[31000-31500]", "[31501-32000]"];
            Ok(halves.then_some(()).ok_or(format!("{ports:?}")))
        })
        .await?;
        let last = API.healthy("/e2e-moves", &new.id).await?;
        API.delete("/e2e-moves").await?;
        last.no_container_left().await
    })
}

/// A change of what a slave is ends its tasks: it is announced, and comes to one slave after another. Each says
/// goodbye, so that its tasks start elsewhere before a lost slave would even be noticed.
#[test]
fn a_changed_slave_is_announced_and_the_other_serves_meanwhile() -> Result {
    test("slaves_changed", async |scene| {
        let cloud = scene.sample().await?;
        let end = cloud.clone();
        scene.after(async move {
            end.change(&json!({"slaves": {"attributes": null}}), false)
                .await?;
            end.settled().await.map(drop)
        });
        let known = slaves().await?.len();
        let attributes = json!({"slaves": {"attributes": {"e2e": "changed"}}});
        cloud.change(&attributes, false).await?;
        let announced = cloud
            .until("announces it", SOON, |status| {
                let mut conditions = status.conditions.iter();
                let about = conditions.find(|c| c.type_ == "SlavesReady")?;
                about
                    .message
                    .contains("one after another")
                    .then(|| about.message.clone())
            })
            .await?;
        println!("{announced}");
        let fewest = async {
            let mut fewest = known;
            loop {
                let slaves = slaves().await?;
                fewest = fewest.min(slaves.len());
                let changed = |slave: &Value| slave["attributes"]["e2e"] == "changed";
                if slaves.len() == known && slaves.iter().all(changed) {
                    return Ok::<_, mesoscloud_e2e::Error>(fewest);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let fewest = tokio::time::timeout(Duration::from_secs(120), fewest).await??;
        assert_eq!(fewest, known - 1, "one at a time");
        cloud.settled().await?;
        Ok(())
    })
}

fn ports(slave: &Value) -> String {
    slave["resources"]["ports"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Of a cloud that is deleted with its tasks, nothing is left on the machine's Docker either.
#[test]
fn a_cloud_that_is_deleted_takes_its_tasks_with_it() -> Result {
    test("slaves_cloud_deleted", async |scene| {
        let cloud = scene.small("gone", json!({})).await?;
        let marathon = endpoint(&cloud.status().await?, "gone-marathon-proxy")?
            .address
            .clone();
        let app = json!({
            "id": "/orphan", "instances": 1, "cpus": 0.1, "mem": 32,
            "container": {"type": "DOCKER", "docker": {"image": "mesoscloud/testapp:1", "network": "BRIDGE"}}
        });
        let body = app.to_string();
        let url = format!("http://{marathon}:8080/v2/apps");
        let post = [
            "curl",
            "-sS",
            "-f",
            "-m",
            "10",
            "-X",
            "POST",
            "-H",
            "Content-Type: application/json",
        ];
        node::run(&[&post[..], &["-d", &body, &url]].concat(), "").await?;
        let task = eventually("its task runs", async || {
            let tasks: Value = serde_json::from_str(&node::curl(&format!("{url}//orphan/tasks")).await?)?;
            let id = tasks["tasks"][0]["id"].as_str().unwrap_or_default().to_owned();
            let runs = docker::of_task(&id).await?.iter().any(|c| c.running);
            Ok(if runs { Ok(id) } else { Err(tasks.to_string()) })
        })
        .await?;
        cloud.delete().await?;
        no_container_left(&task).await
    })
}
