//! What is done to the cloud.

use std::time::SystemTime;

use mesoscloud_e2e::{Cloud, Result, node};

/// SIGKILL of the program of a member. Returns the moment.
pub async fn kill(cloud: &Cloud, member: &str) -> Result<SystemTime> {
    let (container, _) = node::main_container(&cloud.pod_api().get(member).await?)?;
    node::arm(&node::pid(&container).await?).await?.fire().await
}
