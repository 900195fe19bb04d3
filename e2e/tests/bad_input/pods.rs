//! Pods that no node can run, disks that are full, and programs that keep ending.

use mesoscloud_e2e::cloud::{small, without};
use mesoscloud_e2e::marathon::eventually;
use mesoscloud_e2e::{Cloud, Result, test};
use serde_json::json;

use crate::images::names;

#[test]
fn without_a_node_or_without_room_on_disk() -> Result {
    test("bad_input_pods", async |scene| {
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "stuck");
        // One page of memory for a disk: there is room for myid, and then no more.
        let full = json!({"spec": {
            "containers": [{"name": "zookeeper", "volumeMounts": [{"name": "tiny", "mountPath": "/data"}]}],
            "volumes": [{"name": "tiny", "emptyDir": {"medium": "Memory", "sizeLimit": "4Ki"}}]
        }});
        let nowhere = json!({"e2e.mesoscloud.io/nowhere": "true"});
        let spec = small(json!({"zookeeper": {"podOverrides": full}, "marathon": {"nodeSelector": nowhere}}));
        cloud.create(&spec, false).await?;

        let disk = cloud.condition("ZooKeeperReady", "False", "DiskFull").await?;
        names(
            &disk.message,
            &[
                "zookeeper",
                "stuck-zk-0",
                "No space left on device",
                "storage.size",
            ],
        );
        let node = cloud.condition("MarathonReady", "False", "Unschedulable").await?;
        names(&node.message, &["marathon", "stuck-marathon-0", "node"]);
        cloud.condition("Stalled", "True", "DiskFull").await?;

        cloud
            .change(&json!({"zookeeper": {"podOverrides": null}}), false)
            .await?;
        for other in ["ZooKeeperReady", "MastersReady", "SlavesReady"] {
            cloud.condition(other, "True", "ComponentReady").await?;
        }
        cloud.condition("Stalled", "True", "Unschedulable").await?;
        let others = without(cloud.lives().await?, "marathon");
        cloud
            .change(&json!({"marathon": {"nodeSelector": null}}), false)
            .await?;
        cloud.settled().await?;
        assert_eq!(
            without(cloud.lives().await?, "marathon"),
            others,
            "others were disturbed"
        );
        Ok(())
    })
}

/// No member serves, so that none can be corrected while the others do.
#[test]
fn all_members_keep_ending() -> Result {
    test("bad_input_crash_loop", async |scene| {
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "ending");
        // Marathon takes each such variable for a flag, and ends for one that it does not know.
        let env = json!([{"name": "MARATHON_E2E", "value": "unknown"}]);
        let spec = small(json!({"marathon": {"replicas": 2, "env": env}}));
        cloud.create(&spec, false).await?;
        let ends = cloud.condition("MarathonReady", "False", "CrashLoop").await?;
        names(&ends.message, &["marathon", "ending-marathon-"]);
        eventually("both were started again", async || {
            let mut lives = cloud.lives().await?;
            lives.retain(|name, life| name.starts_with("ending-marathon-") && life.restarts > 1);
            Ok((lives.len() == 2).then_some(()).ok_or(format!("{lives:?}")))
        })
        .await?;
        cloud.change(&json!({"marathon": {"env": null}}), false).await?;
        cloud.settled().await?;
        Ok(())
    })
}
