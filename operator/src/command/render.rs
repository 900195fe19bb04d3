//! `render`: prints every object of a cloud, without a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use kube::{Resource, ResourceExt as _};
use mesoscloud_crds::MesosCloud;
use mesoscloud_crds::status::Leaders;
use serde::{Deserialize as _, Serialize};
use thiserror::Error;

use super::run::DEFAULT_CLUSTER_DOMAIN;
use crate::reconcile::build::{self, Inputs, Resources};
use crate::reconcile::validate::{self, validate};

/// Options of `render`.
#[derive(Debug, Args)]
pub struct Render {
    /// YAML with one or more objects; the MesosClouds among them are rendered.
    file: PathBuf,
    /// Image of this program in the cloud's pods.
    #[arg(long, env = "MESOSCLOUD_OPERATOR_IMAGE", default_value = DEFAULT_IMAGE)]
    operator_image: String,
    /// DNS domain of the cluster.
    #[arg(long, env = "MESOSCLOUD_CLUSTER_DOMAIN", default_value = DEFAULT_CLUSTER_DOMAIN)]
    cluster_domain: String,
}

const DEFAULT_IMAGE: &str = concat!("mesoscloud-operator:", env!("CARGO_PKG_VERSION"));

/// Why nothing could be rendered.
#[derive(Debug, Error)]
pub enum Error {
    /// The file could not be read.
    #[error("failed to read {file}: {source}")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not YAML, or a MesosCloud in it is not one.
    #[error("failed to understand {file}: {source}")]
    Parse {
        /// The file.
        file: PathBuf,
        /// Why.
        source: serde_yaml_ng::Error,
    },
    /// It holds no MesosCloud.
    #[error("{0} holds no MesosCloud")]
    NoCloud(PathBuf),
    /// A MesosCloud breaks the rules that the API server would enforce.
    #[error("{cloud} is refused: {reasons}")]
    Refused {
        /// Its name.
        cloud: String,
        /// The rules' messages.
        reasons: String,
    },
    /// A MesosCloud cannot be built.
    #[error(transparent)]
    Validate(#[from] validate::Error),
    /// An object could not be written.
    #[error("failed to write an object: {0}")]
    Write(#[from] serde_yaml_ng::Error),
}

/// The cloud's objects as one YAML stream.
///
/// Addresses that only a cluster can give, those of Services, are missing from the proxies' configuration,
/// and so are leaders.
///
/// # Errors
/// When the file is not readable, not understandable, or breaks a rule.
pub fn render(options: &Render) -> Result<String, Error> {
    let read = |source| Error::Read {
        file: options.file.clone(),
        source,
    };
    let text = std::fs::read_to_string(&options.file).map_err(read)?;
    let parse = |source| Error::Parse {
        file: options.file.clone(),
        source,
    };
    let mut yaml = String::new();
    let mut found = false;
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let value = serde_yaml_ng::Value::deserialize(document).map_err(parse)?;
        if value.get("kind").and_then(|kind| kind.as_str()) != Some("MesosCloud") {
            continue;
        }
        found = true;
        let mut cloud: MesosCloud = serde_yaml_ng::from_value(value).map_err(parse)?;
        // What the API server gives to every object.
        cloud
            .metadata
            .namespace
            .get_or_insert_with(|| "default".to_owned());
        cloud
            .metadata
            .uid
            .get_or_insert_with(|| "00000000-0000-0000-0000-000000000000".to_owned());
        render_one(&cloud, options, &mut yaml)?;
    }
    if found {
        Ok(yaml)
    } else {
        Err(Error::NoCloud(options.file.clone()))
    }
}

fn render_one(cloud: &MesosCloud, options: &Render, yaml: &mut String) -> Result<(), Error> {
    cloud.validate_cel().map_err(|errors| Error::Refused {
        cloud: cloud.metadata.name.clone().unwrap_or_default(),
        reasons: errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; "),
    })?;
    let valid = validate(cloud, &options.cluster_domain, &[])?;
    let Resources {
        service_accounts,
        roles,
        role_bindings,
        config_maps,
        services,
        stateful_sets,
        deployments,
        daemon_sets,
        disruption_budgets,
        ..
    } = build::build(&Inputs {
        cloud: &valid,
        operator_image: &options.operator_image,
        addresses: &BTreeMap::new(),
        leaders: &Leaders::default(),
        live_sidecars: &BTreeMap::new(),
        live_claim_sizes: &BTreeMap::new(),
    });
    write_all(yaml, &service_accounts)?;
    write_all(yaml, &roles)?;
    write_all(yaml, &role_bindings)?;
    write_all(yaml, &config_maps)?;
    write_all(yaml, &services)?;
    write_all(yaml, &stateful_sets)?;
    write_all(yaml, &deployments)?;
    write_all(yaml, &daemon_sets)?;
    write_all(yaml, &disruption_budgets)
}

fn write_all<K: Resource + Serialize + Clone>(yaml: &mut String, objects: &[K]) -> Result<(), Error> {
    for object in objects {
        let mut object = object.clone();
        // Their owner is known only to a cluster.
        object.owner_references_mut().clear();
        yaml.push_str("---\n");
        yaml.push_str(&serde_yaml_ng::to_string(&object)?);
    }
    Ok(())
}
