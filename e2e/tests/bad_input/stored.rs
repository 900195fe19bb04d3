//! An object of our kind that an older version stored and this one cannot read.

use std::collections::BTreeSet;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use mesoscloud_e2e::cloud::small;
use mesoscloud_e2e::marathon::eventually;
use mesoscloud_e2e::operator::{mends, restart};
use mesoscloud_e2e::{Cloud, Result, test};
use serde_json::{Value, json};

const DEFINITION: &str = "mesosclouds.mesoscloud.io";
/// The containerizers that the API server takes.
const CONTAINERIZERS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/slaves\
                              /properties/containerizers/items/enum";

#[test]
fn has_one_event_and_stops_no_other_cloud() -> Result {
    test("bad_input_stored", async |scene| {
        let sample = scene.sample().await?;
        let lives = sample.lives().await?;
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "unreadable");

        // As if an older version had known one more: the schema takes it, the operator's types do not.
        let definitions: Api<CustomResourceDefinition> = Api::all(scene.cluster.client.clone());
        let definition = serde_json::to_value(definitions.get(DEFINITION).await?)?;
        let known = definition.pointer(CONTAINERIZERS).cloned().unwrap_or_default();
        assert_eq!(known, json!(["docker", "mesos"]));
        let api = definitions.clone();
        let original = known.clone();
        scene.after(async move { set_containerizers(&api, original).await });
        set_containerizers(&definitions, json!(["docker", "mesos", "rocket"])).await?;
        let spec = small(json!({"slaves": {"containerizers": ["rocket"]}}));
        eventually("the API server takes what it took then", async || {
            Ok(cloud.create(&spec, false).await.map_err(|e| e.to_string()))
        })
        .await?;
        set_containerizers(&definitions, known).await?;

        events(&cloud, 1).await?;
        mends(&sample).await?;
        // The same when it is there before the operator.
        restart(&scene.cluster).await?;
        mends(&sample).await?;
        events(&cloud, 2).await?;
        assert!(cloud.objects().await?.is_empty(), "something was made of it");
        sample.settled().await?;
        assert_eq!(sample.lives().await?, lives, "the sample was disturbed");
        Ok(())
    })
}

async fn set_containerizers(definitions: &Api<CustomResourceDefinition>, list: Value) -> Result {
    let patch = serde_json::from_value(json!([{"op": "replace", "path": CONTAINERIZERS, "value": list}]))?;
    definitions
        .patch(DEFINITION, &PatchParams::default(), &Patch::Json::<()>(patch))
        .await?;
    Ok(())
}

/// Waits until this many operators, one after the other, have told why the cloud is left alone: each by one
/// event, however often it looked.
async fn events(cloud: &Cloud, operators: usize) -> Result {
    let api: Api<Event> = cloud.cluster.api(&cloud.namespace);
    let told = eventually("an event tells of it", async || {
        let mut list = api.list(&ListParams::default()).await?.items;
        list.retain(|event| {
            let about = event.regarding.as_ref();
            about.is_some_and(|about| about.name.as_ref() == Some(&cloud.name))
        });
        let count = list.len();
        Ok((count >= operators)
            .then_some(list)
            .ok_or(format!("{count} events")))
    })
    .await?;
    let by: BTreeSet<_> = told.iter().map(|event| &event.reporting_instance).collect();
    assert_eq!((told.len(), by.len()), (operators, operators), "{told:#?}");
    for event in told {
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        let note = event.note.unwrap_or_default();
        assert!(
            note.contains("rocket") && note.contains("left as it is"),
            "{note}"
        );
    }
    Ok(())
}
