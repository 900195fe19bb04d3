//! The `MesosCloud` custom resource: its types, defaults and validation rules.
//!
//! The rules a spec must keep are written beside the fields they guard, as CEL; the API server enforces them,
//! and `mesoscloud-operator render` evaluates the same rules without one. The generated YAML is
//! `crds/mesosclouds.mesoscloud.io.yaml`.

pub mod reference;
pub mod spec;
pub mod status;

pub use spec::{MesosCloud, MesosCloudSpec};
pub use status::MesosCloudStatus;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The API group of every kind this project defines.
pub const GROUP: &str = "mesoscloud.io";

/// The CustomResourceDefinition of `MesosCloud`, as it is installed.
pub fn definition() -> CustomResourceDefinition {
    MesosCloud::crd()
}
