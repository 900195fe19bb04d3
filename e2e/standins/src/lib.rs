//! Stand-ins for Mesos 0.28.1 and Marathon 1.1.1: programs that behave like them where a MesosCloud can notice,
//! for machines to which no registry brings the real ones. Configured by the same environment variables.

pub mod flags;
pub mod group;
pub mod http;
pub mod marathon;
pub mod master;
pub mod signals;
pub mod slave;
pub mod wire;
pub mod zk_url;
