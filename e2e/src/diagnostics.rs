//! What is kept of a test that failed: `target/e2e/<test>/` with the clouds, and of every pod its state and logs.

use std::path::Path;

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use mesoscloud_crds::MesosCloud;
use serde::Serialize;

use crate::cloud::container_statuses;
use crate::{Cluster, Result, SAMPLE_NAMESPACE, Scene, operator};

/// Keeps everything that can be had; what cannot is said, for the test's own failure must not be hidden by it.
pub async fn collect(scene: &Scene) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let folder = repository.join("target/e2e").join(&scene.name);
    if let Err(error) = write(&scene.cluster, &folder).await {
        println!("{}: not all could be kept: {error:?}", scene.name);
    }
    println!(
        "{}: failed; pods, logs and clouds are in {}",
        scene.name,
        folder.display()
    );
}

async fn write(cluster: &Cluster, folder: &Path) -> Result {
    // What an earlier run left would be mistaken for this one's.
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let clouds = Api::<MesosCloud>::all(cluster.client.clone())
        .list(&ListParams::default())
        .await;
    match clouds {
        Ok(clouds) => yaml(&folder.join("mesosclouds.yaml"), &clouds.items)?,
        // One that cannot be read is the subject of a test.
        Err(error) => std::fs::write(folder.join("mesosclouds.yaml"), format!("# {error}\n"))?,
    }
    let mut namespaces = cluster.test_namespaces().await?;
    namespaces.extend([SAMPLE_NAMESPACE.to_owned(), operator::NAMESPACE.to_owned()]);
    for namespace in namespaces {
        let folder = folder.join(&namespace);
        std::fs::create_dir_all(&folder)?;
        let events: Api<Event> = cluster.api(&namespace);
        yaml(
            &folder.join("events.yaml"),
            &events.list(&ListParams::default()).await?.items,
        )?;
        let pods: Api<Pod> = cluster.api(&namespace);
        for pod in pods.list(&ListParams::default()).await? {
            yaml(&folder.join(format!("{}.yaml", pod.name_any())), &pod)?;
            logs(&pods, &pod, &folder).await?;
        }
    }
    Ok(())
}

/// The logs of every container that ever ran, and of the run before its last.
async fn logs(pods: &Api<Pod>, pod: &Pod, folder: &Path) -> Result {
    for container in container_statuses(pod) {
        let runs = [(false, ""), (true, ".previous")];
        for (previous, suffix) in runs
            .into_iter()
            .take(if container.restart_count > 0 { 2 } else { 1 })
        {
            let params = LogParams {
                container: Some(container.name.clone()),
                previous,
                timestamps: true,
                ..LogParams::default()
            };
            // One that has not started yet has none.
            if let Ok(log) = pods.logs(&pod.name_any(), &params).await {
                let name = format!("{}.{}{suffix}.log", pod.name_any(), container.name);
                std::fs::write(folder.join(name), log)?;
            }
        }
    }
    Ok(())
}

fn yaml(path: &Path, content: &impl Serialize) -> Result {
    std::fs::write(path, serde_yaml_ng::to_string(content)?)?;
    Ok(())
}
