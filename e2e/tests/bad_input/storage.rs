//! Disks that are to change: smaller never, larger where their class allows it.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use mesoscloud_e2e::cloud::small;
use mesoscloud_e2e::cluster::{gone_is_fine, until};
use mesoscloud_e2e::{Cloud, Context as _, Result, Scene, test};
use serde_json::json;

use crate::images::names;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn grow_where_their_class_allows_it() -> Result {
    test("bad_input_storage", async |scene| {
        class(scene, "e2e-growing", true).await?;
        class(scene, "e2e-fixed", false).await?;
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "disks");
        let spec = small(json!({
            "zookeeper": {"storage": {"storageClassName": "e2e-growing"}},
            "masters": {"storage": {"storageClassName": "e2e-fixed"}}
        }));
        cloud.create(&spec, false).await?;
        cloud.ready().await?;
        let lives = cloud.lives().await?;

        for (spec, reason) in [
            (
                json!({"masters": {"storage": {"size": "1Mi"}}}),
                "storage.size must not shrink",
            ),
            (
                json!({"masters": {"replicas": 3}}),
                "masters.replicas cannot change between 1 and more",
            ),
            (
                json!({"zookeeper": {"replicas": 3}}),
                "zookeeper.replicas cannot change between 1 and more",
            ),
        ] {
            let refused = cloud
                .change(&spec, false)
                .await
                .err()
                .context(format!("{spec} was taken"))?;
            names(&refused.to_string(), &[reason]);
        }

        cloud
            .change(&json!({"zookeeper": {"storage": {"size": "2Gi"}}}), false)
            .await?;
        let claims: Api<PersistentVolumeClaim> = scene.cluster.api(&cloud.namespace);
        until(claims, "data-disks-zk-0", "asks for 2Gi", PATIENCE, |claim| {
            let requests = claim?.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
            (requests.get("storage")?.0 == "2Gi").then_some(())
        })
        .await?;
        cloud.settled().await?;

        cloud
            .change(&json!({"masters": {"storage": {"size": "2Gi"}}}), false)
            .await?;
        let stalled = cloud
            .condition("Stalled", "True", "VolumeExpansionUnsupported")
            .await?;
        names(
            &stalled.message,
            &["master", "data-disks-master-0", "e2e-fixed", "2Gi"],
        );
        assert_eq!(cloud.lives().await?, lives, "pods were disturbed");
        Ok(())
    })
}

/// A class of the provisioner that kind comes with, deleted after the test.
async fn class(scene: &Scene, name: &'static str, grows: bool) -> Result {
    let classes: Api<StorageClass> = Api::all(scene.cluster.client.clone());
    gone_is_fine(classes.delete(name, &DeleteParams::default()).await)?;
    let class = serde_json::from_value(json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
        "provisioner": "rancher.io/local-path", "allowVolumeExpansion": grows,
        "volumeBindingMode": "WaitForFirstConsumer"
    }))?;
    classes.create(&PostParams::default(), &class).await?;
    scene.after(async move { gone_is_fine(classes.delete(name, &DeleteParams::default()).await) });
    Ok(())
}
