//! Whether the neighbour's process lives, told by the kernel.
//!
//! The kernel closes a process's connections when the process ends: 7 ms after a SIGKILL (docs/originals.md).
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
/// Pause after an attempt that told nothing, doubled while it goes on like that: one that failed in another way, or
/// whose connection ended before the longest pause would have. The first is short, for a listener that is being torn
/// down may still accept.
const VAIN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(500));
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
    let mut vain = VAIN.0;
    loop {
        let known = known();
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(mut connection)) => {
                life.send_replace(Life::Alive);
                let opened = Instant::now();
                // Nothing is asked, so nothing is answered: whatever ends the read ends the connection.
                let _ = connection.read(&mut [0; 1]).await;
                ended = Instant::now();
                tracing::debug!(%address, "the neighbour's connection ended");
                if ended - opened >= VAIN.1 {
                    vain = VAIN.0;
                    continue;
                }
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                let before = *life.borrow();
                if before == Life::Alive {
                    tracing::info!(%address, "the neighbour is dead");
                }
                refused(known, Refusal { before, ended });
                life.send_replace(Life::Dead);
                sleep(DEAD).await;
                vain = VAIN.0;
                continue;
            }
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => {
                sleep(DYING).await;
                continue;
            }
            // It took its time already.
            Err(_) => continue,
            Ok(Err(error)) => tracing::debug!(%address, %error, "the neighbour cannot be reached"),
        }
        sleep(vain).await;
        vain = (vain * 2).min(VAIN.1);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::net::TcpListener;

    use super::*;

    /// How many deaths are seen of a neighbour that `lives` like this.
    async fn deaths(lives: impl AsyncFnOnce(TcpListener)) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let life = watch::Sender::new(Life::Unknown);
        let deaths = Cell::new(0);
        let refused = |(), refusal: Refusal| {
            deaths.set(deaths.get() + usize::from(refusal.before == Life::Alive));
        };
        tokio::select! {
            () = watch(address, &life, || (), refused) => {}
            () = lives(listener) => {}
        }
        deaths.get()
    }

    #[tokio::test]
    async fn a_connection_that_a_living_neighbour_closes_is_opened_again() {
        let deaths = deaths(async |listener| {
            for _ in 0..3 {
                let held = listener.accept().await.unwrap();
                sleep(DEAD).await;
                drop(held);
            }
        });
        assert_eq!(deaths.await, 0);
    }

    #[tokio::test]
    async fn one_that_closes_them_at_once_is_asked_less_and_less() {
        let deaths = deaths(async |listener| {
            let mut accepted = 0;
            let accepting = async {
                loop {
                    drop(listener.accept().await.unwrap());
                    accepted += 1;
                }
            };
            let _ = timeout(Duration::from_secs(1), accepting).await;
            assert!((2..=12).contains(&accepted), "{accepted} connections in a second");
        });
        assert_eq!(deaths.await, 0);
    }

    #[tokio::test]
    async fn it_dies_once() {
        let deaths = deaths(async |listener| {
            let held = listener.accept().await.unwrap();
            drop((listener, held));
            sleep(NOTICE).await;
        });
        assert_eq!(deaths.await, 1);
    }
}
