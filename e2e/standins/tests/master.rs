//! The contract of the stand-in for a master, line by line. What an outsider can ask a running one is asked of a real one
//! instead when `STANDINS_AGAINST` is its URL, such as `http://10.0.0.1:5050`; it must lead and be ready.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod harness;

#[path = "master/deadlines.rs"]
mod deadlines;
#[path = "master/election.rs"]
mod election;
#[path = "master/endpoints.rs"]
mod endpoints;
#[path = "master/log.rs"]
mod log;
#[path = "master/start.rs"]
mod start;
#[path = "master/support.rs"]
mod support;
#[path = "master/tasks.rs"]
mod tasks;
#[path = "master/wire.rs"]
mod wire;
