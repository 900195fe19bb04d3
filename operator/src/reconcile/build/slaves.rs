//! The Mesos slaves: one DaemonSet for each slave of a node.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, ExecAction, HostPathVolumeSource, Lifecycle, LifecycleHandler, PodSpec,
    SecurityContext, Volume, VolumeMount,
};
use mesoscloud_crds::spec::Containerizer;

use super::sidecar_image::WithSidecar;
use super::{Inputs, Resources, metadata, pod, probe};
use crate::cloud::component::Component;
use crate::cloud::mesos_resources::{attributes, resources as mesos_resources};
use crate::cloud::names::SLAVE_INDEX_LABEL;
use crate::cloud::task_ports::share;
use crate::cloud::zk_url::zk_url;

const COMPONENT: Component = Component::Slave;
/// Where preflight leaves what it found out, and a copy of this program.
const RUN_DIR: &str = "/run/mesoscloud";
const PROGRAM: &str = "/run/mesoscloud/mesoscloud-operator";
/// Where preflight sees the node's /var/run. It looks for Docker's socket there, because a volume of the
/// socket itself would be made a folder on a node without Docker.
const HOST_RUN: &str = "/host/run";
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Adds the slaves' objects.
pub fn build(inputs: &Inputs<'_>, resources: &mut Resources) {
    for index in 0..inputs.cloud.spec.slaves.per_node {
        resources.daemon_sets.push(daemon_set(inputs, index));
    }
}

/// Name of the DaemonSet with this index.
pub fn name(inputs: &Inputs<'_>, index: i32) -> String {
    inputs.cloud.id.member(COMPONENT, index)
}

fn daemon_set(inputs: &Inputs<'_>, index: i32) -> DaemonSet {
    let cloud = inputs.cloud;
    let name = name(inputs, index);
    let template = inputs.sidecar_image(&name, |image| pod_template(inputs, index, image));
    let mut selector = pod::selector(cloud, COMPONENT);
    selector
        .match_labels
        .get_or_insert_default()
        .insert(SLAVE_INDEX_LABEL.to_owned(), index.to_string());
    let WithSidecar {
        template,
        annotations,
    } = template;
    let mut metadata = metadata(cloud, COMPONENT, name);
    metadata.annotations = Some(annotations);
    DaemonSet {
        metadata,
        spec: Some(DaemonSetSpec {
            selector,
            template,
            ..DaemonSetSpec::default()
        }),
        status: None,
    }
}

fn pod_template(
    inputs: &Inputs<'_>,
    index: i32,
    sidecar_image: &str,
) -> k8s_openapi::api::core::v1::PodTemplateSpec {
    let cloud = inputs.cloud;
    let spec = &cloud.spec.slaves;
    let port = spec.base_port + index;
    let ports = share(spec.task_ports, index, spec.per_node);
    let work_dir = format!(
        "{}/{}/{}/slave-{index}",
        spec.work_dir, cloud.id.namespace, cloud.id.name
    );
    let containerizers: Vec<_> = spec.containerizers.iter().map(|c| c.as_str()).collect();
    let with_docker = spec.containerizers.contains(&Containerizer::Docker);

    let mut env = vec![
        pod::env_field("MESOS_IP", "status.hostIP"),
        pod::env("MESOS_PORT", port.to_string()),
        pod::env("MESOS_HOSTNAME", format!("file://{RUN_DIR}/hostname")),
        pod::env(
            "MESOS_MASTER",
            zk_url(
                &cloud.id,
                cloud.spec.zookeeper.replicas,
                &cloud.spec.masters.zk_path,
            ),
        ),
        pod::env("MESOS_RESOURCES", mesos_resources(spec, ports)),
        pod::env("MESOS_WORK_DIR", work_dir.clone()),
        pod::env("MESOS_CONTAINERIZERS", containerizers.join(",")),
        pod::env("MESOS_EXECUTOR_REGISTRATION_TIMEOUT", "5mins"),
        pod::env("MESOS_SYSTEMD_ENABLE_SUPPORT", "false"),
        // Mesos keeps a stopped task's container for six hours; its sandbox, which stays, has what one looks for.
        pod::env("MESOS_DOCKER_REMOVE_DELAY", "1mins"),
    ];
    if with_docker {
        env.push(pod::env("MESOS_DOCKER", format!("{RUN_DIR}/docker")));
    } else {
        // The default launcher needs the cgroup v1 freezer, which a node without Docker tasks need not have.
        env.push(pod::env("MESOS_LAUNCHER", "posix"));
    }
    if !spec.attributes.is_empty() {
        env.push(pod::env("MESOS_ATTRIBUTES", attributes(&spec.attributes)));
    }

    let mut volumes = vec![
        pod::scratch("run"),
        host("cgroup", "/sys/fs/cgroup", "Directory"),
        host("host-run", "/var/run", "Directory"),
        host("work-dir", &work_dir, "DirectoryOrCreate"),
    ];
    let mut mounts = vec![
        pod::mount("run", RUN_DIR),
        pod::mount("cgroup", "/sys/fs/cgroup"),
        pod::mount("work-dir", &work_dir),
    ];
    for (n, extra) in spec.extra_mounts.iter().enumerate() {
        let name = format!("extra-{n}");
        volumes.push(host(&name, &extra.host_path, ""));
        mounts.push(VolumeMount {
            read_only: Some(extra.read_only),
            ..pod::mount(&name, &extra.mount_path)
        });
    }
    let mut init = preflight(inputs, sidecar_image, &env, &mounts);
    if with_docker {
        init.push(guard(sidecar_image, &env, &work_dir));
        volumes.push(host("docker-socket", DOCKER_SOCKET, ""));
        mounts.push(pod::mount("docker-socket", DOCKER_SOCKET));
    }
    let slave = Container {
        volume_mounts: Some(mounts),
        security_context: Some(privileged()),
        // /health is 200 whether or not a master knows the slave.
        readiness_probe: Some(probe::exec(&[PROGRAM, "preflight", "registered"], probe::PROMPT)),
        liveness_probe: Some(probe::http("/health", port, probe::PATIENT)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some([PROGRAM, "preflight", "leave"].map(str::to_owned).into()),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..pod::main_container(COMPONENT, &spec.image, &spec.pod, &spec.resources, env)
    };
    let mut template = pod::template(
        cloud,
        COMPONENT,
        &spec.pod,
        None,
        PodSpec {
            host_network: Some(true),
            dns_policy: Some("ClusterFirstWithHostNet".to_owned()),
            init_containers: Some(init),
            containers: vec![slave],
            volumes: Some(volumes),
            ..PodSpec::default()
        },
    );
    if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.insert(SLAVE_INDEX_LABEL.to_owned(), index.to_string());
    }
    template
}

