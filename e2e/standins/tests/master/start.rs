//! How a master starts, or does not.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use zookeeper_client::Permission;

use crate::harness::program::{Environment, Program, environment};
use crate::harness::{eventually, seconds};
use crate::support::{Cloud, PATH, own_ip};

/// Nobody listens there: it starts, and looks for ZooKeeper for ever.
fn lonely() -> (Environment, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let variables = environment([
        ("MESOS_ZK", "zk://127.0.0.1:1/mesos".to_owned()),
        ("MESOS_QUORUM", "1".to_owned()),
        ("MESOS_WORK_DIR", dir.path().display().to_string()),
        ("MESOS_IP", own_ip()),
    ]);
    (variables, dir)
}

async fn refuses(changes: &[(&str, Option<&str>)], words: &str) {
    let (mut variables, _dir) = lonely();
    for (name, value) in changes {
        variables.remove(*name);
        variables.extend(value.map(|value| ((*name).to_owned(), value.to_owned())));
    }
    let log = Program::start("master", &variables).fails(1, seconds(10)).await;
    assert!(log.contains(words), "{changes:?}: {log}");
}

#[tokio::test]
async fn it_refuses_to_start_without_what_it_needs() {
    refuses(&[("MESOS_ZK", None)], "--zk").await;
    refuses(&[("MESOS_QUORUM", None)], "--quorum").await;
    refuses(&[("MESOS_WORK_DIR", None)], "--work_dir").await;
    refuses(&[("MESOS_PORT", Some("tcp://10.0.0.1:5050"))], "'port'").await;
    refuses(&[("MESOS_QUORUM", Some("two"))], "'quorum'").await;
    refuses(&[("MESOS_HOSTNAME", Some("file:///nonexistent"))], "'hostname'").await;
    refuses(&[("MESOS_ZK", Some("zk://127.0.0.1:1/"))], "ZooKeeper").await;
}

#[tokio::test]
async fn a_single_name_that_does_not_resolve_ends_it() {
    let hosts = "zk://127.0.0.1:1,no-such-host.invalid:2181/mesos";
    refuses(&[("MESOS_ZK", Some(hosts))], "Failed to create ZooKeeper").await;
}

#[tokio::test]
async fn unknown_variables_are_ignored_and_values_come_from_files() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hostname"), "m1").unwrap();
    master.set(
        "MESOS_HOSTNAME",
        &format!("file://{}/hostname", dir.path().display()),
    );
    master.set("MESOS_SERVICE_HOST", "10.0.0.1");
    master.set("MESOS_MASTER_PORT_5050_TCP", "tcp://10.0.0.1:5050");
    master.start();
    master.leads().await;
    assert!(master.log().contains("stand-in"), "{}", master.log());
    assert_eq!(master.get("/state.json").await.unwrap().json()["hostname"], "m1");
}

#[tokio::test]
async fn under_the_originals_name_it_is_the_original() {
    let (mut variables, dir) = lonely();
    variables.remove("MESOS_ZK");
    let name = dir.path().join("mesos-master");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mesoscloud-standin"), &name).unwrap();
    let output = std::process::Command::new(name)
        .env_clear()
        .envs(&variables)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(
        log.contains("stand-in for the real master") && log.contains("--zk"),
        "{log}"
    );
}

/// What a ZooKeeper is asked for: ten seconds.
#[tokio::test]
async fn it_asks_for_a_session_of_ten_seconds() {
    let zookeeper = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut variables, _dir) = lonely();
    let port = zookeeper.local_addr().unwrap().port();
    variables.insert("MESOS_ZK".to_owned(), format!("zk://127.0.0.1:{port}/mesos"));
    let _master = Program::start("master", &variables);
    let (mut stream, _) = zookeeper.accept().await.unwrap();
    // Length, protocol, last zxid, timeout in milliseconds.
    let mut request = [0; 20];
    stream.read_exact(&mut request).await.unwrap();
    let timeout = u32::from_be_bytes(request[16..].try_into().unwrap());
    assert_eq!(Duration::from_millis(timeout.into()), seconds(10));
}

/// And what it is granted is what counts.
#[tokio::test]
async fn it_holds_the_session_that_zookeeper_grants() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    master.start();
    let node = cloud.node(&master).await;
    let (_, stat) = cloud.client.get_data(&node).await.unwrap();
    assert_ne!(stat.ephemeral_owner, 0);
    let killed = std::time::Instant::now();
    master.kill();
    eventually("its node is gone", seconds(10), async || {
        cloud
            .children(PATH)
            .await
            .iter()
            .all(|child| !child.starts_with("json.info_"))
            .then_some(())
    })
    .await;
    // Four seconds after its last sign of life, rounded up to a tick of half a second.
    assert!(
        (seconds(2)..seconds(5)).contains(&killed.elapsed()),
        "{:?}",
        killed.elapsed()
    );
}

/// Everyone reads, the creator does the rest.
#[tokio::test]
async fn with_a_password_its_nodes_are_its_own() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    let url = cloud.zookeeper.url(PATH).replace("zk://", "zk://user:password@");
    master.set("MESOS_ZK", &url);
    master.start();
    let node = cloud.node(&master).await;
    let (acl, _) = cloud.client.get_acl(&node).await.unwrap();
    let schemes: Vec<_> = acl
        .iter()
        .map(|acl| (acl.scheme().to_owned(), acl.permission()))
        .collect();
    let expected = [
        ("world".to_owned(), Permission::READ),
        ("digest".to_owned(), Permission::ALL),
    ];
    assert_eq!(schemes, expected);
}
