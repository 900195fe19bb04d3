//! Masters of one cluster, each at an address of its own, and those who talk to them.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use zookeeper_client as zk;

use crate::harness::http::Reply;
use crate::harness::program::{Environment, Program, environment};
use crate::harness::zookeeper::ZooKeeper;
use crate::harness::{eventually, millis, seconds};

pub const PATH: &str = "/mesos/my_mesos";

/// Addresses that no other test has: masters that come back need theirs again.
pub fn own_ip() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    format!("127.{}.{}.{}", 10 + process % 200, process / 200 % 250, count + 1)
}

pub struct Cloud {
    pub zookeeper: ZooKeeper,
    pub client: zk::Client,
}

impl Cloud {
    pub async fn start() -> Self {
        let zookeeper = ZooKeeper::start().await;
        let client = zookeeper.client().await;
        Self { zookeeper, client }
    }

    /// One that is not started yet.
    pub fn master(&self, quorum: usize) -> Master {
        let ip = own_ip();
        let work_dir = tempfile::tempdir().unwrap();
        let environment = environment([
            ("MESOS_ZK", self.zookeeper.url(PATH)),
            ("MESOS_QUORUM", quorum.to_string()),
            ("MESOS_WORK_DIR", work_dir.path().display().to_string()),
            ("MESOS_IP", ip.clone()),
            ("MESOS_HOSTNAME", format!("host-{ip}")),
        ]);
        Master {
            address: format!("{ip}:5050"),
            ip,
            work_dir,
            environment,
            program: None,
        }
    }

    /// As many as are needed, in the order in which they will lead; the first one does, and is ready.
    pub async fn masters<const N: usize>(&self, quorum: usize) -> [Master; N] {
        let mut masters = std::array::from_fn(|_| self.master(quorum));
        for master in &mut masters {
            master.start();
            self.node(master).await;
        }
        for master in &masters {
            master.votes().await;
        }
        masters[0].leads().await;
        masters
    }

    /// The names below a path.
    pub async fn children(&self, path: &str) -> Vec<String> {
        let mut children = self.client.list_children(path).await.unwrap_or_default();
        children.sort();
        children
    }

    /// A master's election node.
    pub async fn find_node(&self, master: &Master) -> Option<String> {
        for child in self.children(PATH).await {
            let node = format!("{PATH}/{child}");
            let Ok((data, _)) = self.client.get_data(&node).await else {
                continue;
            };
            if String::from_utf8_lossy(&data).contains(&format!("master@{}", master.address)) {
                return Some(node);
            }
        }
        None
    }

    /// Waits until a master has an election node.
    pub async fn node(&self, master: &Master) -> String {
        eventually("it is a candidate", seconds(20), async || {
            self.find_node(master).await
        })
        .await
    }

    pub async fn withdraw(&self, node: &str) {
        self.client.delete(node, None).await.unwrap();
    }

    /// What the guard makes of a death: the node goes with the process.
    pub async fn kill(&self, master: &mut Master) {
        let node = self.node(master).await;
        master.kill();
        self.withdraw(&node).await;
    }
}

pub struct Master {
    pub ip: String,
    pub address: String,
    pub environment: Environment,
    work_dir: TempDir,
    program: Option<Program>,
}

impl Master {
    pub fn start(&mut self) {
        self.program = Some(Program::start("master", &self.environment));
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().unwrap()
    }

    pub fn log(&self) -> String {
        self.program.as_ref().unwrap().log()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.program = None;
    }

    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.work_dir.path().join("replicated_log")).unwrap();
    }

    pub async fn get(&self, path: &str) -> Result<Reply, String> {
        get(&self.address, path).await
    }

    /// The answer by which proxies know a ready leader.
    pub async fn scheduler(&self) -> Option<u16> {
        Some(self.get("/master/api/v1/scheduler").await.ok()?.status)
    }

    /// Waits until it leads and is ready; how long that took.
    pub async fn leads(&self) -> Duration {
        let start = Instant::now();
        eventually("it leads", seconds(20), async || {
            (self.scheduler().await == Some(405)).then_some(())
        })
        .await;
        start.elapsed()
    }

    pub async fn stands_by(&self) {
        eventually("it stands by", seconds(20), async || {
            (self.scheduler().await == Some(307)).then_some(())
        })
        .await;
    }

    /// Waits until its replica votes.
    pub async fn votes(&self) {
        let asker = Asker::new().await;
        eventually("its replica votes", seconds(30), async || {
            (asker.ask(&self.address).await?.status == 1).then_some(())
        })
        .await;
    }

    pub async fn metric(&self, name: &str) -> Value {
        self.get("/metrics/snapshot").await.unwrap().json()[name].clone()
    }
}

