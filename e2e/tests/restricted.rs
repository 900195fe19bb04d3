//! Proves that every pod of a running cloud but the slaves' keeps the Pod Security Standard `restricted`: taken as it
//! runs, it is accepted in a namespace that enforces it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::PostParams;
use mesoscloud_e2e::{Context as _, Result, Scene, test};

#[test]
fn every_pod_but_the_slaves_is_restricted() -> Result {
    test("restricted", async |scene| {
        let cloud = scene.sample().await?;
        let namespace = scene.namespace_enforcing("restricted").await?;
        let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
        for pod in cloud.pods(None).await? {
            let component = pod.labels().get("app.kubernetes.io/component").cloned();
            let component = component.context(format!("{} has no component", pod.name_any()))?;
            let admitted = admitted(scene, &namespace, &pod).await?;
            if component == "slave" {
                // Were it accepted, the namespace would enforce nothing.
                let why = admitted.err().context("a slave's pod was accepted")?;
                assert!(why.contains("violates PodSecurity \"restricted"), "{why}");
            } else {
                assert_eq!(admitted, Ok(()), "{}", pod.name_any());
                *accepted.entry(component).or_default() += 1;
            }
        }
        let expected = [
            ("zookeeper", 3),
            ("master", 3),
            ("marathon", 2),
            ("mesos-proxy", 1),
            ("marathon-proxy", 1),
            ("zk-proxy", 1),
        ];
        assert_eq!(
            accepted,
            expected
                .map(|(component, count)| (component.to_owned(), count))
                .into()
        );
        Ok(())
    })
}

/// The operator too runs in a namespace that enforces it, and it asks to be admitted at every rollout.
#[test]
fn the_operator_is_restricted() -> Result {
    test("restricted_operator", async |scene| {
        let namespace = scene.namespace_enforcing("restricted").await?;
        let pod = mesoscloud_e2e::operator::pod(&scene.cluster).await?;
        assert_eq!(admitted(scene, &namespace, &pod).await?, Ok(()));
        Ok(())
    })
}

/// Whether a pod like this one would be admitted, and if not, why.
async fn admitted(scene: &Scene, namespace: &str, pod: &Pod) -> Result<Result<(), String>> {
    let mut spec = pod.spec.clone().context("a pod without a spec")?;
    // Where it runs, and the token that was added for it, are not its template's.
    spec.node_name = None;
    if let Some(account) = &spec.service_account_name {
        ensure_account(scene, namespace, account).await?;
    }
    let copy = Pod {
        metadata: ObjectMeta {
            name: Some(pod.name_any()),
            labels: Some(pod.labels().clone()),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    };
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match scene.cluster.api::<Pod>(namespace).create(&params, &copy).await {
        Ok(_) => Ok(Ok(())),
        Err(kube::Error::Api(refused)) if refused.code == 403 => Ok(Err(refused.message)),
        Err(error) => Err(error.into()),
    }
}

/// A pod is not admitted under an account that is not there.
async fn ensure_account(scene: &Scene, namespace: &str, name: &str) -> Result {
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    match scene
        .cluster
        .api(namespace)
        .create(&PostParams::default(), &account)
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(exists)) if exists.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
