//! What every long-running command shares: logs, metrics, health endpoints, HTTP.

pub mod health;
pub mod http;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;
