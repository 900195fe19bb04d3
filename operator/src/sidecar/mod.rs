//! Programs that run inside the cloud's own pods.

pub mod proxy_agent;
