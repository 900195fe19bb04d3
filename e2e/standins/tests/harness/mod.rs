//! What the tests of the slave and of Marathon need: the stand-in's own program, a real ZooKeeper, a master that
//! does as told, and a docker program that is none.
#![allow(dead_code, missing_docs)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::panic)] // a helper that fails is a test that fails

pub mod docker;
pub mod http;
pub mod marathon;
pub mod master;
pub mod program;
#[path = "../../../../operator/tests/waiting/mod.rs"]
mod waiting;
pub mod zookeeper;

use std::time::Duration;

pub use waiting::{eventually, free_port};

pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
