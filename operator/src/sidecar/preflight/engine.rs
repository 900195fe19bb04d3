//! The node's Docker engine, as far as preflight needs it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};

use super::docker_wrapper::ApiVersion;
use super::failure::Failure;

/// Time for one answer, in seconds.
const PATIENCE: u64 = 60;
/// Time that a lost task is given to end by itself, in seconds.
const GRACE: i32 = 10;

/// A Docker engine that answers.
pub struct Engine {
    docker: Docker,
    /// Oldest API it speaks.
    pub oldest: ApiVersion,
    /// Newest API it speaks.
    pub newest: ApiVersion,
}

impl Engine {
    /// Connects to the engine behind `socket`.
    ///
    /// # Errors
    /// When nothing answers there.
    pub async fn connect(socket: &Path) -> Result<Self, Failure> {
        let nothing = |why: String| {
            Failure::new(
                "NoDockerSocket",
                format!("Docker does not answer at the node's /var/run/docker.sock: {why}"),
                "run Docker on the node, or set spec.slaves.containerizers to [mesos]",
            )
        };
        let path = socket.to_str().unwrap_or_default();
        let docker = Docker::connect_with_unix(path, PATIENCE, API_DEFAULT_VERSION)
            .map_err(|e| nothing(e.to_string()))?;
        let docker = docker
            .negotiate_version()
            .await
            .map_err(|e| nothing(e.to_string()))?;
        let version = docker.version().await.map_err(|e| nothing(e.to_string()))?;
        let api = |text: Option<String>| text.as_deref().and_then(ApiVersion::parse);
        let newest = api(version.api_version).ok_or_else(|| nothing("it tells no API version".to_owned()))?;
        // Engines before 1.25 do not tell their oldest.
        Ok(Self {
            docker,
            newest,
            oldest: api(version.min_api_version).unwrap_or(newest),
        })
    }

    /// The gateway of Docker's own network, an address of the host it runs on; `None` where that network was
    /// switched off.
    pub async fn gateway(&self) -> Option<Ipv4Addr> {
        let network = self.docker.inspect_network("bridge", None).await.ok()?;
        network
            .ipam?
            .config?
            .into_iter()
            .find_map(|config| config.gateway?.parse().ok())
    }

    /// Stops and removes every container whose name starts with `prefix`; returns their names.
    ///
    /// # Errors
    /// What the engine has against it.
    pub async fn remove_all(&self, prefix: &str) -> Result<Vec<String>, bollard::errors::Error> {
        let filters = HashMap::from([("name", vec![prefix])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let mut removed = Vec::new();
        for container in self.docker.list_containers(Some(options)).await? {
            // The filter finds the text anywhere in a name.
            let names = container.names.unwrap_or_default();
            let Some(name) = names
                .iter()
                .filter_map(|n| n.strip_prefix('/'))
                .find(|n| n.starts_with(prefix))
            else {
                continue;
            };
            let stop = StopContainerOptionsBuilder::default().t(GRACE).build();
            gone_is_fine(self.docker.stop_container(name, Some(stop)).await)?;
            let remove = RemoveContainerOptionsBuilder::default().force(true).build();
            gone_is_fine(self.docker.remove_container(name, Some(remove)).await)?;
            removed.push(name.to_owned());
        }
        Ok(removed)
    }
}

fn gone_is_fine(result: Result<(), bollard::errors::Error>) -> Result<(), bollard::errors::Error> {
    match result {
        // Stopped already, no longer there, being removed.
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 304 | 404 | 409,
            ..
        }) => Ok(()),
        other => other,
    }
}
