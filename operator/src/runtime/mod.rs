//! What every long-running command shares: logs, metrics, health endpoints.

pub mod shutdown;
pub mod telemetry;
