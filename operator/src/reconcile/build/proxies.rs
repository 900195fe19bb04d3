//! The three HAProxy Deployments, their agents and their Services.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, Container, ContainerPort, DownwardAPIProjection, DownwardAPIVolumeFile,
    EmptyDirVolumeSource, ExecAction, KeyToPath, Lifecycle, LifecycleHandler, ObjectFieldSelector, PodSpec,
    PodTemplateSpec, ProjectedVolumeSource, Service, ServiceAccount, ServiceAccountTokenProjection,
    ServicePort, ServiceSpec, Volume, VolumeProjection,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::sidecar_image::{self, WithSidecar};
use super::{Inputs, Resources, metadata, pod, probe};
use crate::cloud::component::Component;
use crate::cloud::haproxy::{self, ADMIN_PORT, CFG_KEY, Following, Kind, Place, RUN_DIR, STATE_KEY, Server};
use crate::cloud::names::ZOOKEEPER_PORT;

/// Port of the agent's health endpoints and metrics.
const AGENT_PORT: i32 = 9102;
/// A start takes a second, or until the operator has written the configuration.
const START: probe::Pace = probe::Pace {
    period: 1,
    timeout: 2,
    failures: 600,
};
/// How long HAProxy goes on as before when its pod is deleted, in seconds. Every node's kube-proxy sends it clients until
/// it has heard of the deletion, and HAProxy closes its port as soon as it is asked to end: they would be refused.
const PRE_STOP_SECONDS: i64 = 2;
/// How long it may then go on with the connections it has, in seconds.
const GRACE_SECONDS: i64 = 30;
const TOKEN_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Adds the proxies' objects.
pub fn build(inputs: &Inputs<'_>, resources: &mut Resources) {
    let (ports, node_ports) = (
        inputs.cloud.spec.proxies.service.ports,
        inputs.cloud.spec.proxies.service.node_ports,
    );
    for proxy in [
        Proxy {
            component: Component::MesosProxy,
            kind: Kind::Mesos,
            port: ports.mesos,
            node_port: node_ports.mesos,
        },
        Proxy {
            component: Component::MarathonProxy,
            kind: Kind::Marathon,
            port: ports.marathon,
            node_port: node_ports.marathon,
        },
        Proxy {
            component: Component::ZkProxy,
            kind: Kind::ZooKeeper,
            port: ports.zookeeper,
            node_port: node_ports.zookeeper,
        },
    ] {
        proxy.build(inputs, resources);
    }
}

/// One of the three.
struct Proxy {
    component: Component,
    kind: Kind,
    port: i32,
    node_port: Option<i32>,
}

impl Proxy {
    fn build(&self, inputs: &Inputs<'_>, resources: &mut Resources) {
        resources.service_accounts.push(ServiceAccount {
            metadata: self.metadata(inputs),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        });
        resources.roles.push(self.role(inputs));
        resources.role_bindings.push(self.role_binding(inputs));
        match self.config_map(inputs) {
            Some(config_map) => resources.config_maps.push(config_map),
            None => resources.kept_config_maps.push(self.name(inputs)),
        }
        resources.services.push(self.service(inputs));
        resources.deployments.push(self.deployment(inputs));
    }

    fn metadata(&self, inputs: &Inputs<'_>) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        metadata(inputs.cloud, self.component, self.name(inputs))
    }

    fn name(&self, inputs: &Inputs<'_>) -> String {
        inputs.cloud.id.object(self.component)
    }

    /// The agent may read its own configuration and nothing else.
    fn role(&self, inputs: &Inputs<'_>) -> Role {
        Role {
            metadata: self.metadata(inputs),
            rules: Some(vec![PolicyRule {
                api_groups: Some(vec![String::new()]),
                resources: Some(vec!["configmaps".to_owned()]),
                resource_names: Some(vec![self.name(inputs)]),
                verbs: ["get", "list", "watch"].map(str::to_owned).into(),
                ..PolicyRule::default()
            }]),
        }
    }

