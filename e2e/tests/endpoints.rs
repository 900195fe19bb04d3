//! Proves that `status.endpoints` and `status.leaders` are true: every member has its line, at every address
//! answers what the line says, and whoever is said to lead does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use mesoscloud_crds::status::{Endpoint, MesosCloudStatus};
use mesoscloud_e2e::http::get;
use mesoscloud_e2e::marathon::eventually;
use mesoscloud_e2e::{Cloud, Context as _, Result, node, test};
use serde_json::Value;

#[test]
fn every_line_of_the_table_is_true() -> Result {
    test("endpoints", async |scene| {
        let cloud = scene.sample().await?;
        let status = cloud.status().await?;
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &status.endpoints {
            *counts.entry(line.component.as_str()).or_default() += 1;
            // A node learns of a changed Service a moment later, and one may have been changed just before.
            eventually(&format!("{} answers", line.name), async || {
                Ok(answers(line, &status).await.map_err(|error| error.to_string()))
            })
            .await?;
        }
        let expected = BTreeMap::from([
            ("zookeeper", 3),
            ("master", 3),
            ("marathon", 2),
            ("slave", 2),
            ("mesos-proxy", 1),
            ("marathon-proxy", 1),
            ("zk-proxy", 1),
        ]);
        assert_eq!(counts, expected);
        Ok(())
    })
}

#[test]
fn members_and_proxies_are_their_services() -> Result {
    test("endpoints_services", async |scene| {
        let cloud = scene.sample().await?;
        for line in cloud
            .status()
            .await?
            .endpoints
            .iter()
            .filter(|e| e.component != "slave")
        {
            let service = cloud
                .cluster
                .api::<Service>(&cloud.namespace)
                .get(&line.name)
                .await?;
            let spec = service.spec.context("a Service without a spec")?;
            assert_eq!(spec.cluster_ip.as_ref(), Some(&line.address), "{}", line.name);
            let ports = spec.ports.unwrap_or_default();
            let port = ports.iter().find(|p| p.port == line.port);
            let port = port.context(format!("{} has no port {}", line.name, line.port))?;
            assert_eq!(port.node_port, line.node_port, "{}", line.name);
        }
        Ok(())
    })
}

#[test]
fn who_is_said_to_lead_does() -> Result {
    test("endpoints_leaders", async |scene| {
        let cloud = scene.sample().await?;
        let status = cloud.status().await?;
        let leaders = &status.leaders;
        let mesos = leaders.mesos.as_ref().context("no Mesos leader")?;
        let state = state(&mesos.address).await?;
        assert_eq!(state["pid"], format!("master@{}", mesos.address));
        assert_eq!(state["leader"], state["pid"]);
        assert_eq!(first_label(&state["hostname"]), mesos.name);

        let marathon = leaders.marathon.as_ref().context("no Marathon leader")?;
        let own = &line(&status, &marathon.name)?.address;
        let said: Value = serde_json::from_str(&node::curl(&format!("http://{own}:8080/v2/leader")).await?)?;
        assert_eq!(said["leader"], marathon.address);
        assert_eq!(first_label(&said["leader"]), marathon.name);

        let zookeeper = leaders.zookeeper.as_ref().context("no ZooKeeper leader")?;
        let own = &line(&status, &zookeeper.name)?.address;
        let said = node::talk(own, 2181, "srvr").await?;
        assert!(said.contains("Mode: leader"), "{said}");
        Ok(())
    })
}

/// `kubectl get mesoscloud` shows all of it in one line.
#[test]
fn the_printed_line_is_true() -> Result {
    test("endpoints_printed", async |scene| {
        let cloud = scene.sample().await?;
        let output =
            mesoscloud_e2e::command::kubectl(&["-n", &cloud.namespace, "get", "mc", &cloud.name], "").await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let leader = leader(&cloud).await?;
        let row: Vec<_> = printed
            .lines()
            .nth(1)
            .context("no line")?
            .split_whitespace()
            .collect();
        let expected = ["cloud", "True", "CloudReady", &leader, "3/3", "3/3", "2/2", "2/2"];
        assert_eq!(row.get(..expected.len()), Some(&expected[..]), "{printed}");
        Ok(())
    })
}

/// Asks at a line's address whether it is what the line says.
async fn answers(line: &Endpoint, status: &MesosCloudStatus) -> Result {
    let Endpoint { address, port, .. } = line;
    let url = |path: &str| format!("http://{address}:{port}{path}");
    match line.component.as_str() {
        "zookeeper" | "zk-proxy" => {
            let said = node::talk(address, *port, "srvr").await?;
            assert!(said.contains("Mode: "), "{said}");
        }
        "master" => {
            let state = state(&format!("{address}:{port}")).await?;
            assert_eq!(first_label(&state["hostname"]), line.name);
        }
        "mesos-proxy" => {
            let state = state(&format!("{address}:{port}")).await?;
            let leader = status.leaders.mesos.as_ref().map(|l| l.name.as_str());
            assert_eq!(Some(first_label(&state["hostname"]).as_str()), leader);
        }
        "marathon" | "marathon-proxy" => {
            let said = node::curl(&url("/ping")).await?;
            assert!(said.contains("pong"), "{said}");
        }
        "slave" => {
            let state: Value = serde_json::from_str(&node::curl(&url("/state")).await?)?;
            assert_eq!(state["pid"], format!("slave(1)@{address}:{port}"));
        }
        other => return Err(mesoscloud_e2e::Error::new(format!("unknown component {other}"))),
    }
    if let Some(node_port) = line.node_port {
        at_node_port(line, node_port).await?;
    }
    Ok(())
}

/// The node's port, and the machine's own port that kind leads to it, reach the same proxy.
async fn at_node_port(line: &Endpoint, node_port: i32) -> Result {
    let cluster = mesoscloud_e2e::Cluster::connect().await?;
    let node = format!("{}:{node_port}", cluster.node_address().await?);
    for address in [node, format!("127.0.0.1:{}", line.port)] {
        match line.component.as_str() {
            "mesos-proxy" => {
                let state = get(&address, "/state.json").await?.json();
                assert_eq!(state["cluster"], "cloud", "{address}");
            }
            "marathon-proxy" => assert_eq!(get(&address, "/ping").await?.status, 200, "{address}"),
            _ => drop(tokio::net::TcpStream::connect(&address).await.context(&address)?),
        }
    }
    Ok(())
}

async fn state(address: &str) -> Result<Value> {
    let body = node::curl(&format!("http://{address}/state.json")).await?;
    serde_json::from_str(&body).context(body)
}

async fn leader(cloud: &Cloud) -> Result<String> {
    Ok(cloud
        .status()
        .await?
        .leaders
        .mesos
        .context("no Mesos leader")?
        .name)
}

fn line<'a>(status: &'a MesosCloudStatus, name: &str) -> Result<&'a Endpoint> {
    mesoscloud_e2e::cloud::endpoint(status, name)
}

/// The member's name in its full host name.
fn first_label(host: &Value) -> String {
    host.as_str()
        .and_then(|h| h.split('.').next())
        .unwrap_or_default()
        .to_owned()
}
