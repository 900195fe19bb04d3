//! The Mesos masters.

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, PodTemplateSpec};

use super::{Inputs, Resources, member_set, pod, probe};
use crate::cloud::component::Component;
use crate::cloud::names::{GUARD_PORT, MASTER_PORT};
use crate::cloud::quorum::quorum;
use crate::cloud::zk_url::zk_url;

const COMPONENT: Component = Component::Master;
const WORK_DIR: &str = "/var/lib/mesos";

/// Adds the masters' objects.
pub fn build(inputs: &Inputs<'_>, resources: &mut Resources) {
    let spec = &inputs.cloud.spec.masters;
    let template = if spec.guard {
        inputs.sidecar_image(&inputs.cloud.id.object(COMPONENT), |image| {
            pod_template(inputs, Some(image))
        })
    } else {
        pod_template(inputs, None).into()
    };
    resources
        .disruption_budgets
        .push(member_set::disruption_budget(inputs, COMPONENT));
    resources.services.extend(member_set::member_services(
        inputs,
        COMPONENT,
        spec.replicas,
        &[("mesos", MASTER_PORT)],
    ));
    resources.stateful_sets.push(member_set::stateful_set(
        inputs,
        COMPONENT,
        spec.replicas,
        Some(&spec.storage),
        template,
    ));
}

/// `guard` is the image of the guard, where there is one.
fn pod_template(inputs: &Inputs<'_>, guard: Option<&str>) -> PodTemplateSpec {
    let cloud = inputs.cloud;
    let spec = &cloud.spec.masters;
    // A master says 200 before its replica votes; the guard asks the replica.
    let readiness = match guard {
        Some(_) => probe::http("/readyz", GUARD_PORT, probe::PROMPT),
        None => probe::http("/health", MASTER_PORT, probe::PROMPT),
    };
    let container = Container {
        ports: Some(vec![ContainerPort {
            name: Some("mesos".to_owned()),
            container_port: MASTER_PORT,
            ..ContainerPort::default()
        }]),
        volume_mounts: Some(vec![
            pod::mount(member_set::DATA_VOLUME, WORK_DIR),
            pod::mount("tmp", "/tmp"),
        ]),
        readiness_probe: Some(readiness),
        liveness_probe: Some(probe::http("/health", MASTER_PORT, probe::PATIENT)),
        ..pod::main_container(
            COMPONENT,
            &spec.image,
            &spec.pod,
            &spec.resources,
            vec![
                pod::env_field("POD_NAME", "metadata.name"),
                pod::env_field("MESOS_IP", "status.podIP"),
                // The name of its Service: what it calls itself tells everybody which member it is.
                pod::env("MESOS_HOSTNAME", inputs.own_host()),
                pod::env("MESOS_CLUSTER", cloud.id.name.clone()),
                pod::env(
                    "MESOS_ZK",
                    zk_url(&cloud.id, cloud.spec.zookeeper.replicas, &spec.zk_path),
                ),
                pod::env(
                    "MESOS_QUORUM",
                    quorum(cloud.sized_for(COMPONENT, spec.replicas)).to_string(),
                ),
                pod::env("MESOS_WORK_DIR", WORK_DIR),
            ],
        )
    };
    pod::template(
        cloud,
        COMPONENT,
        &spec.pod,
        None,
        PodSpec {
            security_context: Some(pod::restricted_pod()),
            init_containers: guard
                .map(|image| vec![super::guard::guard(inputs, COMPONENT, image, &spec.zk_path, None)]),
            containers: vec![container],
            volumes: Some(vec![pod::scratch("tmp")]),
            ..PodSpec::default()
        },
    )
}
