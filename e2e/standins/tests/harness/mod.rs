//! What the tests of the slave and of Marathon need: the stand-in's own program, a real ZooKeeper, a master that
//! does as told, and a docker program that is none.
#![allow(dead_code, missing_docs)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::panic)] // a helper that fails is a test that fails

pub mod docker;
pub mod http;
pub mod marathon;
pub mod master;
pub mod program;
pub mod zookeeper;

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A port nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Looks again and again until `look` finds something.
pub async fn eventually<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
