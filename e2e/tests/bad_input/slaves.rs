//! Slaves that cannot run where they are: their ports are taken, the node has no Docker, the node has no cgroup v1.
//! And slaves that are to run nowhere.

use mesoscloud_e2e::cloud::{NOTICED, small, without};
use mesoscloud_e2e::{Cloud, Result, test};
use serde_json::{Value, json};

use crate::images::names;

#[test]
fn each_obstacle_is_named_and_its_removal_heals() -> Result {
    test("bad_input_slaves", async |scene| {
        let sample = scene.sample().await?;
        let untouched = sample.lives().await?;
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "second");

        // The sample's slave 1 has port 5052, and its tasks 31000-32000.
        let taken = json!({"slaves": {"basePort": 5052, "taskPorts": {"begin": 32100, "end": 32199}}});
        cloud.create(&small(taken), false).await?;
        let conflict = cloud
            .condition("SlavesReady", "False", "HostPortConflict")
            .await?;
        names(
            &conflict.message,
            &["mesoscloud/cloud", "5052", "slaves.basePort"],
        );
        cloud.condition("Stalled", "True", "HostPortConflict").await?;
        let taken = json!({"slaves": {"basePort": 5061, "taskPorts": {"begin": 32000, "end": 32099}}});
        cloud.change(&taken, false).await?;
        let conflict = cloud
            .until("names the tasks' ports", NOTICED, |status| {
                let mut conditions = status.conditions.iter();
                conditions
                    .find(|c| c.type_ == "SlavesReady" && c.message.contains("32000-32000"))
                    .cloned()
            })
            .await?;
        assert_eq!(conflict.reason, "HostPortConflict");
        assert!(
            cloud.pods(Some("slave")).await?.is_empty(),
            "slaves were started all the same"
        );

        let free = json!({"basePort": 5061, "taskPorts": {"begin": 32100, "end": 32199}});
        cloud
            .change(&on_node(&free, json!([without_docker()])), false)
            .await?;
        let docker = cloud.condition("SlavesReady", "False", "NoDockerSocket").await?;
        names(
            &docker.message,
            &["second-slave-0", "docker.sock", "spec.slaves.containerizers"],
        );
        cloud.condition("Stalled", "True", "NoDockerSocket").await?;
        for other in ["ZooKeeperReady", "MastersReady", "MarathonReady", "ProxiesReady"] {
            cloud.condition(other, "True", "ComponentReady").await?;
        }
        let others = without(cloud.lives().await?, "slave");

        cloud
            .change(&on_node(&free, json!([without_cgroups()])), false)
            .await?;
        let cgroup = cloud.condition("SlavesReady", "False", "NoCgroupV1Cpu").await?;
        names(
            &cgroup.message,
            &["second-slave-0", "cgroup", "spec.slaves.containerizers"],
        );
        cloud.condition("Stalled", "True", "NoCgroupV1Cpu").await?;

        // What the message recommends helps, though the node stays as it is; and so does a node as it should be.
        cloud
            .change(&json!({"slaves": {"containerizers": ["mesos"]}}), false)
            .await?;
        cloud.settled().await?;
        let whole = json!({"slaves": {"containerizers": null, "podOverrides": null}});
        cloud.change(&whole, false).await?;
        cloud.settled().await?;
        assert_eq!(
            without(cloud.lives().await?, "slave"),
            others,
            "others were disturbed"
        );
        assert_eq!(sample.lives().await?, untouched, "the sample was disturbed");
        Ok(())
    })
}

#[test]
fn without_a_node_it_is_said_and_a_node_heals() -> Result {
    test("bad_input_slaves_nowhere", async |scene| {
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "nowhere");
        let nowhere = json!({"e2e.mesoscloud.io/nowhere": "true"});
        let spec = small(json!({"slaves": {"nodeSelector": nowhere}}));
        cloud.create(&spec, false).await?;
        let said = cloud
            .until("says that no node is selected", NOTICED, |status| {
                let mut conditions = status.conditions.iter();
                conditions
                    .find(|c| c.type_ == "SlavesReady" && c.message.contains("no node is selected"))
                    .cloned()
            })
            .await?;
        assert_eq!(
            (said.status.as_str(), said.reason.as_str()),
            ("False", "ComponentsNotReady")
        );
        assert!(cloud.pods(Some("slave")).await?.is_empty());
        cloud
            .change(&json!({"slaves": {"nodeSelector": null}}), false)
            .await?;
        cloud.settled().await?;
        Ok(())
    })
}

/// Slaves that see another node than the one they are on.
fn on_node(ports: &Value, volumes: Value) -> Value {
    let mut slaves = ports.clone();
    slaves["podOverrides"] = json!({"spec": {"volumes": volumes}});
    json!({"slaves": slaves})
}

/// An empty folder for /var/run: a node on which no Docker listens.
fn without_docker() -> Value {
    let folder = json!({"path": "/tmp/e2e-node-without-docker", "type": "DirectoryOrCreate"});
    json!({"name": "host-run", "hostPath": folder})
}

/// An empty folder for /sys/fs/cgroup: no hierarchy is mounted in it, and /proc/mounts shows none.
fn without_cgroups() -> Value {
    let folder = json!({"path": "/tmp/e2e-node-without-cgroups", "type": "DirectoryOrCreate"});
    json!({"name": "cgroup", "hostPath": folder})
}
