//! A real HAProxy and its agent in front of fakes, on loopback. The operator is the test.
#![allow(dead_code, missing_docs)]

pub mod client;
pub mod fakes;
pub mod program;
#[path = "../waiting/mod.rs"]
mod waiting;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fakes::{Fake, Role};
use mesoscloud_operator::cloud::haproxy::{ADMIN_PORT, Following, HOLD_PORT, Kind, RUN_DIR, Server, config};
use mesoscloud_operator::sidecar::proxy_agent::{Agent, Desired, Hold, Status};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
#[allow(unused_imports)] // not every test needs both
pub use waiting::{eventually, free_port};

/// Longest wait for anything that a loaded machine may delay.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Lab {
    pub kind: Kind,
    pub fakes: Vec<Fake>,
    /// Where the proxy listens.
    pub port: u16,
    pub status: Arc<Status>,
    following: Following,
    admin_port: u16,
    hold_port: u16,
    dir: TempDir,
    desired: watch::Sender<Option<Desired>>,
    agent: Option<JoinHandle<()>>,
    haproxy: Option<Child>,
}

impl Lab {
    /// `count` servers, of which the first leads (all serve, if it is ZooKeeper), behind a proxy that is ready.
    pub async fn start(kind: Kind, count: usize) -> Self {
        let following = Following {
            place: None,
            hold_timeout_ms: 5000,
        };
        Self::start_with(kind, count, following).await
    }

    /// The same, with an election in ZooKeeper or another patience.
    pub async fn start_with(kind: Kind, count: usize, following: Following) -> Self {
        let mut fakes = Vec::new();
        for n in 0..count {
            let leads = n == 0 || kind == Kind::ZooKeeper;
            let role = if leads { Role::Leader } else { Role::Standby };
            fakes.push(Fake::start(kind, n, role).await);
        }
        let mut lab = Self {
            kind,
            fakes,
            port: free_port(),
            following,
            admin_port: free_port(),
            hold_port: free_port(),
            status: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
            desired: watch::Sender::new(None),
            agent: None,
            haproxy: None,
        };
        lab.tell(Some(0));
        lab.start_agent();
        lab.start_haproxy().await;
        lab.until("the proxy is ready", async |lab| lab.status.ready().0)
            .await;
        lab.until("somebody is up", async |lab| {
            lab.status.metrics().contains("server_up{server=\"")
        })
        .await;
        if kind != Kind::ZooKeeper {
            let leader = lab.fakes[0].server.name.clone();
            lab.until_served_by(&leader).await;
        }
        lab
    }

    /// What the operator would write, with this lab's paths and ports.
    pub fn desired(&self, servers: &[Server], leader: Option<usize>) -> Desired {
        let leader = leader.map(|n| self.fakes[n].server.name.as_str());
        let config = config(self.kind, servers, leader, self.following.clone());
        let cfg = config
            .cfg
            .replace(RUN_DIR, self.dir.path().to_str().unwrap())
            .replace(
                &format!("bind :{ADMIN_PORT}"),
                &format!("bind 127.0.0.1:{}", self.admin_port),
            )
            .replace(
                &format!("bind :{}", self.kind.port()),
                &format!("bind 127.0.0.1:{}", self.port),
            )
            .replace(
                &format!("127.0.0.1:{HOLD_PORT} "),
                &format!("127.0.0.1:{} ", self.hold_port),
            )
            // Short of what matters, so that what ought to live longer is seen to.
            .replace("hard-stop-after 30s", "hard-stop-after 1s")
            .replace("timeout http-request 10s", "timeout http-request 1s")
            .replace("timeout http-keep-alive 60s", "timeout http-keep-alive 1s")
            .replace("timeout server 60s", "timeout server 1s");
        Desired {
            cfg,
            state: config.state,
        }
    }

    /// The operator finds that another leads.
    pub fn tell(&self, leader: Option<usize>) {
        let servers: Vec<_> = self.fakes.iter().map(|fake| fake.server.clone()).collect();
        self.write(self.desired(&servers, leader));
    }

    pub fn write(&self, desired: Desired) {
        self.desired.send_replace(Some(desired));
    }

