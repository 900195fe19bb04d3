//! Proves that a cloud runs on a current ZooKeeper as well as on the seed's: an ensemble of three of version 3.9,
//! with Mesos, Marathon and a slave that find each other in it.

use mesoscloud_e2e::cloud::{endpoint, pod_address, small};
use mesoscloud_e2e::http::get;
use mesoscloud_e2e::marathon::registered;
use mesoscloud_e2e::{Cloud, Context as _, Result, node, test};
use serde_json::json;

#[test]
fn a_cloud_runs_on_zookeeper_3_9() -> Result {
    test("zookeeper_current", async |scene| {
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "current");
        let spec = small(json!({
            "zookeeper": {"replicas": 3, "image": "zookeeper:3.9.3"},
            "proxies": {"service": {"type": "NodePort"}}
        }));
        cloud.create(&spec, false).await?;
        let status = cloud.ready().await?;

        let mut modes = Vec::new();
        for member in cloud.pods(Some("zookeeper")).await? {
            let said = node::talk(&pod_address(&member)?, 2181, "srvr").await?;
            assert!(said.starts_with("Zookeeper version: 3.9.3"), "{said}");
            modes.push(
                said.lines()
                    .find_map(|l| l.strip_prefix("Mode: "))
                    .context("no mode")?
                    .to_owned(),
            );
        }
        modes.sort();
        assert_eq!(modes, ["follower", "follower", "leader"]);

        let proxy = endpoint(&status, "current-mesos-proxy")?;
        let port = proxy.node_port.context("the proxy has no node port")?;
        let address = format!("{}:{port}", scene.cluster.node_address().await?);
        let state = get(&address, "/state.json").await?.json();
        assert_eq!(state["pid"], state["leader"]);
        assert_eq!(state["activated_slaves"].as_f64(), Some(1.0), "{state}");
        // Marathon finds the master, and registers with it.
        registered(&address).await.map(drop)
    })
}
