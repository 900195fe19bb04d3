//! Programs that run inside the cloud's own pods.

pub mod guard;
pub mod preflight;
pub mod proxy_agent;
