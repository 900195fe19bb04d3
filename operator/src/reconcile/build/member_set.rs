//! A fixed set of members, each with a name, an address and (where it needs one) a disk of its own.

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, Service, ServicePort, ServiceSpec,
    VolumeResourceRequirements,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use mesoscloud_crds::spec::{Reclaim, Storage};

use super::sidecar_image::WithSidecar;
use super::{Inputs, metadata, pod};
use crate::cloud::component::Component;
use crate::cloud::names::{MEMBERS_ANNOTATION, SIZED_FOR_ANNOTATION};

/// Name of the volume that holds a member's disk.
pub const DATA_VOLUME: &str = "data";

/// The StatefulSet of a member set.
///
/// Pods start in parallel, because neither a ZooKeeper quorum nor the masters' first log comes about with one
/// member at a time; and they are replaced by the operator (`OnDelete`), because Kubernetes knows no quorum.
pub fn stateful_set(
    inputs: &Inputs<'_>,
    component: Component,
    replicas: i32,
    storage: Option<&Storage>,
    template: WithSidecar,
) -> StatefulSet {
    let cloud = inputs.cloud;
    let name = cloud.id.object(component);
    let WithSidecar {
        mut template,
        mut annotations,
    } = template;
    annotations.insert(MEMBERS_ANNOTATION.to_owned(), replicas.to_string());
    let sized_for = cloud.sized_for(component, replicas).to_string();
    annotations.insert(SIZED_FOR_ANNOTATION.to_owned(), sized_for.clone());
    if component != Component::Marathon {
        let metadata = template.metadata.get_or_insert_default();
        let told = metadata.annotations.get_or_insert_default();
        told.insert(SIZED_FOR_ANNOTATION.to_owned(), sized_for);
    }
    let mut metadata = metadata(cloud, component, name.clone());
    metadata.annotations = Some(annotations);
    StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            selector: pod::selector(cloud, component),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            template,
            volume_claim_templates: storage.map(|s| vec![claim(inputs, component, &name, s)]),
            persistent_volume_claim_retention_policy: storage.map(|s| {
                let policy = match s.reclaim {
                    Reclaim::Retain => "Retain",
                    Reclaim::Delete => "Delete",
                };
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some(policy.to_owned()),
                    when_scaled: Some(policy.to_owned()),
                }
            }),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// The claim that every member's disk is made from. A StatefulSet's claims cannot change, so a live one keeps
/// the size it was made with, and the disks themselves are enlarged.
fn claim(inputs: &Inputs<'_>, component: Component, set: &str, storage: &Storage) -> PersistentVolumeClaim {
    let size = inputs.live_claim_sizes.get(set).unwrap_or(&storage.size).clone();
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(DATA_VOLUME.to_owned()),
            labels: Some(inputs.cloud.id.labels(component)),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), size)].into()),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}

/// One member may be absent when nodes are emptied: whoever drains them knows no quorum, and is held back here
/// until the one that left serves again. A single member has nobody to wait for.
pub fn disruption_budget(inputs: &Inputs<'_>, component: Component) -> PodDisruptionBudget {
    let cloud = inputs.cloud;
    PodDisruptionBudget {
        metadata: metadata(cloud, component, cloud.id.object(component)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(pod::selector(cloud, component)),
            // A member that does not serve is no reason to keep its node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// One Service per member: an address that is there before the pod and outlives it. Everything that keeps a
/// list of members keeps these.
pub fn member_services(
    inputs: &Inputs<'_>,
    component: Component,
    replicas: i32,
    ports: &[(&str, i32)],
) -> Vec<Service> {
    let cloud = inputs.cloud;
    let service = |ordinal| {
        let name = cloud.id.member(component, ordinal);
        let mut selector = cloud.id.labels(component);
        selector.insert("statefulset.kubernetes.io/pod-name".to_owned(), name.clone());
        Service {
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".to_owned()),
                // A deleted Service comes back at its old address: Marathon 1.1.1 never asks for a new one.
                cluster_ip: inputs.addresses.get(&name).map(|a| a.ip.clone()),
                selector: Some(selector),
                ports: Some(
                    ports
                        .iter()
                        .map(|(name, port)| service_port(name, *port))
                        .collect(),
                ),
                publish_not_ready_addresses: Some(true),
                ..ServiceSpec::default()
            }),
            metadata: metadata(cloud, component, name),
            status: None,
        }
    };
    (0..replicas).map(service).collect()
}

/// A TCP port of a Service that leads to the same port of the pod.
pub fn service_port(name: &str, port: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port,
        target_port: Some(IntOrString::Int(port)),
        protocol: Some("TCP".to_owned()),
        ..ServicePort::default()
    }
}
