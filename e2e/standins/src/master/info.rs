//! What a master tells of itself in ZooKeeper.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::settings::Settings;

/// The version it stands in for.
pub const VERSION: &str = "0.28.1";

/// The data of `json.info_N` (include/mesos/mesos.proto @ 0.28.1:454–485, as JSON).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MasterInfo {
    /// Address.
    pub address: Address,
    /// Its name.
    pub hostname: String,
    /// Another one with each start.
    pub id: String,
    /// The address' bytes as they lie in memory: on a little-endian machine the first is the lowest.
    pub ip: u32,
    /// `master@IP:PORT`.
    pub pid: String,
    /// Port.
    pub port: u16,
    /// Always `0.28.1`.
    pub version: String,
}

/// Where a master listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Its name.
    pub hostname: String,
    /// IP address.
    pub ip: String,
    /// Port.
    pub port: u16,
}

impl MasterInfo {
    /// Of a master with these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            address: Address {
                hostname: settings.hostname.clone(),
                ip: settings.ip.to_string(),
                port: settings.port,
            },
            hostname: settings.hostname.clone(),
            id: Uuid::new_v4().to_string(),
            ip: u32::from_le_bytes(settings.ip.octets()),
            pid: format!("master@{}", settings.address()),
            port: settings.port,
            version: VERSION.to_owned(),
        }
    }
}
