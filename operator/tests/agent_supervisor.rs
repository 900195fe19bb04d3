//! The agent beside HAProxy is there again in a moment when it is killed or stands still, and what keeps it running
//! ends with it when it is to end, or fails.
#![allow(clippy::unwrap_used, clippy::panic)]

mod waiting;

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use mesoscloud_operator::runtime::http::get;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use waiting::{eventually, free_port};

/// No step takes longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// An API server that is not there: the agent does without.
const KUBECONFIG: &str = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}]}"#;

struct Supervised {
    process: Child,
    port: u16,
    dir: TempDir,
}

fn start(kubeconfig: &str) -> Supervised {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("kubeconfig"), kubeconfig).unwrap();
    start_in(dir)
}

/// Starts one with the kubeconfig that is in this folder.
fn start_in(dir: TempDir) -> Supervised {
    let port = free_port();
    let process = Command::new(env!("CARGO_BIN_EXE_mesoscloud-operator"))
        .args(["proxy-agent", "--namespace", "none", "--config-map", "none"])
        .args(["--listen", &format!("127.0.0.1:{port}"), "--run-dir"])
        .arg(dir.path())
        .env("KUBECONFIG", dir.path().join("kubeconfig"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Supervised { process, port, dir }
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

impl Supervised {
    /// The agent itself, whether it answers or not.
    fn child(&self) -> Option<Pid> {
        let parent = self.process.id()?;
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
        Some(pid(children.split_whitespace().next()?.parse().ok()?))
    }

    /// The agent itself, once it answers and is not `old`.
    async fn agent(&self, old: Option<Pid>) -> Pid {
        eventually("an agent answers", PATIENCE, async || {
            let agent = self.child()?;
            (Some(agent) != old && self.answers().await).then_some(agent)
        })
        .await
    }

    async fn answers(&self) -> bool {
        let health = (Ipv4Addr::LOCALHOST, self.port).into();
        let answered = timeout(Duration::from_millis(500), get(health, "/livez")).await;
        matches!(answered, Ok(Ok(_)))
    }

    async fn ended(&mut self) -> bool {
        timeout(PATIENCE, self.process.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    }
}

// One after another: the port at which requests are held is always the same.
#[tokio::test]
async fn an_agent_is_kept_running_until_it_is_asked_to_end_or_fails() {
    let mut supervised = start(KUBECONFIG);
    let first = supervised.agent(None).await;

    let struck = Instant::now();
    kill_process(first, Signal::KILL).unwrap();
    let second = supervised.agent(Some(first)).await;
    println!("killed: there again after {:?}", struck.elapsed());

    let struck = Instant::now();
    kill_process(second, Signal::STOP).unwrap();
    let third = supervised.agent(Some(second)).await;
    println!("stopped: there again after {:?}", struck.elapsed());
    assert!(
        struck.elapsed() > Duration::from_secs(2),
        "a pause of a moment is none of anybody's business"
    );

    kill_process(pid(supervised.process.id().unwrap()), Signal::TERM).unwrap();
    assert!(supervised.ended().await);
    assert!(!supervised.answers().await);
    let gone = rustix::process::test_kill_process(third);
    assert!(gone.is_err(), "{third:?} was left behind");

    // Its kubeconfig is a pipe, so it cannot answer before something is written there.
    let dir = TempDir::new().unwrap();
    let pipe = dir.path().join("kubeconfig");
    let made = Command::new("mkfifo").arg(&pipe).status().await.unwrap();
    assert!(made.success());
    let mut slow = start_in(dir);
    let first = eventually("it is started", PATIENCE, async || slow.child()).await;
    sleep(Duration::from_secs(5)).await;
    std::fs::write(slow.dir.path().join("kubeconfig"), KUBECONFIG).unwrap();
    assert_eq!(
        slow.agent(None).await,
        first,
        "one that starts slowly is let start"
    );

    kill_process(first, Signal::STOP).unwrap();
    kill_process(pid(slow.process.id().unwrap()), Signal::TERM).unwrap();
    assert!(slow.ended().await, "one that stands still is ended too");
    let gone = rustix::process::test_kill_process(first);
    assert!(gone.is_err(), "{first:?} was left behind");

    let mut failing = start("not a kubeconfig");
    assert!(
        !failing.ended().await,
        "an agent that cannot start has said why, and is not started for ever"
    );
}
