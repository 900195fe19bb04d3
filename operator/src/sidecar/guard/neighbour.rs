//! Whether the neighbour's process lives, told by the kernel.
//!
//! The kernel closes a process's connections when the process ends: 7 ms after a SIGKILL (reference/measured.md).
//! A connection that ended may also have been closed by a living neighbour, as Marathon does with idle ones; what
//! tells is the next attempt. *Refused* is dead. *Accepted* is alive. A *reset* is a listener that is being torn
//! down: neither yet. Silence says nothing.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Pause between two attempts while it is neither dead nor alive.
const DYING: Duration = Duration::from_millis(1);
/// Pause between two attempts while it is dead.
const DEAD: Duration = Duration::from_millis(50);
/// How long it may take to accept. A neighbour that is stopped or overloaded is not dead.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longest time until the death of a neighbour, whose container has ended, is noticed.
const NOTICE: Duration = Duration::from_millis(500);

/// What is known of the neighbour's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Nothing yet.
    Unknown,
    /// It accepts connections.
    Alive,
    /// It refused one.
    Dead,
}

/// An attempt to connect that was refused.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// What was known of the neighbour before.
    pub before: Life,
    /// When its last connection ended, or the guard's own start.
    pub ended: Instant,
}

/// Whether the neighbour, whose container has ended or goes on, is dead.
pub async fn is_dead(mut life: watch::Receiver<Life>) -> bool {
    let dead = life.wait_for(|life| *life == Life::Dead);
    timeout(NOTICE, dead).await.is_ok()
}

/// Watches for ever, and tells `refused` of every refusal, with what `known` told right before the attempt: all of
/// it belonged to the process that is dead now, or to an earlier one.
pub async fn watch<K>(
    address: SocketAddr,
    life: &watch::Sender<Life>,
    known: impl Fn() -> K,
    refused: impl Fn(K, Refusal),
) {
    let mut ended = Instant::now();
    loop {
        let known = known();
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(mut connection)) => {
                life.send_replace(Life::Alive);
                // Nothing is asked, so nothing is answered: whatever ends the read ends the connection.
                let _ = connection.read(&mut [0; 1]).await;
                ended = Instant::now();
                tracing::debug!(%address, "the neighbour's connection ended");
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                let before = *life.borrow();
                if before == Life::Alive {
                    tracing::info!(%address, "the neighbour is dead");
                }
                refused(known, Refusal { before, ended });
                life.send_replace(Life::Dead);
                sleep(DEAD).await;
            }
            Ok(Err(_)) | Err(_) => sleep(DYING).await,
        }
    }
}
