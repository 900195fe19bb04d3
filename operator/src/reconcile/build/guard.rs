//! The guard beside a master or Marathon.

use k8s_openapi::api::core::v1::{Container, ContainerPort};

use super::{Inputs, pod, probe, sidecar_image};
use crate::cloud::component::Component;
use crate::cloud::names::GUARD_PORT;
use crate::cloud::zk_url::zk_hosts;

/// A native sidecar: it ends after its neighbour, whose candidacy in `path` it withdraws. `host` is what the
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
        name: "guard".to_owned(),
        image: Some(image.to_owned()),
        args: Some(args.into_iter().map(str::to_owned).collect()),
        env: Some(vec![
            pod::env_field("POD_NAME", "metadata.name"),
            pod::env_field("POD_IP", "status.podIP"),
        ]),
        restart_policy: Some("Always".to_owned()),
        ports: Some(vec![ContainerPort {
            name: Some("guard".to_owned()),
            container_port: GUARD_PORT,
            ..ContainerPort::default()
        }]),
        resources: Some(sidecar_image::resources()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(pod::restricted()),
        liveness_probe: Some(probe::http("/livez", GUARD_PORT, probe::PATIENT)),
        ..Container::default()
    }
}
