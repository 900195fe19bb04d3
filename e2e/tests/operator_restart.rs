//! Proves that the operator may die at any time: killed in the middle of a first creation and started again, it
//! arrives at the same end; killed or upgraded beside a ready cloud, it restarts none of its pods.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::runtime::watcher;
use mesoscloud_e2e::cloud::small;
use mesoscloud_e2e::node::Armed;
use mesoscloud_e2e::operator::mends;
use mesoscloud_e2e::{Cloud, Context as _, Result, Scene, node, operator, test};
use serde_json::{Value, json};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn killed_in_the_middle_of_a_creation_it_arrives_at_the_same_end() -> Result {
    test("operator_killed_creating", async |scene| {
        scene.sample().await?;
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "second");
        let spec = small(json!({}));

        cloud.create(&spec, false).await?;
        cloud.ready().await?;
        let undisturbed = end_state(&cloud).await?;
        cloud.delete().await?;

        let killing = armed(scene).await?;
        let mut accounts = pin!(watcher(
            cloud.cluster.api::<ServiceAccount>(&cloud.namespace),
            watcher::Config::default().labels(&cloud.selector())
        ));
        cloud.create(&spec, false).await?;
        // The accounts are the first objects of a cloud.
        let first = async {
            while let Some(event) = accounts.try_next().await? {
                if matches!(event, watcher::Event::Apply(_) | watcher::Event::InitApply(_)) {
                    break;
                }
            }
            Ok::<_, watcher::Error>(())
        };
        timeout(PATIENCE, first).await??;
        killing.fire().await?;
        let made = cloud.objects().await?.len();
        println!("killed after {made} of {} objects", undisturbed.len());
        assert!(
            (1..undisturbed.len()).contains(&made),
            "{made} objects: that was not the middle"
        );

        cloud.ready().await?;
        let disturbed = end_state(&cloud).await?;
        assert_eq!(
            disturbed.keys().collect::<Vec<_>>(),
            undisturbed.keys().collect::<Vec<_>>()
        );
        for (object, content) in &disturbed {
            assert_eq!(Some(content), undisturbed.get(object), "{object}");
        }
        Ok(())
    })
}

#[test]
fn killed_beside_a_ready_cloud_it_disturbs_no_pod() -> Result {
    test("operator_killed_ready", async |scene| {
        let cloud = scene.sample().await?;
        let lives = cloud.lives().await?;
        armed(scene).await?.fire().await?;
        mends(&cloud).await?;
        cloud.settled().await?;
        assert_eq!(cloud.lives().await?, lives);
        Ok(())
    })
}

/// Another version is another image, which the sidecars of running pods keep away from.
#[test]
fn upgraded_beside_a_ready_cloud_it_disturbs_no_pod() -> Result {
    test("operator_upgraded", async |scene| {
        let cloud = scene.sample().await?;
        let lives = cloud.lives().await?;
        let image = operator::image(&scene.cluster).await?;
        let (name, _) = image.split_once(':').context("an image without a tag")?;
        let upgraded = format!("{name}:e2e-upgrade");
        node::tag_image(&image, &upgraded).await?;
        let cluster = scene.cluster.clone();
        scene.after(async move { operator::set_image(&cluster, &image).await });
        operator::set_image(&scene.cluster, &upgraded).await?;
        mends(&cloud).await?;
        cloud.settled().await?;
        assert_eq!(cloud.lives().await?, lives);
        Ok(())
    })
}

/// The operator's process, about to be killed.
async fn armed(scene: &Scene) -> Result<Armed> {
    let (container, _) = node::main_container(&operator::pod(&scene.cluster).await?)?;
    node::arm(&node::pid(&container).await?).await
}

/// What the operator wrote, without what differs from creation to creation.
async fn end_state(cloud: &Cloud) -> Result<BTreeMap<String, Value>> {
    let mut state = BTreeMap::new();
    for object in cloud.objects().await? {
        let mut content = serde_json::to_value(&object.content)?;
        let metadata = json!({
            "labels": content["metadata"]["labels"],
            "owners": content["metadata"]["ownerReferences"][0]["name"],
        });
        content["metadata"] = metadata;
        for given in ["/status", "/spec/clusterIP", "/spec/clusterIPs", "/secrets"] {
            if let Some(value) = content.pointer_mut(given) {
                value.take();
            }
        }
        // Members are written there by their addresses, which the hash of the settings is made of too.
        let data = content
            .pointer_mut("/data")
            .filter(|_| object.name().ends_with("-proxy"));
        if let Some(Value::Object(files)) = data {
            let proxy: Value = serde_json::from_str(files["proxy.json"].as_str().unwrap_or_default())?;
            let settings = proxy["settings"].as_str().context("no settings")?;
            for file in files.values_mut() {
                let text = file.as_str().unwrap_or_default().replace(settings, "SETTINGS");
                *file = without_addresses(&text).into();
            }
        }
        state.insert(object.title(), content);
    }
    Ok(state)
}

fn without_addresses(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_ascii_digit() && c != '.');
    let plain = words.map(|word| {
        let number = word.trim_end_matches(|c: char| !c.is_ascii_digit());
        if number.parse::<std::net::Ipv4Addr>().is_ok() {
            word.replace(number, "ADDRESS")
        } else {
            word.to_owned()
        }
    });
    plain.collect()
}
