//! What every block has in common.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, LocalObjectReference, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How the pods of one component are run. The same fields in every block.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSettings {
    /// When the image is pulled. Left out, Kubernetes decides: always for `latest`, else when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets of this namespace that hold credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Further environment variables of the program. They win over the operator's own of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Labels that a node must have to run these pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that these pods accept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Affinity of these pods, as in a pod's spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "affinity")]
    pub affinity: Option<serde_json::Value>,
    /// A PodTemplateSpec that is merged over the operator's own, last: lists of named things by their name.
    /// For what no other field offers; nothing in it is checked beyond its types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque_object")]
    pub pod_overrides: Option<serde_json::Value>,
}

/// When an image is pulled.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePullPolicy {
    /// At every start of a container.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl ImagePullPolicy {
    /// The word Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The disk of each member of a component.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    cel,
    validation = Rule::new("isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))")
        .message("storage.size must be a quantity above 0, such as 1Gi"),
    validation = Rule::new(
        "!isQuantity(self.size) || !isQuantity(oldSelf.size) || \
         quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0"
    ).message("storage.size must not shrink: a volume cannot be made smaller without losing what is on it"),
    validation = Rule::new(
        "has(self.storageClassName) == has(oldSelf.storageClassName) && \
         (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)"
    ).message("storage.storageClassName cannot change: the existing volumes stay in their class")
)]
pub struct Storage {
    /// Size of each member's volume, such as `1Gi`. It may grow where the class allows it, never shrink.
    #[serde(default = "default_size")]
    #[schemars(schema_with = "quantity")]
    pub size: Quantity,
    /// Class of the volumes; left out, the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
    /// What becomes of the volumes when the cloud is deleted or made smaller. One that a removed member left is deleted
    /// in any case when another takes its place.
    #[serde(default)]
    pub reclaim: Reclaim,
}

impl Default for Storage {
    fn default() -> Self {
        Self {
            size: default_size(),
            storage_class_name: None,
            reclaim: Reclaim::default(),
        }
    }
}

/// What becomes of a volume whose member is gone for good.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reclaim {
    /// It stays, and a cloud of the same name finds it again. What a removed member left is deleted when another
    /// takes its place, for an old disk must not vote.
    #[default]
    Retain,
    /// It is deleted with the cloud.
    Delete,
}

/// Resources with a memory limit: requests so that the pod is not starved when the node is busy.
pub(super) fn resources(cpu: &str, memory: &str, memory_limit: &str) -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        Some(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned())))
                .collect(),
        )
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", cpu), ("memory", memory)]),
        limits: quantities(&[("memory", memory_limit)]),
        ..ResourceRequirements::default()
    }
}

fn default_size() -> Quantity {
    Quantity("1Gi".to_owned())
}

/// Quantities as a plain string, so that the CEL rules can compare them.
fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 32})
}

/// The same as Kubernetes checks when it is applied; spelled out it would be half of the whole definition.
fn affinity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "nodeAffinity": opaque(), "podAffinity": opaque(), "podAntiAffinity": opaque()
        }
    })
}

fn opaque_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn opaque() -> serde_json::Value {
    serde_json::json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}