/// Two steps, because the check must see the slave's own image from inside, and that image does not have this
/// program: the first puts it into a common volume, the second runs it there.
fn preflight(
    inputs: &Inputs<'_>,
    sidecar_image: &str,
    env: &[EnvVar],
    mounts: &[VolumeMount],
) -> Vec<Container> {
    let spec = &inputs.cloud.spec.slaves;
    let install = Container {
        name: "preflight-install".to_owned(),
        image: Some(sidecar_image.to_owned()),
        args: Some(
            ["preflight", "install", "--to", RUN_DIR]
                .map(str::to_owned)
                .into(),
        ),
        volume_mounts: Some(vec![pod::mount("run", RUN_DIR)]),
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            ..pod::restricted()
        }),
        resources: Some(super::sidecar_image::resources()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    };
    let mut check_env = env.to_vec();
    check_env.push(pod::env_field("MESOSCLOUD_NODE_IP", "status.hostIP"));
    check_env.push(pod::env("MESOSCLOUD_RUN_DIR", RUN_DIR));
    check_env.push(docker_socket());
    if let Some(hostname) = &spec.hostname {
        check_env.push(pod::env("MESOSCLOUD_HOSTNAME", hostname.clone()));
    }
    let mut check_mounts = mounts.to_vec();
    check_mounts.push(pod::mount_read_only("host-run", HOST_RUN));
    let check = Container {
        command: Some([PROGRAM, "preflight", "check"].map(str::to_owned).into()),
        volume_mounts: Some(check_mounts),
        security_context: Some(privileged()),
        ..pod::main_container(COMPONENT, &spec.image, &spec.pod, &spec.resources, check_env)
    };
    vec![
        install,
        Container {
            name: "preflight".to_owned(),
            ..check
        },
    ]
}

/// Where the operator's own containers find Docker's socket, also after Docker's restart.
fn docker_socket() -> EnvVar {
    pod::env("MESOSCLOUD_DOCKER_SOCKET", format!("{HOST_RUN}/docker.sock"))
}

/// It ends after the slave, and takes the containers of its tasks with it.
fn guard(sidecar_image: &str, env: &[EnvVar], work_dir: &str) -> Container {
    let known = ["MESOS_IP", "MESOS_PORT", "MESOS_WORK_DIR"];
    let mut env: Vec<_> = env
        .iter()
        .filter(|e| known.contains(&e.name.as_str()))
        .cloned()
        .collect();
    env.push(docker_socket());
    Container {
        env: Some(env),
        volume_mounts: Some(vec![
            pod::mount_read_only("work-dir", work_dir),
            pod::mount_read_only("host-run", HOST_RUN),
        ]),
        // Docker's socket is root's.
        security_context: Some(SecurityContext {
            run_as_user: Some(0),
            run_as_non_root: Some(false),
            ..pod::restricted()
        }),
        ..super::sidecar_image::container("guard", sidecar_image, &["guard", "slave"])
    }
}

fn privileged() -> SecurityContext {
    SecurityContext {
        privileged: Some(true),
        run_as_user: Some(0),
        ..SecurityContext::default()
    }
}

fn host(name: &str, path: &str, type_: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: path.to_owned(),
            type_: (!type_.is_empty()).then(|| type_.to_owned()),
        }),
        ..Volume::default()
    }
}
