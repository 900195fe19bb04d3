//! Small programs that answer as a master, a Marathon or a ZooKeeper member does where a proxy can notice. They die
//! as processes do: at once, with all their connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesoscloud_operator::cloud::haproxy::{Kind, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// What a fake is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A master or Marathon that leads; a ZooKeeper member that serves.
    Leader,
    /// One that stands by; a ZooKeeper member without a quorum.
    Standby,
    /// A master or Marathon that has been elected and is not ready.
    Recovering,
}

/// How long the answer to `/slow` takes.
pub const SLOW: Duration = Duration::from_millis(1500);

/// How long a Marathon that is not ready lets a request wait (1.1.1).
const UNREADY: Duration = Duration::from_millis(2750);

/// One of them, at one address for as long as it lives and lives again.
pub struct Fake {
    /// As HAProxy knows it.
    pub server: Server,
    kind: Kind,
    role: Arc<watch::Sender<Role>>,
    process: Option<JoinHandle<()>>,
    /// Paths that were posted to.
    posts: Arc<Mutex<Vec<String>>>,
    /// Connections that are open, checks included.
    open: Arc<AtomicUsize>,
}

impl Fake {
    /// Starts one at a free port of 127.0.0.1.
    pub async fn start(kind: Kind, ordinal: usize, role: Role) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let prefix = match kind {
            Kind::Mesos => "master",
            Kind::Marathon => "marathon",
            Kind::ZooKeeper => "zk",
        };
        let mut fake = Self {
            server: Server {
                name: format!("{prefix}-{ordinal}"),
                address: listener.local_addr().unwrap().to_string(),
            },
            kind,
            role: Arc::new(watch::Sender::new(role)),
            process: None,
            posts: Arc::default(),
            open: Arc::default(),
        };
        fake.serve(listener);
        fake
    }

    /// Makes it something else while it lives.
    pub fn become_(&self, role: Role) {
        self.role.send_replace(role);
    }

    /// Kills it: the port is closed, and so are all connections.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.abort();
            let _ = process.await;
        }
    }

    /// Starts it again at the same address.
    pub async fn revive(&mut self, role: Role) {
        self.become_(role);
        let listener = TcpListener::bind(&self.server.address).await.unwrap();
        self.serve(listener);
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Paths that were posted to, in this order.
    pub fn posts(&self) -> Vec<String> {
        self.posts.lock().unwrap().clone()
    }

    fn serve(&mut self, listener: TcpListener) {
        let (kind, name, role, posts, open) = (
            self.kind,
            self.server.name.clone(),
            self.role.clone(),
            self.posts.clone(),
            self.open.clone(),
        );
        self.process = Some(tokio::spawn(async move {
            // Dropped with this task, and the connections with it.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let connection = Connection {
                    stream,
                    kind,
                    name: name.clone(),
                    role: role.subscribe(),
                    posts: posts.clone(),
                    _open: Open::count(&open),
                };
                connections.spawn(connection.serve());
            }
        }));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.abort();
        }
    }
}

/// Counts itself while it exists.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(1, Ordering::SeqCst);
        Self(of.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Connection {
    stream: TcpStream,
    kind: Kind,
    name: String,
    role: watch::Receiver<Role>,
    posts: Arc<Mutex<Vec<String>>>,
    _open: Open,
}

impl Connection {
    async fn serve(mut self) {
        // It ends when the other side is gone; there is nobody to tell.
        let _ = match self.kind {
            Kind::ZooKeeper => self.zookeeper().await,
            Kind::Mesos | Kind::Marathon => self.http().await,
        };
    }

    async fn http(&mut self) -> std::io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.stream.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if head.starts_with("POST ") {
                self.posts.lock().unwrap().push(path.clone());
            }
            if path == "/slow" {
                tokio::time::sleep(SLOW).await;
            }
            if path == "/v2/events" {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                self.stream.write_all(head.as_bytes()).await?;
                return std::future::pending().await;
            }
            if self.kind == Kind::Marathon {
                // One that has been elected lets its clients wait until it is ready, and not for ever.
                let ready = self.role.wait_for(|role| *role != Role::Recovering);
                let _ = timeout(UNREADY, ready).await;
            }
            let role = *self.role.borrow();
            let (status, headers) = match (self.kind, path.as_str(), role) {
                (Kind::Mesos, "/master/api/v1/scheduler", Role::Leader) => ("405 Method Not Allowed", ""),
                (Kind::Mesos, "/master/api/v1/scheduler", Role::Standby) => {
                    ("307 Temporary Redirect", "Location: //elsewhere:5050\r\n")
                }
                (Kind::Mesos, "/master/api/v1/scheduler", Role::Recovering)
                | (Kind::Marathon, _, Role::Recovering) => ("503 Service Unavailable", ""),
                (Kind::Marathon, _, Role::Standby) => ("200 OK", "X-Marathon-Via: 1.1 standby\r\n"),
                _ => ("200 OK", ""),
            };
            let body = if path == "/headers" {
                head
            } else {
                format!("{} {role:?}", self.name)
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            self.stream.write_all(answer.as_bytes()).await?;
        }
    }

    /// Tells its mode when asked `srvr`, and echoes everything else, as a session that is alive.
    async fn zookeeper(&mut self) -> std::io::Result<()> {
        let mut part = [0; 64];
        loop {
            let n = self.stream.read(&mut part).await?;
            let role = *self.role.borrow();
            let answer = match (&part[..n], role) {
                (b"", _) => return Ok(()),
                (b"srvr", Role::Leader) => {
                    let text = "Zookeeper version: 3.4.8--1, built on 02/06/2016 03:18 GMT\nZxid: 0x81\nMode: follower\n";
                    return self.stream.write_all(text.as_bytes()).await;
                }
                (b"srvr", _) => {
                    let text = "This ZooKeeper instance is not currently serving requests\n";
                    return self.stream.write_all(text.as_bytes()).await;
                }
                (said, _) => format!("{} {}", self.name, String::from_utf8_lossy(said)),
            };
            self.stream.write_all(answer.as_bytes()).await?;
        }
    }
}