    fn role_binding(&self, inputs: &Inputs<'_>) -> RoleBinding {
        RoleBinding {
            metadata: self.metadata(inputs),
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "Role".to_owned(),
                name: self.name(inputs),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: self.name(inputs),
                namespace: Some(inputs.cloud.id.namespace.clone()),
                ..Subject::default()
            }]),
        }
    }

    fn service(&self, inputs: &Inputs<'_>) -> Service {
        let settings = &inputs.cloud.spec.proxies.service;
        let mut metadata = self.metadata(inputs);
        metadata.annotations = (!settings.annotations.is_empty()).then(|| settings.annotations.clone());
        Service {
            metadata,
            spec: Some(ServiceSpec {
                type_: Some(settings.type_.as_str().to_owned()),
                // A deleted Service comes back where clients know it.
                cluster_ip: inputs.addresses.get(&self.name(inputs)).map(|a| a.ip.clone()),
                selector: Some(inputs.cloud.id.labels(self.component)),
                ports: Some(vec![ServicePort {
                    name: Some(self.component.label().to_owned()),
                    port: self.port,
                    target_port: Some(IntOrString::Int(self.kind.port())),
                    node_port: self.node_port,
                    protocol: Some("TCP".to_owned()),
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    fn deployment(&self, inputs: &Inputs<'_>) -> Deployment {
        let spec = &inputs.cloud.spec.proxies;
        let WithSidecar {
            template,
            annotations,
        } = inputs.sidecar_image(&self.name(inputs), |image| self.pod_template(inputs, image));
        let mut metadata = self.metadata(inputs);
        metadata.annotations = Some(annotations);
        Deployment {
            metadata,
            spec: Some(DeploymentSpec {
                replicas: Some(spec.replicas),
                selector: pod::selector(inputs.cloud, self.component),
                // The old pod serves until the new one does.
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".to_owned()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_unavailable: Some(IntOrString::Int(0)),
                        max_surge: Some(IntOrString::Int(1)),
                    }),
                }),
                template,
                ..DeploymentSpec::default()
            }),
            status: None,
        }
    }

    fn pod_template(&self, inputs: &Inputs<'_>, image: &str) -> PodTemplateSpec {
        let spec = &inputs.cloud.spec.proxies;
        let port = |name: &str, container_port| ContainerPort {
            name: Some(name.to_owned()),
            container_port,
            ..ContainerPort::default()
        };
        let haproxy = Container {
            command: Some(
                [
                    "haproxy",
                    "-W",
                    "-db",
                    "-S",
                    &format!("{RUN_DIR}/master.sock,mode,600"),
                    "-f",
                    &format!("{RUN_DIR}/haproxy.cfg"),
                ]
                .map(str::to_owned)
                .into(),
            ),
            ports: Some(vec![port("proxy", self.kind.port()), port("metrics", ADMIN_PORT)]),
            volume_mounts: Some(vec![pod::mount("run", RUN_DIR), pod::mount("tmp", "/tmp")]),
            // It knows each server when the agent says so; from then on it serves, with or without the agent.
            startup_probe: Some(probe::http("/readyz", AGENT_PORT, START)),
            // Not at the port it serves: behind that of ZooKeeper each question would be a client.
            readiness_probe: Some(probe::http("/", ADMIN_PORT, probe::PROMPT)),
            liveness_probe: Some(probe::http("/", ADMIN_PORT, probe::PATIENT)),
            lifecycle: Some(Lifecycle {
                pre_stop: Some(LifecycleHandler {
                    exec: Some(ExecAction {
                        command: Some(vec!["sleep".to_owned(), PRE_STOP_SECONDS.to_string()]),
                    }),
                    ..LifecycleHandler::default()
                }),
                ..Lifecycle::default()
            }),
            ..pod::main_container(
                self.component,
                &spec.image,
                &spec.pod,
                &spec.resources,
                Vec::new(),
            )
        };
        pod::template(
            inputs.cloud,
            self.component,
            &spec.pod,
            None,
            PodSpec {
                service_account_name: Some(self.name(inputs)),
                termination_grace_period_seconds: Some(PRE_STOP_SECONDS + GRACE_SECONDS),
                security_context: Some(pod::restricted_pod()),
                init_containers: Some(vec![self.agent(inputs, image, port("agent", AGENT_PORT))]),
                containers: vec![haproxy],
                volumes: Some(vec![run_volume(), pod::scratch("tmp"), token_volume()]),
                ..PodSpec::default()
            },
        )
    }

    /// It is there before HAProxy, whose first file it writes, and goes after it. It has no part in the pod's readiness:
    /// HAProxy serves without it.
    fn agent(&self, inputs: &Inputs<'_>, image: &str, port: ContainerPort) -> Container {
        let args = [
            "proxy-agent",
            "--namespace",
            &inputs.cloud.id.namespace,
            "--config-map",
            &self.name(inputs),
        ];
        Container {
            ports: Some(vec![port]),
            startup_probe: Some(probe::http("/startupz", AGENT_PORT, START)),
            liveness_probe: Some(probe::http("/livez", AGENT_PORT, probe::PATIENT)),
            volume_mounts: Some(vec![
                pod::mount("run", RUN_DIR),
                pod::mount_read_only("token", TOKEN_DIR),
            ]),
            ..sidecar_image::container("proxy-agent", image, &args)
        }
    }

    /// The proxy's configuration; `None` while a member has no address yet, and then the one that is there stays. An
    /// incomplete one is worse, because HAProxy would be reloaded for each member that is added.
    fn config_map(&self, inputs: &Inputs<'_>) -> Option<ConfigMap> {
        let (component, replicas, leader) = match self.kind {
            Kind::Mesos => (
                Component::Master,
                inputs.cloud.spec.masters.replicas,
                &inputs.leaders.mesos,
            ),
            Kind::Marathon => (
                Component::Marathon,
                inputs.cloud.spec.marathon.replicas,
                &inputs.leaders.marathon,
            ),
            Kind::ZooKeeper => (Component::ZooKeeper, inputs.cloud.spec.zookeeper.replicas, &None),
        };
        let server = |ordinal| {
            let address = inputs
                .addresses
                .get(&inputs.cloud.id.member(component, ordinal))?;
            Some(Server {
                name: format!("{}-{ordinal}", component.suffix()),
                address: format!("{}:{}", address.ip, self.kind.port()),
            })
        };
        let servers: Option<Vec<_>> = (0..replicas).map(server).collect();
        let leader = leader
            .as_ref()
            .and_then(|l| l.name.strip_prefix(&format!("{}-", inputs.cloud.id.name)));
        let config = haproxy::config(self.kind, &servers?, leader, self.following(inputs));
        let state = serde_json::to_string_pretty(&config.state).ok()?;
        Some(ConfigMap {
            metadata: self.metadata(inputs),
            data: Some(
                [(CFG_KEY, config.cfg), (STATE_KEY, state)]
                    .map(|(k, v)| (k.to_owned(), v))
                    .into(),
            ),
            ..ConfigMap::default()
        })
    }

    /// Where the members elect, as far as ZooKeeper's Services have addresses: the agent does with those there are.
    fn following(&self, inputs: &Inputs<'_>) -> Following {
        let (id, spec) = (&inputs.cloud.id, &inputs.cloud.spec);
        let path = match self.kind {
            Kind::Mesos => Some(&spec.masters.zk_path),
            Kind::Marathon => Some(&spec.marathon.zk_path),
            Kind::ZooKeeper => None,
        };
        let members = (0..spec.zookeeper.replicas).map(|n| id.member(Component::ZooKeeper, n));
        let ensemble: Vec<_> = members
            .filter_map(|name| Some(format!("{}:{ZOOKEEPER_PORT}", inputs.addresses.get(&name)?.ip)))
            .collect();
        Following {
            place: path.filter(|_| !ensemble.is_empty()).map(|path| Place {
                ensemble,
                path: path.clone(),
                cloud: id.name.clone(),
            }),
            hold_timeout_ms: u32::try_from(spec.proxies.hold_timeout).unwrap_or_default(),
        }
    }
}

/// HAProxy's file and sockets, which the agent shares. In memory: they are small and end with the pod.
fn run_volume() -> Volume {
    Volume {
        name: "run".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity("16Mi".to_owned())),
        }),
        ..Volume::default()
    }
}

/// The agent's token, mounted by hand so that HAProxy beside it has none.
fn token_volume() -> Volume {
    let sources = vec![
        VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                path: "token".to_owned(),
                expiration_seconds: Some(3600),
                ..ServiceAccountTokenProjection::default()
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            downward_api: Some(DownwardAPIProjection {
                items: Some(vec![DownwardAPIVolumeFile {
                    path: "namespace".to_owned(),
                    field_ref: Some(ObjectFieldSelector {
                        field_path: "metadata.namespace".to_owned(),
                        api_version: Some("v1".to_owned()),
                    }),
                    ..DownwardAPIVolumeFile::default()
                }]),
            }),
            ..VolumeProjection::default()
        },
        VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name: "kube-root-ca.crt".to_owned(),
                items: Some(vec![KeyToPath {
                    key: "ca.crt".to_owned(),
                    path: "ca.crt".to_owned(),
                    mode: None,
                }]),
                optional: None,
            }),
            ..VolumeProjection::default()
        },
    ];
    Volume {
        name: "token".to_owned(),
        projected: Some(ProjectedVolumeSource {
            sources: Some(sources),
            default_mode: None,
        }),
        ..Volume::default()
    }
}
