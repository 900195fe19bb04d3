//! A guard that is asked to end when its neighbour has ended: it first clears away what the neighbour left, beside a
//! Marathon with a real ZooKeeper, beside a slave with a Docker that takes its time.
#![allow(clippy::unwrap_used, clippy::panic)]

mod waiting;
#[allow(dead_code)] // it serves others too
#[path = "../../e2e/standins/tests/harness/zookeeper.rs"]
mod zookeeper;

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use waiting::{eventually, free_port};
use zookeeper::ZooKeeper;
use zookeeper_client as zk;

/// No step takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// An address of this test's own: a guard's port is always the same.
const IP: &str = "127.0.0.91";

fn guard(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mesoscloud-operator"))
        .arg("guard")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// As the kubelet does, the moment after the neighbour's death.
async fn asked_to_end(guard: &mut Child) {
    let id = i32::try_from(guard.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(timeout(PATIENCE, guard.wait()).await.unwrap().unwrap().success());
}

async fn neighbour(port: u16) -> (TcpListener, u16) {
    let listener = TcpListener::bind((IP, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The connection that the guard holds, when it has had time to see everything.
async fn held(listener: &TcpListener) -> TcpStream {
    let held = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0;
    sleep(Duration::from_secs(1)).await;
    held
}

#[tokio::test]
async fn the_candidacy_is_withdrawn_first() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let persistent = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    for folder in ["/marathon", "/marathon/leader"] {
        client.create(folder, b"", &persistent).await.unwrap();
    }
    let candidate = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
    let create = async |session: &zk::Client, host: &str| {
        let data = format!("{host}:8080");
        session
            .create("/marathon/leader/member_", data.as_bytes(), &candidate)
            .await
            .unwrap();
    };
    create(&client, "its.neighbour").await;
    create(&client, "somebody.else").await;
    // The neighbour's successor, in another pod while the neighbour still lives.
    let successor = zookeeper.client().await;
    create(&successor, "its.neighbour").await;
    let (listener, _) = neighbour(8080).await;
    let ensemble = format!("127.0.0.1:{}", zookeeper.port);
    let mut guard = guard(&[
        "marathon",
        "--zookeeper",
        &ensemble,
        "--path",
        "/marathon/leader",
        "--ip",
        IP,
        "--host",
        "its.neighbour",
    ]);
    let held = held(&listener).await;
    drop((listener, held));
    asked_to_end(&mut guard).await;
    let mut left = client.list_children("/marathon/leader").await.unwrap();
    left.sort();
    assert_eq!(left, ["member_0000000001", "member_0000000002"]);
}

/// What a Docker was asked to do.
type Asked = Arc<Mutex<Vec<String>>>;

/// A Docker with one task of this slave and one of another, which takes two seconds to stop a container.
async fn docker(State(asked): State<Asked>, Path(path): Path<String>, uri: Uri) -> Response {
    match path.as_str() {
        list if list.ends_with("containers/json") => Json(json!([
            {"Names": ["/mesos-S1.task"], "Created": 1}, {"Names": ["/mesos-S2.task"], "Created": 1}
        ]))
        .into_response(),
        what if what.contains("containers/") => {
            if what.ends_with("/stop") {
                sleep(Duration::from_secs(2)).await;
            }
            asked.lock().unwrap().push(uri.path().to_owned());
            StatusCode::NO_CONTENT.into_response()
        }
        _ => Json(json!({"ApiVersion": "1.43", "MinAPIVersion": "1.24"})).into_response(),
    }
}

#[tokio::test]
async fn the_tasks_of_the_slave_are_removed_first() {
    let work = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(work.path().join("meta/slaves/S1")).unwrap();
    let socket = work.path().join("docker.sock");
    let asked = Asked::default();
    let router = Router::new()
        .route("/{*path}", axum::routing::any(docker))
        .with_state(asked.clone());
    let engine = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(engine, router).await.unwrap() });
    let (listener, port) = neighbour(0).await;
    let port = port.to_string();
    let (work_dir, socket) = (work.path().to_string_lossy(), socket.to_string_lossy());
    let mut guard = guard(&[
        "slave",
        "--ip",
        IP,
        "--port",
        &port,
        "--work-dir",
        &work_dir,
        "--docker-socket",
        &socket,
    ]);
    let held = held(&listener).await;
    drop((listener, held));
    asked_to_end(&mut guard).await;
    let asked = asked.lock().unwrap().clone();
    let about: Vec<_> = asked
        .iter()
        .filter_map(|path| path.split_once("/containers/"))
        .collect();
    let about: Vec<_> = about.into_iter().map(|(_, what)| what).collect();
    assert_eq!(about, ["mesos-S1.task/stop", "mesos-S1.task"]);
}
