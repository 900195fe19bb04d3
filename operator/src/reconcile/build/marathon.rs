//! The Marathons.

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, PodTemplateSpec};

use super::{Inputs, Resources, member_set, pod, probe};
use crate::cloud::component::Component;
use crate::cloud::names::MARATHON_PORT;
use crate::cloud::zk_url::zk_url;

const COMPONENT: Component = Component::Marathon;
/// Port on which libmesos inside Marathon is called back by master and slaves. Any; fixed so that a
/// NetworkPolicy can name it.
const LIBPROCESS_PORT: i32 = 9090;

/// Adds the Marathons' objects.
pub fn build(inputs: &Inputs<'_>, resources: &mut Resources) {
    let replicas = inputs.cloud.spec.marathon.replicas;
    let template = inputs.sidecar_image(&inputs.cloud.id.object(COMPONENT), |image| {
        pod_template(inputs, image)
    });
    resources
        .disruption_budgets
        .push(member_set::disruption_budget(inputs, COMPONENT));
    resources.services.extend(member_set::member_services(
        inputs,
        COMPONENT,
        replicas,
        &[("http", MARATHON_PORT)],
    ));
    resources.stateful_sets.push(member_set::stateful_set(
        inputs, COMPONENT, replicas, None, template,
    ));
}

fn pod_template(inputs: &Inputs<'_>, guard: &str) -> PodTemplateSpec {
    let cloud = inputs.cloud;
    let spec = &cloud.spec.marathon;
    let zookeepers = cloud.spec.zookeeper.replicas;
    let port = |name: &str, container_port| ContainerPort {
        name: Some(name.to_owned()),
        container_port,
        ..ContainerPort::default()
    };
    let container = Container {
        ports: Some(vec![
            port("http", MARATHON_PORT),
            port("libprocess", LIBPROCESS_PORT),
        ]),
        volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
        readiness_probe: Some(probe::http("/ping", MARATHON_PORT, probe::PROMPT)),
        // Not /ping: every Marathon answers that with 503 while none leads, and all would be killed.
        liveness_probe: Some(probe::tcp(MARATHON_PORT, probe::PATIENT)),
        ..pod::main_container(
            COMPONENT,
            &spec.image,
            &spec.pod,
            &spec.resources,
            vec![
                pod::env_field("POD_NAME", "metadata.name"),
                pod::env_field("LIBPROCESS_IP", "status.podIP"),
                pod::env("LIBPROCESS_PORT", LIBPROCESS_PORT.to_string()),
                // The name of its Service: what it calls itself tells everybody which member it is.
                pod::env("MARATHON_HOSTNAME", inputs.own_host()),
                pod::env(
                    "MARATHON_MASTER",
                    zk_url(&cloud.id, zookeepers, &cloud.spec.masters.zk_path),
                ),
                pod::env("MARATHON_ZK", zk_url(&cloud.id, zookeepers, &spec.zk_path)),
                pod::env("JAVA_OPTS", pod::heap(&spec.resources, 512)),
            ],
        )
    };
    // Where Marathon's candidates are, below its own path.
    let path = format!("{}/leader", spec.zk_path);
    let guard = super::guard::guard(inputs, COMPONENT, guard, &path, Some(&inputs.own_host()));
    pod::template(
        cloud,
        COMPONENT,
        &spec.pod,
        None,
        PodSpec {
            security_context: Some(pod::restricted_pod()),
            init_containers: Some(vec![guard]),
            containers: vec![container],
            volumes: Some(vec![pod::scratch("tmp")]),
            ..PodSpec::default()
        },
    )
}
