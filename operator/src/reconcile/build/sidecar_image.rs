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
/// The same two of the template before: who takes a change back gets the pods that were not replaced yet.
const FORMER_TEMPLATE_HASH_ANNOTATION: &str = "mesoscloud.io/former-template-hash";
const FORMER_SIDECAR_IMAGE_ANNOTATION: &str = "mesoscloud.io/former-sidecar-image";

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
    /// Hash and image of the template before, some pods of which may still be there.
    former: Option<(String, String)>,
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
        let text = |annotation| annotations.get(annotation).cloned();
        Some(Self {
            template_hash: text(TEMPLATE_HASH_ANNOTATION)?,
            image: text(SIDECAR_IMAGE_ANNOTATION)?,
            former: text(FORMER_TEMPLATE_HASH_ANNOTATION).zip(text(FORMER_SIDECAR_IMAGE_ANNOTATION)),
        })
    }

    /// The image for a template with this hash, where `newest` is the operator's, and what was before it.
    fn next(live: Option<&Self>, hash: &str, newest: &str) -> (String, Option<(String, String)>) {
        let Some(live) = live else {
            return (newest.to_owned(), None);
        };
        if live.template_hash == hash {
            return (live.image.clone(), live.former.clone());
        }
        let taken_back = live.former.as_ref().filter(|(former, _)| former == hash);
        let image = taken_back.map_or(newest, |(_, image)| image);
        (
            image.to_owned(),
            Some((live.template_hash.clone(), live.image.clone())),
        )
    }
}

impl Inputs<'_> {
    /// Builds the pod template of `workload`, which contains the operator's own image.
    ///
    /// A newer operator has a newer image, and its arrival must not restart a single pod: as long as nothing
    /// else in the template changes, the pods keep the image they have. A change that is taken back takes its image
    /// back too, for the pods that it has not come to yet.
    pub fn sidecar_image(&self, workload: &str, build: impl Fn(&str) -> PodTemplateSpec) -> WithSidecar {
        let hash = content_hash(&build("mesoscloud-operator"));
        let (image, former) = LiveSidecar::next(self.live_sidecars.get(workload), &hash, self.operator_image);
        let template = build(&image);
        let mut annotations = BTreeMap::from([
            (TEMPLATE_HASH_ANNOTATION.to_owned(), hash),
            (SIDECAR_IMAGE_ANNOTATION.to_owned(), image),
        ]);
        if let Some((hash, image)) = former {
            annotations.insert(FORMER_TEMPLATE_HASH_ANNOTATION.to_owned(), hash);
            annotations.insert(FORMER_SIDECAR_IMAGE_ANNOTATION.to_owned(), image);
        }
        WithSidecar {
            template,
            annotations,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_changed_template_gets_the_newest_image() {
        let pair = |hash: &str, image: &str| (hash.to_owned(), image.to_owned());
        let live = |hash: &str, image: &str, former: Option<(String, String)>| LiveSidecar {
            template_hash: hash.to_owned(),
            image: image.to_owned(),
            former,
        };
        let table = [
            (None, "new".to_owned(), None),
            (Some(live("a", "old", None)), "old".to_owned(), None),
            (
                Some(live("b", "old", None)),
                "new".to_owned(),
                Some(pair("b", "old")),
            ),
            // What came with the new image is taken back.
            (
                Some(live("b", "new", Some(pair("a", "old")))),
                "old".to_owned(),
                Some(pair("b", "new")),
            ),
            (
                Some(live("a", "old", Some(pair("b", "new")))),
                "old".to_owned(),
                Some(pair("b", "new")),
            ),
        ];
        for (live, image, former) in table {
            assert_eq!(
                LiveSidecar::next(live.as_ref(), "a", "new"),
                (image, former),
                "{live:?}"
            );
        }
    }
}
