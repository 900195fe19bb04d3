//! What a guard clears away, beside a Marathon with a real ZooKeeper, beside a slave with a Docker that takes its
//! time; and that one which is asked to end when its neighbour has ended does so first.
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
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use waiting::{eventually, free_port};
use zookeeper::{ZooKeeper, client_of};
use zookeeper_client as zk;

/// No step takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Each test has an address of its own: a guard's port is always the same.
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

async fn neighbour(ip: &str, port: u16) -> (TcpListener, u16) {
    let listener = TcpListener::bind((ip, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// The connection that the guard holds, when it has had time to see everything.
async fn held(listener: &TcpListener) -> TcpStream {
    let held = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0;
    sleep(Duration::from_secs(1)).await;
    held
}

fn beside_a_marathon(ip: &str, ensemble: &str) -> Child {
    let path = "/marathon/leader";
    guard(&[
        "marathon",
        "--zookeeper",
        ensemble,
        "--path",
        path,
        "--ip",
        ip,
        "--host",
        "its.neighbour",
    ])
}

/// A ZooKeeper in which no Marathon is a candidate yet, and a session with it.
async fn zookeeper() -> (ZooKeeper, zk::Client) {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let persistent = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    for folder in ["/marathon", "/marathon/leader"] {
        client.create(folder, b"", &persistent).await.unwrap();
    }
    (zookeeper, client)
}

async fn join(session: &zk::Client, host: &str) {
    let candidate = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
    let (prefix, data) = ("/marathon/leader/member_", format!("{host}:8080"));
    session.create(prefix, data.as_bytes(), &candidate).await.unwrap();
}

async fn candidates(client: &zk::Client) -> Vec<String> {
    let mut left = client.list_children("/marathon/leader").await.unwrap();
    left.sort();
    left
}

/// A way to a port of this machine on which everybody comes from this address, as from a pod's.
async fn way_from(ip: &'static str, port: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(format!("{ip}:0").parse().unwrap()).unwrap();
            let server = socket.connect(([127, 0, 0, 1], port).into()).await;
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server.unwrap()).await });
        }
    });
    way
}

#[tokio::test]
async fn the_candidacy_is_withdrawn_first() {
    let (zookeeper, client) = zookeeper().await;
    join(&client, "its.neighbour").await;
    join(&client, "somebody.else").await;
    // The neighbour's successor, in another pod while the neighbour still lives.
    let successor = zookeeper.client().await;
    join(&successor, "its.neighbour").await;
    let (listener, _) = neighbour(IP, 8080).await;
    let mut guard = beside_a_marathon(IP, &format!("127.0.0.1:{}", zookeeper.port));
    let held = held(&listener).await;
    drop((listener, held));
    asked_to_end(&mut guard).await;
    assert_eq!(
        candidates(&client).await,
        ["member_0000000001", "member_0000000002"]
    );
}

/// Of several sessions with the neighbour's words, ZooKeeper tells which is used from its address: not that which was
/// there before, but both that it has had.
#[tokio::test]
async fn the_neighbours_sessions_are_known_by_its_address() {
    const IP: &str = "127.0.0.92";
    let (zookeeper, client) = zookeeper().await;
    join(&client, "its.neighbour").await;
    let way = way_from(IP, zookeeper.port).await;
    let sessions = [client_of(&way).await.unwrap(), client_of(&way).await.unwrap()];
    for session in &sessions {
        join(session, "its.neighbour").await;
    }
    let (listener, _) = neighbour(IP, 8080).await;
    let mut guard = beside_a_marathon(IP, &way);
    let held = held(&listener).await;
    drop((listener, held));
    asked_to_end(&mut guard).await;
    assert_eq!(candidates(&client).await, ["member_0000000000"]);
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
    let (listener, port) = neighbour(IP, 0).await;
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
