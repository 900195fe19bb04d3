//! The node's Docker engine, as far as preflight needs it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures::future::try_join_all;

use super::docker_wrapper::ApiVersion;
use super::failure::Failure;

/// Time for one answer, in seconds.
const PATIENCE: u64 = 60;
/// Time that a lost task is given to end by itself, in seconds: as long as `docker stop` gives.
pub const GRACE: i32 = 10;

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

    /// Stops and removes, all at once, every container of a task of the slaves with these ids,
    /// `mesos-<id>.<anything>`; returns their names. `born_until` spares what was created later, in seconds since
    /// 1970.
    ///
    /// # Errors
    /// What the engine has against it.
    pub async fn remove_tasks(
        &self,
        slaves: &[String],
        born_until: Option<i64>,
    ) -> Result<Vec<String>, bollard::errors::Error> {
        let filters = HashMap::from([("name", vec!["mesos-"])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let listed = self.docker.list_containers(Some(options)).await?;
        let old = listed
            .into_iter()
            .filter(|c| born_until.is_none_or(|until| c.created.is_none_or(|born| born <= until)));
        let tasks = old.filter_map(|container| {
            let mut names = container.names.unwrap_or_default().into_iter();
            names.find_map(|name| {
                let name = name.strip_prefix('/')?;
                is_task_of(name, slaves).then(|| name.to_owned())
            })
        });
        try_join_all(tasks.map(|name| self.remove(name))).await
    }

    async fn remove(&self, name: String) -> Result<String, bollard::errors::Error> {
        let stop = StopContainerOptionsBuilder::default().t(GRACE).build();
        gone_is_fine(self.docker.stop_container(&name, Some(stop)).await)?;
        let remove = RemoveContainerOptionsBuilder::default().force(true).build();
        gone_is_fine(self.docker.remove_container(&name, Some(remove)).await)?;
        Ok(name)
    }
}

/// Whether Mesos named a container so for a task of one of these slaves (src/slave/containerizer/docker.hpp
/// @ 0.28.1).
fn is_task_of(container: &str, slaves: &[String]) -> bool {
    let Some(rest) = container.strip_prefix("mesos-") else {
        return false;
    };
    slaves.iter().any(|id| {
        rest.strip_prefix(id.as_str())
            .is_some_and(|rest| rest.starts_with('.'))
    })
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

#[cfg(test)]
mod tests {
    use super::is_task_of;

    #[test]
    fn a_task_is_known_by_its_slave() {
        let slaves = ["20261123-S1".to_owned(), "20261123-S3".to_owned()];
        for (name, expected) in [
            ("mesos-20261123-S1.2f0c", true),
            ("mesos-20261123-S3.2f0c.executor", true),
            ("mesos-20261123-S12.2f0c", false),
            ("mesos-20261123-S1", false),
            ("my-mesos-20261123-S1.2f0c", false),
        ] {
            assert_eq!(is_task_of(name, &slaves), expected, "{name}");
        }
    }
}
