//! Which image the operator's own containers in a cloud's pods have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Inputs, pod};
use crate::reconcile::content_hash;

/// Annotation of a workload: hash of its pod template without the operator's image.
pub const TEMPLATE_HASH_ANNOTATION: &str = "mesoscloud.io/template-hash";
/// Annotation of a workload: the operator's image in its pods.
pub const SIDECAR_IMAGE_ANNOTATION: &str = "mesoscloud.io/sidecar-image";

/// A pod template with the operator's image in it, and the annotations its workload needs.
pub struct WithSidecar {
    /// The template.
    pub template: PodTemplateSpec,
    /// For the workload's metadata.
    pub annotations: BTreeMap<String, String>,
}

/// What a live workload's pods have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSidecar {
    /// [`TEMPLATE_HASH_ANNOTATION`].
    pub template_hash: String,
    /// [`SIDECAR_IMAGE_ANNOTATION`].
    pub image: String,
}

impl From<PodTemplateSpec> for WithSidecar {
    /// A template without one.
    fn from(template: PodTemplateSpec) -> Self {
        Self {
            template,
            annotations: BTreeMap::new(),
        }
    }
}

impl LiveSidecar {
    /// Reads a live workload's annotations.
    pub fn of(annotations: &BTreeMap<String, String>) -> Option<Self> {
        Some(Self {
            template_hash: annotations.get(TEMPLATE_HASH_ANNOTATION)?.clone(),
            image: annotations.get(SIDECAR_IMAGE_ANNOTATION)?.clone(),
        })
    }
}

impl Inputs<'_> {
    /// Builds the pod template of `workload`, which contains the operator's own image.
    ///
    /// A newer operator has a newer image, and its arrival must not restart a single pod: as long as nothing
    /// else in the template changes, the pods keep the image they have.
    pub fn sidecar_image(&self, workload: &str, build: impl Fn(&str) -> PodTemplateSpec) -> WithSidecar {
        let hash = content_hash(&build("mesoscloud-operator"));
        let image = match self.live_sidecars.get(workload) {
            Some(live) if live.template_hash == hash => &live.image,
            _ => self.operator_image,
        };
        WithSidecar {
            template: build(image),
            annotations: [
                (TEMPLATE_HASH_ANNOTATION, hash.as_str()),
                (SIDECAR_IMAGE_ANNOTATION, image),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        }
    }
}

/// A native sidecar of `image`: it is there before the main container, and ends after it.
pub fn container(name: &str, image: &str, args: &[&str]) -> Container {
    Container {
        name: name.to_owned(),
        image: Some(image.to_owned()),
        args: Some(args.iter().map(|arg| (*arg).to_owned()).collect()),
        restart_policy: Some("Always".to_owned()),
        resources: Some(resources()),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(pod::restricted()),
        ..Container::default()
    }
}

/// What each of the operator's own containers is given.
pub fn resources() -> ResourceRequirements {
    let quantity = |name: &str, value: &str| (name.to_owned(), Quantity(value.to_owned()));
    ResourceRequirements {
        requests: Some([quantity("cpu", "10m"), quantity("memory", "16Mi")].into()),
        limits: Some([quantity("memory", "64Mi")].into()),
        ..ResourceRequirements::default()
    }
}
