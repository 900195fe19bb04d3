//! `run`: the operator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use mesoscloud_crds::MesosCloud;
use thiserror::Error;

use crate::reconcile::controller::{self, Settings};
use crate::runtime::health::{self, Readiness};
use crate::runtime::metrics::Metrics;
use crate::runtime::shutdown;

/// DNS domain of a cluster that was given none.
pub const DEFAULT_CLUSTER_DOMAIN: &str = "cluster.local";
/// Pause between two looks for the CustomResourceDefinition.
const CRD_PAUSE: Duration = Duration::from_secs(5);

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "MESOSCLOUD_LISTEN", default_value = "0.0.0.0:9100")]
    listen: SocketAddr,
    /// Image of this program for its containers in the clouds' pods; left out, the image of its own pod.
    #[arg(long, env = "MESOSCLOUD_OPERATOR_IMAGE")]
    operator_image: Option<String>,
    /// DNS domain of the cluster.
    #[arg(long, env = "MESOSCLOUD_CLUSTER_DOMAIN", default_value = DEFAULT_CLUSTER_DOMAIN)]
    cluster_domain: String,
    /// Name of the operator's own pod.
    #[arg(long, env = "POD_NAME")]
    pod_name: Option<String>,
    /// Namespace of the operator's own pod.
    #[arg(long, env = "POD_NAMESPACE")]
    pod_namespace: Option<String>,
}

/// Why the operator cannot run.
#[derive(Debug, Error)]
pub enum Error {
    /// The API server's address or the credentials are unknown.
    #[error("failed to make a client for the API server: {0}")]
    Client(#[source] Box<kube::Error>),
    /// It does not know which image to give to the clouds' pods.
    #[error(
        "the operator's own image is unknown: {0}. Give --operator-image, or POD_NAME and POD_NAMESPACE."
    )]
    Image(String),
    /// Health endpoints or signal handlers could not be set up.
    #[error("failed to set up the process: {0}")]
    Process(#[from] std::io::Error),
}

/// Runs the operator until it is asked to end.
///
/// # Errors
/// When it cannot start, or its health endpoints end.
pub async fn run(options: Run) -> Result<(), Error> {
    let client = Client::try_default()
        .await
        .map_err(|e| Error::Client(Box::new(e)))?;
    let readiness = Readiness::default();
    let metrics = Arc::new(Metrics::default());
    let serving = tokio::spawn(health::serve(options.listen, readiness.clone(), metrics.clone()));
    let working = async {
        let operator_image = match options.operator_image {
            Some(image) => image,
            None => {
                own_image(
                    &client,
                    options.pod_name.as_deref(),
                    options.pod_namespace.as_deref(),
                )
                .await?
            }
        };
        wait_for_crd(&client).await;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            operator_image,
            "operator starts"
        );
        let settings = Settings {
            operator_image,
            cluster_domain: options.cluster_domain,
            instance: options.pod_name,
        };
        let ended = async {
            if let Err(error) = shutdown::requested().await {
                tracing::error!(%error, "signals cannot be received");
            }
        };
        controller::run(client, settings, metrics, move || readiness.set(), ended).await;
        Ok(())
    };
    tokio::select! {
        worked = working => worked,
        served = serving => match served {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(error) => Err(std::io::Error::other(error).into()),
        },
    }
}

/// Not a crash: restarting would not bring it, and `/readyz` tells meanwhile.
async fn wait_for_crd(client: &Client) {
    while let Err(error) = Api::<MesosCloud>::all(client.clone())
        .list_metadata(&kube::api::ListParams::default().limit(1))
        .await
    {
        tracing::warn!(%error, "MesosClouds cannot be listed: is the CustomResourceDefinition installed?");
        tokio::time::sleep(CRD_PAUSE).await;
    }
}

async fn own_image(client: &Client, pod: Option<&str>, namespace: Option<&str>) -> Result<String, Error> {
    let (Some(name), Some(namespace)) = (pod, namespace) else {
        return Err(Error::Image("POD_NAME and POD_NAMESPACE are not set".to_owned()));
    };
    let pod = Api::<Pod>::namespaced(client.clone(), namespace)
        .get(name)
        .await
        .map_err(|e| Error::Image(format!("pod {name} cannot be read: {e}")))?;
    let image = pod.spec.and_then(|s| s.containers.into_iter().next()?.image);
    image.ok_or_else(|| Error::Image(format!("pod {name} has no image")))
}
