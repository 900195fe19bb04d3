//! Programs that run inside the cloud's own pods.

pub mod preflight;
pub mod proxy_agent;