async fn open(method: Method, address: &str, path: &str, body: String) -> Result<Response<Incoming>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap();
    sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())
}

async fn send(method: Method, address: &str, path: &str, body: String) -> Result<Reply, String> {
    let start = Instant::now();
    let answer = async {
        let (parts, body) = open(method, address, path, body).await?.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            took: start.elapsed(),
        })
    };
    let answer = tokio::time::timeout(seconds(20), answer).await;
    answer.unwrap_or_else(|_| Err("no answer".to_owned()))
}

pub async fn get(address: &str, path: &str) -> Result<Reply, String> {
    send(Method::GET, address, path, String::new()).await
}

pub async fn post(address: &str, path: &str, body: &impl Serialize) -> Reply {
    let body = serde_json::to_string(body).unwrap();
    send(Method::POST, address, path, body).await.unwrap()
}

/// A stream of JSON lines.
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    pub async fn open(method: Method, address: &str, path: &str, body: &impl Serialize) -> Self {
        let response = open(method, address, path, serde_json::to_string(body).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        Self {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }

    /// The next line; `None` at the end of the stream.
    async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.ok()?;
            self.buffer.extend_from_slice(frame.data_ref()?);
        }
    }

    /// The next line that `wanted` picks; the others are dropped.
    pub async fn hears<T: DeserializeOwned, R>(&mut self, what: &str, wanted: impl Fn(T) -> Option<R>) -> R {
        let next = async {
            loop {
                let line = self
                    .next()
                    .await
                    .unwrap_or_else(|| panic!("the stream ended before {what}"));
                if let Some(found) = wanted(line) {
                    return found;
                }
            }
        };
        let next = tokio::time::timeout(seconds(20), next).await;
        next.unwrap_or_else(|_| panic!("not heard: {what}"))
    }
}

/// What a replica says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    pub status: u64,
    pub begin: Option<u64>,
    pub end: Option<u64>,
}

/// Asks replicas how far they are, as the guard does: the answer comes on a new connection.
pub struct Asker {
    listener: TcpListener,
    address: String,
}

pub const NAME: &str = "test(1)";

impl Asker {
    pub async fn new() -> Self {
        Self::at(&own_ip()).await
    }

    /// Where `address` reaches it, wherever that is.
    pub async fn towards(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self::at(&stream.local_addr().unwrap().ip().to_string()).await
    }

    async fn at(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { listener, address }
    }

    pub fn request(&self) -> String {
        format!(
            "POST /log-replica(1)/mesos.internal.log.RecoverRequest HTTP/1.1\r\n\
             User-Agent: libprocess/{NAME}@{}\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
            self.address
        )
    }

    /// The whole answer, as it comes in.
    pub async fn answer(&self) -> Option<Vec<u8>> {
        let read = async {
            let (mut stream, _) = self.listener.accept().await.ok()?;
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n0\r\n\r\n") {
                if stream.read_buf(&mut answer).await.ok()? == 0 {
                    return None;
                }
            }
            Some(answer)
        };
        tokio::time::timeout(millis(1500), read).await.ok()?
    }

    pub async fn ask(&self, address: &str) -> Option<Standing> {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(self.request().as_bytes()).await.ok()?;
        self.answer().await.map(|answer| standing(&answer))
    }
}

/// The protobuf in a chunked answer.
pub fn standing(answer: &[u8]) -> Standing {
    let start = |from: usize| from + answer[from..].windows(2).position(|end| end == b"\r\n").unwrap() + 2;
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    let body: Range<usize> = start(head)..answer.len() - b"\r\n0\r\n\r\n".len();
    let mut fields = [None; 4];
    let mut bytes = answer[body].iter();
    while let Some(tag) = bytes.next() {
        let mut value = 0;
        for (place, byte) in bytes.by_ref().enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        fields[usize::from(tag >> 3)] = Some(value);
    }
    Standing {
        status: fields[1].unwrap(),
        begin: fields[2],
        end: fields[3],
    }
}