    pub fn start_agent(&mut self) {
        self.status = Arc::default();
        let hold = Arc::new(Hold::new(self.status.clone()));
        let listener = std::net::TcpListener::bind(("127.0.0.1", self.hold_port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let agent = Agent::new(self.dir.path(), self.status.clone(), hold.clone());
        let desired = self.desired.subscribe();
        self.agent = Some(tokio::spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::select! {
                held = hold.serve(listener) => held.unwrap(),
                () = agent.run(desired) => {}
            }
        }));
    }

    pub async fn kill_agent(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.abort();
            let _ = agent.await;
        }
    }

    /// The API server and all that it told are gone.
    pub fn forget(&mut self) {
        self.desired = watch::Sender::new(None);
    }

    /// As its pod does: once the agent has written its files.
    pub async fn start_haproxy(&mut self) {
        let cfg = self.dir.path().join("haproxy.cfg");
        self.until("the agent has written the configuration", async |_| cfg.exists())
            .await;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("haproxy.log"))
            .unwrap();
        let child = Command::new(&*program::HAPROXY)
            .args(["-W", "-db", "-S"])
            .arg(format!("{}/master.sock,mode,600", self.dir.path().display()))
            .arg("-f")
            .arg(&cfg)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.haproxy = Some(child);
    }

    pub async fn kill_haproxy(&mut self) {
        if let Some(mut haproxy) = self.haproxy.take() {
            haproxy.kill().await.unwrap();
        }
        // The worker follows its master.
        self.until("the worker is gone", async |lab| {
            lab.command("show info").await.is_none()
                && TcpStream::connect(("127.0.0.1", lab.port)).await.is_err()
        })
        .await;
    }

    /// What the worker answers.
    pub async fn command(&self, command: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.dir.path().join("admin.sock"))
            .await
            .ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    pub async fn worker(&self) -> String {
        let info = self.command("show info").await.unwrap();
        info.lines()
            .find_map(|line| line.strip_prefix("Pid: "))
            .unwrap()
            .to_owned()
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Value of the metric whose line begins so; 0 when there is none yet.
    pub fn metric(&self, line: &str) -> usize {
        let metrics = self.status.metrics();
        let value = metrics.lines().find_map(|l| l.strip_prefix(line));
        value.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Whether HAProxy takes the server for the leader.
    pub async fn is_up(&self, server: &str) -> bool {
        let backend = self.kind.leader_backend().unwrap();
        let states = self.command(&format!("show servers state {backend}")).await;
        let up = format!(" {server} 127.0.0.1 2 ");
        states.unwrap().lines().any(|line| line.contains(&up))
    }

    /// Which server the configuration begins with.
    pub fn leader_in_file(&self) -> String {
        let cfg = self.file("haproxy.cfg");
        let first = cfg.lines().find_map(|line| line.strip_prefix("    server "));
        first.unwrap().split(' ').next().unwrap().to_owned()
    }

    pub async fn get(&self, path: &str) -> Option<Answer> {
        request(self.port, "GET", path).await
    }

    /// Asks until `server` answers. Returns how long that took.
    pub async fn until_served_by(&self, server: &str) -> Duration {
        let begun = Instant::now();
        self.until(&format!("{server} answers"), async |lab| {
            lab.get("/")
                .await
                .is_some_and(|answer| answer.server.as_deref() == Some(server))
        })
        .await;
        begun.elapsed()
    }

    pub async fn until(&self, what: &str, condition: impl AsyncFn(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self).await {
            if begun.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.dir.path().join("haproxy.log")).unwrap_or_default();
                panic!(
                    "not so after {PATIENCE:?}: {what}\n{}\n{log}",
                    self.status.metrics()
                );
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(agent) = &self.agent {
            agent.abort();
        }
    }
}

/// What came back through the proxy.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// Who answered, as HAProxy tells; `None` when it was HAProxy itself.
    pub server: Option<String>,
    pub body: String,
}

/// One request on a connection of its own; `None` when the connection is refused or ends without an answer.
pub async fn request(port: u16, method: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("{method} {path} HTTP/1.1\r\nHost: cloud.example\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix(name)
                .map(|value| value.trim().to_owned())
        })
    };
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        server: header("x-mesoscloud-server:"),
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
