//! An image that does not exist.

use mesoscloud_e2e::cloud::{small, without};
use mesoscloud_e2e::{Cloud, Result, test};
use serde_json::json;

const MISSING_MARATHON: &str = "mesoscloud/marathon:does-not-exist";
const MISSING_HAPROXY: &str = "haproxy:does-not-exist";

#[test]
fn is_named_in_a_condition_and_harms_nothing_else() -> Result {
    test("bad_input_image", async |scene| {
        let cloud = Cloud::new(&scene.cluster, &scene.namespace().await?, "wrong");
        cloud
            .create(&small(json!({"marathon": {"image": MISSING_MARATHON}})), false)
            .await?;

        let condition = cloud
            .condition("MarathonReady", "False", "ImagePullFailed")
            .await?;
        names(
            &condition.message,
            &["marathon", "wrong-marathon-0", MISSING_MARATHON],
        );
        let stalled = cloud.condition("Stalled", "True", "ImagePullFailed").await?;
        assert_eq!(stalled.message, condition.message);
        for other in ["ZooKeeperReady", "MastersReady", "SlavesReady"] {
            cloud.condition(other, "True", "ComponentReady").await?;
        }
        let others = without(cloud.lives().await?, "marathon");
        cloud.change(&json!({"marathon": {"image": null}}), false).await?;
        cloud.ready().await?;
        assert_eq!(
            without(cloud.lives().await?, "marathon"),
            others,
            "others were disturbed"
        );

        // The same in a cloud that serves: the old proxies stay until the new ones do.
        let before = cloud.lives().await?;
        cloud
            .change(&json!({"proxies": {"image": MISSING_HAPROXY}}), false)
            .await?;
        let stalled = cloud.condition("Stalled", "True", "ImagePullFailed").await?;
        names(&stalled.message, &["-proxy", "pod wrong-", MISSING_HAPROXY]);
        cloud.condition("Ready", "False", "ImagePullFailed").await?;
        let mut during = cloud.lives().await?;
        during.retain(|name, _| before.contains_key(name));
        assert_eq!(during, before, "what served was disturbed");
        cloud.change(&json!({"proxies": {"image": null}}), false).await?;
        cloud.condition("Stalled", "False", "NotStalled").await?;
        cloud.settled().await?;
        Ok(())
    })
}

/// The message names all of these.
pub fn names(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not named in: {message}");
    }
}
