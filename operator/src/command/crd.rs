//! `crd`: prints the CustomResourceDefinition.

/// The CustomResourceDefinition as YAML.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn yaml() -> Result<String, serde_yaml_ng::Error> {
    serde_yaml_ng::to_string(&mesoscloud_crds::definition())
}
