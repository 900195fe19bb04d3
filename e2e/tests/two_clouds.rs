//! Proves that clouds do not disturb each other: one beside the sample in its own namespace and one of the sample's
//! name in another namespace serve at the same time as it; when they are deleted, nothing of them is left, and the
//! sample has not felt any of it.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams};
use mesoscloud_crds::status::MesosCloudStatus;
use mesoscloud_e2e::cloud::{endpoint, small};
use mesoscloud_e2e::http::get;
use mesoscloud_e2e::marathon::{eventually, registered};
use mesoscloud_e2e::objects::inventory;
use mesoscloud_e2e::{Cloud, Context as _, MESOS, Result, Scene, test};
use serde_json::{Value, json};

#[test]
fn three_clouds_serve_and_two_go_without_a_trace() -> Result {
    test("two_clouds", async |scene| {
        let sample = scene.sample().await?;
        let untouched = fingerprint(&sample).await?;
        let namespace = scene.namespace().await?;
        let empty = inventory(&scene.cluster, &namespace, "").await?;
        let beside = Cloud::new(&scene.cluster, &sample.namespace, "beside");
        let elsewhere = Cloud::new(&scene.cluster, &namespace, &sample.name);
        let doomed = beside.clone();
        scene.after(async move { delete_with_disks(&doomed).await });

        // Disks are kept unless it is said otherwise; of these, one cloud keeps its own.
        let keep = json!({"storage": {"reclaim": "Retain"}});
        let service = json!({"service": {"type": "NodePort"}});
        let first = small(json!({"proxies": service, "zookeeper": keep, "masters": keep}));
        let second = small(json!({"proxies": service, "slaves": {
            "basePort": 5071, "taskPorts": {"begin": 32200, "end": 32299}
        }}));
        beside.create(&first, false).await?;
        elsewhere.create(&second, false).await?;
        let (first, second) = tokio::try_join!(beside.ready(), elsewhere.ready())?;
        serves(scene, &beside, &first).await?;
        serves(scene, &elsewhere, &second).await?;
        assert_eq!(
            get(MESOS, "/state.json").await?.json()["cluster"],
            sample.name.as_str()
        );

        elsewhere.delete().await?;
        left(scene, &namespace, "", &empty.into_iter().collect::<Vec<_>>()).await?;
        serves(scene, &beside, &first).await?;

        beside.delete().await?;
        let disks = [
            "PersistentVolumeClaim data-beside-master-0",
            "PersistentVolumeClaim data-beside-zk-0",
        ];
        left(
            scene,
            &sample.namespace,
            "app.kubernetes.io/instance=beside",
            &disks.map(str::to_owned),
        )
        .await?;

        sample.settled().await?;
        assert_eq!(fingerprint(&sample).await?, untouched, "the sample was touched");
        Ok(())
    })
}

/// The cloud's own masters answer at its own proxy, with its own slave and its own Marathon.
async fn serves(scene: &Scene, cloud: &Cloud, status: &MesosCloudStatus) -> Result {
    let proxy = endpoint(status, &format!("{}-mesos-proxy", cloud.name))?;
    let port = proxy.node_port.context("the proxy has no node port")?;
    let address = format!("{}:{port}", scene.cluster.node_address().await?);
    let state = registered(&address).await?;
    let host = format!("{}-master-0.{}.svc.cluster.local", cloud.name, cloud.namespace);
    assert_eq!(state["hostname"], host.as_str());
    assert_eq!(state["pid"], state["leader"]);
    assert_eq!(state["cluster"], cloud.name.as_str());
    assert_eq!(state["activated_slaves"].as_f64(), Some(1.0), "{state}");
    Ok(())
}

/// Waits until nothing but `expected` is left: what Kubernetes collects by owner goes after its owner.
async fn left(scene: &Scene, namespace: &str, selector: &str, expected: &[String]) -> Result {
    eventually("nothing is left of the cloud", async || {
        let left: Vec<_> = inventory(&scene.cluster, namespace, selector)
            .await?
            .into_iter()
            .collect();
        Ok(if left == expected {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        })
    })
    .await
}

/// What would show that a cloud was touched: lives of its pods, and the identity and generation of its objects.
async fn fingerprint(cloud: &Cloud) -> Result<(Value, Vec<String>)> {
    let lives = cloud.lives().await?;
    let lives = lives
        .iter()
        .map(|(name, life)| (name.clone(), json!([life.uid, life.restarts])))
        .collect();
    let objects = cloud.objects().await?;
    let objects = objects.iter().map(|o| {
        format!(
            "{} {:?} {:?}",
            o.title(),
            o.content.uid(),
            o.content.metadata.generation
        )
    });
    Ok((Value::Object(lives), objects.collect()))
}

async fn delete_with_disks(cloud: &Cloud) -> Result {
    cloud.delete().await?;
    let claims: Api<PersistentVolumeClaim> = cloud.cluster.api(&cloud.namespace);
    let ours = ListParams::default().labels(&cloud.selector());
    claims.delete_collection(&DeleteParams::default(), &ours).await?;
    Ok(())
}
