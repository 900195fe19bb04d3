//! What the pods of every component have in common.

use k8s_openapi::DeepMerge as _;
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ObjectFieldSelector,
    PodAffinityTerm, PodAntiAffinity, PodDNSConfig, PodDNSConfigOption, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint, Volume,
    VolumeMount, WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use mesoscloud_crds::spec::PodSettings;

use crate::cloud::component::Component;
use crate::cloud::volume_growth::units;
use crate::reconcile::validate::ValidatedCloud;

/// User and group of every process that needs no root, and owner of its volumes.
pub const UID: i64 = 1000;

/// Makes a pod template of `spec`: the operator's defaults, then the settings of its block, then its overrides.
pub fn template(
    cloud: &ValidatedCloud,
    component: Component,
    settings: &PodSettings,
    annotations: Option<std::collections::BTreeMap<String, String>>,
    mut spec: PodSpec,
) -> PodTemplateSpec {
    let wishes = cloud.wishes.get(&component).cloned().unwrap_or_default();
    // `MARATHON_PORT=tcp://…`, injected for a Service called marathon, is read as a flag and ends the program.
    spec.enable_service_links = Some(false);
    spec.automount_service_account_token = Some(false);
    // Names are given in full: with the usual five dots each would be tried in every search domain first.
    spec.dns_config = Some(PodDNSConfig {
        options: Some(vec![PodDNSConfigOption {
            name: Some("ndots".into()),
            value: Some("1".into()),
        }]),
        ..PodDNSConfig::default()
    });
    spec.image_pull_secrets = non_empty(settings.image_pull_secrets.clone());
    spec.node_selector = (!settings.node_selector.is_empty()).then(|| settings.node_selector.clone());
    spec.tolerations = non_empty(settings.tolerations.clone());
    spec.affinity = wishes.affinity;
    // Each node has its slaves.
    if component != Component::Slave {
        spec.affinity.get_or_insert_with(|| apart(cloud, component));
        spec.topology_spread_constraints = Some(vec![over_zones(cloud, component)]);
    }
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(cloud.id.labels(component)),
            annotations,
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    };
    if let Some(overrides) = wishes.overrides {
        template.merge_from(overrides);
    }
    template
}

/// The container that runs a component's own program.
pub fn main_container(
    component: Component,
    image: &str,
    settings: &PodSettings,
    resources: &ResourceRequirements,
    env: Vec<EnvVar>,
) -> Container {
    Container {
        name: component.container().to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: settings.image_pull_policy.map(|p| p.as_str().to_owned()),
        resources: Some(resources.clone()),
        env: non_empty(with_own(env, &settings.env)),
        security_context: Some(restricted()),
        // The last lines of the log of a program that failed: that is where "No space left on device" stands.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// The pod's part of the Pod Security Standard `restricted`.
pub fn restricted_pod() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(UID),
        run_as_group: Some(UID),
        fs_group: Some(UID),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            ..SeccompProfile::default()
        }),
        ..PodSecurityContext::default()
    }
}

/// A container's part of the Pod Security Standard `restricted`, and a root file system it cannot write.
pub fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        read_only_root_filesystem: Some(true),
        ..SecurityContext::default()
    }
}

/// Members rather on different nodes. With more nodes than it takes, masters are apart from ZooKeeper too: a node
/// lost with both leaders on it costs an election of ZooKeeper before the one of Mesos can begin.
fn apart(cloud: &ValidatedCloud, component: Component) -> Affinity {
    let from = |weight, other| WeightedPodAffinityTerm {
        weight,
        pod_affinity_term: PodAffinityTerm {
            topology_key: "kubernetes.io/hostname".to_owned(),
            label_selector: Some(selector(cloud, other)),
            ..PodAffinityTerm::default()
        },
    };
    let mut rather = vec![from(100, component)];
    if component == Component::Master {
        rather.push(from(10, Component::ZooKeeper));
    }
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            preferred_during_scheduling_ignored_during_execution: Some(rather),
            ..PodAntiAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Members as evenly over the zones as can be, where the nodes tell theirs.
fn over_zones(cloud: &ValidatedCloud, component: Component) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "topology.kubernetes.io/zone".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(selector(cloud, component)),
        ..TopologySpreadConstraint::default()
    }
}

/// Selects the pods of one component of one cloud.
pub fn selector(cloud: &ValidatedCloud, component: Component) -> LabelSelector {
    LabelSelector {
        match_labels: Some(cloud.id.labels(component)),
        ..LabelSelector::default()
    }
}

/// A plain environment variable.
pub fn env(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        value_from: None,
    }
}

/// An environment variable with a field of the pod, such as `status.podIP`.
pub fn env_field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.to_owned(),
                api_version: Some("v1".into()),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// The operator's variables, with the user's instead of those of the same name and after the others.
fn with_own(env: Vec<EnvVar>, own: &[EnvVar]) -> Vec<EnvVar> {
    let kept = env.into_iter().filter(|e| own.iter().all(|o| o.name != e.name));
    kept.chain(own.iter().cloned()).collect()
}

/// An empty volume that ends with its pod.
pub fn scratch(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

/// Mounts a volume for reading and writing.
pub fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

/// Mounts a volume for reading.
pub fn mount_read_only(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        read_only: Some(true),
        ..mount(name, path)
    }
}

/// Java's heap: half of the container's memory limit, in whole MiB; `default_mib` without a limit. Old Java
/// knows nothing of limits and would take a quarter of the node.
pub fn heap(resources: &ResourceRequirements, default_mib: u128) -> String {
    let limit = resources
        .limits
        .as_ref()
        .and_then(|l| l.get("memory"))
        .and_then(|q| units(&q.0));
    format!(
        "-Xmx{}m",
        limit.map_or(default_mib, |bytes| (bytes >> 21).max(16))
    )
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_variables_win() {
        let merged = with_own(
            vec![env("A", "1"), env("B", "2")],
            &[env("B", "3"), env("C", "4")],
        );
        let pairs: Vec<_> = merged
            .iter()
            .map(|e| (e.name.as_str(), e.value.as_deref().unwrap()))
            .collect();
        assert_eq!(pairs, [("A", "1"), ("B", "3"), ("C", "4")]);
    }

    #[test]
    fn java_gets_half_of_the_limit() {
        let with_limit = |limit: &str| ResourceRequirements {
            limits: Some(
                [(
                    "memory".to_owned(),
                    k8s_openapi::apimachinery::pkg::api::resource::Quantity(limit.into()),
                )]
                .into(),
            ),
            ..ResourceRequirements::default()
        };
        assert_eq!(heap(&with_limit("1Gi"), 512), "-Xmx512m");
        assert_eq!(heap(&with_limit("8Mi"), 512), "-Xmx16m");
        assert_eq!(heap(&ResourceRequirements::default(), 512), "-Xmx512m");
    }
}
