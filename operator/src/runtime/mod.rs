//! What every long-running command shares: logs, metrics, health endpoints.

pub mod health;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;
