//! The guard beside a master or Marathon.

use k8s_openapi::api::core::v1::{Container, ContainerPort};

use super::{Inputs, pod, probe, sidecar_image};
use crate::cloud::component::Component;
use crate::cloud::names::GUARD_PORT;
use crate::cloud::zk_url::zk_hosts;

/// It ends after its neighbour, whose candidacy in `path` it withdraws. `host` is what the
/// neighbour calls itself in its candidacy, where that is not its address.
pub fn guard(
    inputs: &Inputs<'_>,
    component: Component,
    image: &str,
    path: &str,
    host: Option<&str>,
) -> Container {
    let cloud = inputs.cloud;
    let zookeeper = zk_hosts(&cloud.id, cloud.spec.zookeeper.replicas);
    let mut args = vec![
        "guard",
        component.label(),
        "--zookeeper",
        &zookeeper,
        "--path",
        path,
    ];
    if let Some(host) = host {
        args.extend(["--host", host]);
    }
    Container {
        env: Some(vec![
            pod::env_field("POD_NAME", "metadata.name"),
            pod::env_field("POD_IP", "status.podIP"),
        ]),
        ports: Some(vec![ContainerPort {
            name: Some("guard".to_owned()),
            container_port: GUARD_PORT,
            ..ContainerPort::default()
        }]),
        liveness_probe: Some(probe::http("/livez", GUARD_PORT, probe::PATIENT)),
        ..sidecar_image::container("guard", image, &args)
    }
}
