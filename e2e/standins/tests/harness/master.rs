//! A master that does as told: it speaks the stand-ins' wire and remembers what it hears.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::StreamExt;
use mesoscloud_standins::wire::*;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use zookeeper_client as zk;

/// What a master hears.
#[derive(Debug)]
pub enum Heard {
    Registered(Register),
    Update(TaskUpdate),
    Unregistered(String),
    Subscribed(Subscribe),
    Accepted(Accept),
    Declined(Decline),
    Revived,
    Killed(KillTask),
    Reconciled(Reconcile),
}

#[derive(Default)]
struct Streams {
    slaves: BTreeMap<String, mpsc::UnboundedSender<String>>,
    framework: Option<mpsc::UnboundedSender<String>>,
    refuse: Option<String>,
    count: usize,
}

struct Shared {
    streams: Mutex<Streams>,
    heard: mpsc::UnboundedSender<Heard>,
    name: String,
}

pub struct FakeMaster {
    pub port: u16,
    shared: Arc<Shared>,
    heard: mpsc::UnboundedReceiver<Heard>,
    server: tokio::task::JoinHandle<()>,
}

impl FakeMaster {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, heard) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            streams: Mutex::default(),
            heard: sender,
            name: format!("M{port}"),
        });
        let router = Router::new()
            .route("/standin/slaves", post(register))
            .route("/standin/slaves/{id}/commands", get(commands))
            .route("/standin/slaves/{id}/updates", post(update))
            .route("/standin/slaves/{id}/unregister", post(unregister))
            .route("/standin/frameworks", post(subscribe))
            .route("/standin/frameworks/{id}/{verb}", post(framework))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            port,
            shared,
            heard,
            server,
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Becomes a candidate; returns the node.
    pub async fn contend(&self, client: &zk::Client, path: &str) -> String {
        let options = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
        client.mkdir(path, &options).await.unwrap();
        let info = json!({"id": "x", "pid": format!("master@{}", self.address()), "hostname": "m",
            "address": {"ip": "127.0.0.1", "port": self.port, "hostname": "m"}});
        let options = zk::CreateMode::EphemeralSequential.with_acls(zk::Acls::anyone_all());
        let prefix = format!("{path}/json.info_");
        let (_, sequence) = client
            .create(&prefix, info.to_string().as_bytes(), &options)
            .await
            .unwrap();
        format!("{prefix}{sequence}")
    }

    /// The next thing it hears that `wanted` picks; the others are dropped.
    pub async fn hears<T>(&mut self, what: &str, wanted: impl Fn(Heard) -> Option<T>) -> T {
        let next = async {
            loop {
                if let Some(found) = wanted(self.heard.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), next).await;
        found.unwrap_or_else(|_| panic!("the master does not hear: {what}"))
    }

    pub async fn registration(&mut self) -> Register {
        self.hears("a slave's registration", |heard| match heard {
            Heard::Registered(register) => Some(register),
            _ => None,
        })
        .await
    }

    /// Waits until a task is in this state, and returns the slave's words.
    pub async fn state(&mut self, task: &str, state: &str) -> String {
        let update = self
            .hears(&format!("{task} is {state}"), |heard| match heard {
                Heard::Update(update) if update.task_id == task => Some(update),
                _ => None,
            })
            .await;
        assert_eq!(update.state, state, "{update:?}");
        update.message
    }

    pub async fn accepted(&mut self) -> TaskInfo {
        self.hears("tasks to launch", |heard| match heard {
            Heard::Accepted(mut accept) => accept.tasks.pop(),
            _ => None,
        })
        .await
    }

    /// Whether anything that `wanted` picks was heard so far; the rest is dropped.
    pub fn heard_so_far(&mut self, wanted: impl Fn(&Heard) -> bool) -> bool {
        std::iter::from_fn(|| self.heard.try_recv().ok()).any(|heard| wanted(&heard))
    }

    pub fn refuse(&self, reason: &str) {
        self.shared.streams.lock().unwrap().refuse = Some(reason.to_owned());
    }

    pub fn command(&self, slave: &str, command: &SlaveCommand) {
        let streams = self.shared.streams.lock().unwrap();
        streams.slaves[slave].send(line(command)).unwrap();
    }

    pub fn listened_to(&self, slave: &str) -> bool {
        self.shared.streams.lock().unwrap().slaves.contains_key(slave)
    }

    pub fn tell(&self, event: &FrameworkEvent) {
        let streams = self.shared.streams.lock().unwrap();
        streams.framework.as_ref().unwrap().send(line(event)).unwrap();
    }

    pub fn offer(&self, id: &str, slave: &str, ports: (u16, u16)) {
        self.tell(&FrameworkEvent::Offers {
            offers: vec![Offer {
                id: id.to_owned(),
                slave_id: slave.to_owned(),
                hostname: "127.0.0.1".to_owned(),
                resources: Resources {
                    cpus: 4.0,
                    mem: 4096.0,
                    disk: 1000.0,
                    ports: vec![ports],
                },
                attributes: BTreeMap::new(),
            }],
        });
    }

    pub fn update(&self, task: &str, state: &str) {
        self.tell(&FrameworkEvent::Update {
            task_id: task.to_owned(),
            slave_id: Some("S0".to_owned()),
            state: state.to_owned(),
            message: "said so".to_owned(),
        });
    }
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        self.server.abort();
        // Streams end with it.
        if let Ok(mut streams) = self.shared.streams.lock() {
            *streams = Streams::default();
        }
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap() + "\n"
}

