//! All three roles together: an app runs, and a master's death does not touch it.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use std::collections::BTreeMap;

use harness::marathon::{Marathon, command};
use harness::program::{Program, environment};
use harness::zookeeper::ZooKeeper;
use harness::{eventually, free_port, http, seconds};
use serde_json::{Value, json};
use tempfile::TempDir;

const MESOS: &str = "/mesos/my_mesos";

/// The port of the master that leads and is ready.
async fn leading(ports: impl Iterator<Item = u16>) -> Option<u16> {
    for port in ports {
        let reply = http::get(port, "/master/api/v1/scheduler").await;
        if reply.is_ok_and(|reply| reply.status == 405) {
            return Some(port);
        }
    }
    None
}

#[tokio::test]
async fn an_app_outlives_the_leading_master() {
    let (zookeeper, folder) = (ZooKeeper::start().await, TempDir::new().unwrap());
    let mesos = zookeeper.url(MESOS);
    let mut masters: BTreeMap<u16, Program> = BTreeMap::new();
    for index in 0..3 {
        let port = free_port();
        let settings = environment([
            ("MESOS_ZK", mesos.clone()),
            ("MESOS_QUORUM", "2".to_owned()),
            ("MESOS_IP", "127.0.0.1".to_owned()),
            ("MESOS_PORT", port.to_string()),
            ("MESOS_HOSTNAME", "127.0.0.1".to_owned()),
            (
                "MESOS_WORK_DIR",
                folder.path().join(format!("master{index}")).display().to_string(),
            ),
        ]);
        masters.insert(port, Program::start("master", &settings));
    }
    let port = free_port();
    let settings = environment([
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("MESOS_MASTER", mesos.clone()),
        ("MESOS_IP", "127.0.0.1".to_owned()),
        ("MESOS_PORT", free_port().to_string()),
        ("MESOS_HOSTNAME", "127.0.0.1".to_owned()),
        (
            "MESOS_RESOURCES",
            format!("cpus:1;mem:512;disk:100;ports:[{port}-{port}]"),
        ),
        (
            "MESOS_WORK_DIR",
            folder.path().join("slave").display().to_string(),
        ),
        ("MESOS_CONTAINERIZERS", "mesos".to_owned()),
        ("STANDIN_ROOT", folder.path().display().to_string()),
    ]);
    std::fs::create_dir(folder.path().join("sbin")).unwrap();
    std::fs::write(folder.path().join("sbin/init"), "").unwrap();
    let _slave = Program::start("slave", &settings);
    let marathon = Marathon::start(&zookeeper, &mesos);
    marathon.ready().await;

    let ports = masters.keys().copied();
    let leader = eventually("a master leads", seconds(90), async || {
        leading(ports.clone()).await
    })
    .await;
    assert_eq!(
        http::post(marathon.port, "/v2/apps", &command("/web", 1))
            .await
            .unwrap()
            .status,
        201
    );
    let settled = |app: &Value| app["tasksRunning"] == 1 && app["deployments"] == json!([]);
    let app = marathon.app_is("/web", seconds(60), settled).await;
    let task = app["tasks"][0]["id"].clone();
    assert_eq!(app["tasks"][0]["ports"], json!([port]));

    // Killed; the others go on, and so does the task.
    masters.remove(&leader);
    let ports = masters.keys().copied();
    eventually("another master leads", seconds(90), async || {
        leading(ports.clone()).await
    })
    .await;
    // Long enough for slave and framework to be back, and for the reconciliation after 15 s.
    tokio::time::sleep(seconds(20)).await;
    let app = marathon.app_is("/web", seconds(5), settled).await;
    assert_eq!(app["tasks"][0]["id"], task);

    // The new master can be worked with.
    http::put(marathon.port, "/v2/apps/web", &json!({"instances": 0}))
        .await
        .unwrap();
    let gone = |app: &Value| app["tasks"] == json!([]) && app["deployments"] == json!([]);
    marathon.app_is("/web", seconds(20), gone).await;
}
