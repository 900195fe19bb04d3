//! Keeps the agent alive and awake, from a process of its own.
//!
//! A sidecar that ends, be it for a moment, makes its pod unready: the proxy leaves its Service for seconds, and for
//! minutes when Kubernetes puts its restart off, though HAProxy serves all the while. And an agent that stands still
//! holds every request that finds no leader. So the agent is the child of a process that does nothing else.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{interval, sleep, timeout};

use super::CHILD;
use crate::runtime::http::get;
use crate::runtime::shutdown;

/// How often the child is asked whether it is awake, and how long it may take to answer.
const ASK: Duration = Duration::from_secs(1);
/// Questions in a row that are not answered by one that stands still.
const ASLEEP: u32 = 3;
/// How long it may take to its first answer. A node with little time for it needs some, and one that was killed would
/// begin anew.
const START: Duration = Duration::from_secs(15);
/// How long it may take to end when it is asked to: one that stands still does not hear that.
const END: Duration = Duration::from_secs(3);
/// Pause before it is started once more, and between two questions until it has answered one.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs this program once more as the agent, which serves `/livez` at `health`, until it is asked to end. One that
/// was killed or stands still is replaced; one that ends by itself has said why, and so does this.
///
/// # Errors
/// When the agent cannot be started, or fails.
pub async fn run(health: SocketAddr) -> io::Result<()> {
    let mut asked = pin!(shutdown::requested());
    loop {
        let mut child = Command::new(std::env::current_exe()?)
            .args(std::env::args_os().skip(1))
            .arg(format!("--{CHILD}"))
            .kill_on_drop(true)
            .spawn()?;
        tokio::select! {
            ended = child.wait() => failure(ended?)?,
            () = falls_asleep(health) => {
                tracing::error!("the agent stands still: it is killed");
                child.kill().await?;
            }
            asked = &mut asked => {
                asked?;
                return end(child).await;
            }
        }
        sleep(PAUSE).await;
    }
}

/// The error of a child that ended by itself.
fn failure(ended: ExitStatus) -> io::Result<()> {
    const FAILURE: i32 = 1;
    if ended.code() == Some(FAILURE) {
        return Err(io::Error::other("the agent failed"));
    }
    tracing::error!(%ended, "the agent is gone: it is started once more");
    Ok(())
}

async fn end(mut child: Child) -> io::Result<()> {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        kill_process(pid, Signal::TERM)?;
    }
    match timeout(END, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => child.kill().await,
    }
}

/// Completes when a process at this address does not answer any more, or has never done so.
async fn falls_asleep(health: SocketAddr) {
    let started = async {
        while !answers(health).await {
            sleep(PAUSE).await;
        }
    };
    if timeout(START, started).await.is_err() {
        return;
    }
    let mut pace = interval(ASK);
    let mut missing = 0;
    while missing < ASLEEP {
        pace.tick().await;
        missing = if answers(health).await { 0 } else { missing + 1 };
    }
}

async fn answers(health: SocketAddr) -> bool {
    matches!(timeout(ASK, get(health, "/livez")).await, Ok(Ok(_)))
}