fn stream(receiver: mpsc::UnboundedReceiver<String>) -> Response {
    let lines = futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|line| (line, receiver))
    });
    Response::new(Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>)))
}

async fn register(State(shared): State<Arc<Shared>>, Json(register): Json<Register>) -> Response {
    let id = {
        let mut streams = shared.streams.lock().unwrap();
        if let Some(reason) = streams.refuse.clone() {
            return (StatusCode::FORBIDDEN, Json(Refused { reason })).into_response();
        }
        streams.count += 1;
        let id = register
            .id
            .clone()
            .unwrap_or_else(|| format!("{}-S{}", shared.name, streams.count - 1));
        streams.slaves.remove(&id);
        id
    };
    let _ = shared.heard.send(Heard::Registered(register));
    Json(Registered { id }).into_response()
}

async fn commands(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel();
    shared.streams.lock().unwrap().slaves.insert(id, sender);
    stream(receiver)
}

async fn update(State(shared): State<Arc<Shared>>, Json(update): Json<TaskUpdate>) {
    let _ = shared.heard.send(Heard::Update(update));
}

async fn unregister(State(shared): State<Arc<Shared>>, Path(id): Path<String>) {
    let _ = shared.heard.send(Heard::Unregistered(id));
}

async fn subscribe(State(shared): State<Arc<Shared>>, Json(subscribe): Json<Subscribe>) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel();
    let id = subscribe
        .id
        .clone()
        .unwrap_or_else(|| format!("{}-0000", shared.name));
    let event = FrameworkEvent::Subscribed {
        framework_id: id,
        master: shared.name.clone(),
    };
    sender.send(line(&event)).unwrap();
    shared.streams.lock().unwrap().framework = Some(sender);
    let _ = shared.heard.send(Heard::Subscribed(subscribe));
    stream(receiver)
}

async fn framework(State(shared): State<Arc<Shared>>, Path((_, verb)): Path<(String, String)>, body: String) {
    let heard = match verb.as_str() {
        "accept" => Heard::Accepted(serde_json::from_str(&body).unwrap()),
        "decline" => Heard::Declined(serde_json::from_str(&body).unwrap()),
        "kill" => Heard::Killed(serde_json::from_str(&body).unwrap()),
        "reconcile" => Heard::Reconciled(serde_json::from_str(&body).unwrap()),
        _ => Heard::Revived,
    };
    let _ = shared.heard.send(heard);
}
