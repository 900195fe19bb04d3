//! The REST API, and what survives a change of leader.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use harness::marathon::{Marathon, command};
use harness::zookeeper::ZooKeeper;
use harness::{eventually, http, seconds};
use serde_json::{Value, json};

const MASTER: &str = "127.0.0.1:1";

async fn one() -> (ZooKeeper, Marathon) {
    let zookeeper = ZooKeeper::start().await;
    let marathon = Marathon::start(&zookeeper, MASTER);
    marathon.ready().await;
    (zookeeper, marathon)
}

#[tokio::test]
async fn apps_are_created_shown_changed_and_deleted() {
    let (_zookeeper, marathon) = one().await;
    let port = marathon.port;

    let created = http::post(port, "/v2/apps", &command("shop/web", 2))
        .await
        .unwrap();
    assert_eq!(created.status, 201);
    let app = created.json();
    assert_eq!(
        (app["id"].as_str(), app["instances"].as_u64()),
        (Some("/shop/web"), Some(2))
    );
    assert_eq!(app["deployments"].as_array().unwrap().len(), 1);
    assert!(
        (10_000..20_000).contains(&app["ports"][0].as_u64().unwrap()),
        "{app}"
    );
    let deployments = http::get(port, "/v2/deployments").await.unwrap().json();
    assert_eq!(deployments[0]["id"], app["deployments"][0]["id"]);
    assert_eq!(deployments[0]["affectedApps"], json!(["/shop/web"]));
    assert_eq!(
        created.header("marathon-deployment-id"),
        deployments[0]["id"].as_str()
    );

    let shown = marathon.app("/shop/web").await;
    for (field, value) in [
        ("tasksStaged", 0),
        ("tasksRunning", 0),
        ("tasksHealthy", 0),
        ("tasksUnhealthy", 0),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(shown["tasks"], json!([]));
    assert_eq!(
        http::get(port, "/v2/apps").await.unwrap().json()["apps"][0]["id"],
        "/shop/web"
    );
    assert_eq!(http::get(port, "/v2/apps//shop/web").await.unwrap().status, 200);
    assert_eq!(
        http::get(port, "/v2/apps/shop/web/tasks").await.unwrap().json(),
        json!({"tasks": []})
    );
    assert_eq!(
        http::get(port, "/v2/tasks").await.unwrap().json(),
        json!({"tasks": []})
    );

    // The same id again, and a change while its deployment goes on.
    assert_eq!(
        http::post(port, "/v2/apps", &command("/shop/web", 1))
            .await
            .unwrap()
            .status,
        409
    );
    let locked = http::put(port, "/v2/apps/shop/web", &json!({"instances": 3}))
        .await
        .unwrap();
    assert_eq!(locked.status, 409);
    assert!(
        locked.json()["message"]
            .as_str()
            .unwrap()
            .starts_with("App is locked by one or more deployments")
    );
    assert_eq!(locked.json()["deployments"][0]["id"], deployments[0]["id"]);
    let forced = http::put(port, "/v2/apps/shop/web?force=true", &json!({"instances": 3}))
        .await
        .unwrap();
    assert_eq!(forced.status, 200);
    let result = forced.json();
    assert!(
        result["deploymentId"].is_string() && result["version"].is_string(),
        "{result}"
    );
    let changed = marathon.app("/shop/web").await;
    assert_eq!(
        (changed["instances"].as_u64(), changed["version"].as_str()),
        (Some(3), result["version"].as_str())
    );
    assert_eq!(changed["versionInfo"]["lastConfigChangeAt"], app["version"]);
    assert_eq!(changed["ports"], app["ports"]);

    let restarted = http::post(port, "/v2/apps/shop/web/restart?force=true", &json!({}))
        .await
        .unwrap();
    assert_eq!(restarted.status, 200);
    let changed = marathon.app("/shop/web").await;
    assert_eq!(
        changed["versionInfo"]["lastConfigChangeAt"],
        restarted.json()["version"]
    );

    // Several at once; a PUT makes what is not there.
    let both = json!([command("/a", 0), command("/b", 0)]);
    assert_eq!(http::put(port, "/v2/apps", &both).await.unwrap().status, 200);
    assert_eq!(
        http::put(port, "/v2/apps/c", &command("/c", 0))
            .await
            .unwrap()
            .status,
        201
    );
    let apps = http::get(port, "/v2/apps").await.unwrap().json();
    let ids: Vec<_> = apps["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|app| app["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["/a", "/b", "/c", "/shop/web"]);

    // A deployment is given up by force.
    let deployment = restarted.json()["deploymentId"].as_str().unwrap().to_owned();
    let path = format!("/v2/deployments/{deployment}?force=true");
    assert_eq!(http::delete(port, &path).await.unwrap().status, 202);
    assert_eq!(http::delete(port, &path).await.unwrap().status, 404);

    assert_eq!(http::delete(port, "/v2/apps/shop/web").await.unwrap().status, 200);
    let gone = http::get(port, "/v2/apps/shop/web").await.unwrap();
    assert_eq!(
        (gone.status, gone.json()["message"].as_str()),
        (404, Some("App '/shop/web' does not exist"))
    );
    assert_eq!(http::delete(port, "/v2/apps/shop/web").await.unwrap().status, 404);
    eventually("nothing left to do", seconds(10), async || {
        (http::get(port, "/v2/deployments").await.unwrap().body == "[]").then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_no_app_is_refused() {
    let (_zookeeper, marathon) = one().await;
    let port = marathon.port;
    for (body, status) in [
        (json!({"id": "/Upper", "cmd": "x"}), 422),
        (json!({"id": "/nothing-to-do"}), 422),
        (
            json!({"id": "/a", "cmd": "x", "constraints": [["hostname", "NEXT_TO"]]}),
            422,
        ),
        (
            json!({"id": "/a", "cmd": "x", "healthChecks": [{"portIndex": 7}]}),
            422,
        ),
        (json!({"id": "/a", "cmd": "x", "uris": ["http://x/y.tgz"]}), 422),
        (json!({"id": "/a", "cmd": "x", "env": {"A": 1}}), 400),
        (json!(["a"]), 400),
    ] {
        let reply = http::post(port, "/v2/apps", &body).await.unwrap();
        assert_eq!(reply.status, status, "{body}: {}", reply.body);
        assert!(reply.json()["message"].is_string(), "{}", reply.body);
    }
    assert_eq!(
        http::request(hyper::Method::POST, port, "/v2/apps", "{")
            .await
            .unwrap()
            .status,
        400
    );
    assert_eq!(
        http::request(hyper::Method::PATCH, port, "/v2/apps", "{}")
            .await
            .unwrap()
            .status,
        405
    );
    // An app and a group cannot share a name.
    assert_eq!(
        http::post(port, "/v2/apps", &command("/shop/web", 0))
            .await
            .unwrap()
            .status,
        201
    );
    assert_eq!(
        http::post(port, "/v2/apps", &command("/shop", 0))
            .await
            .unwrap()
            .status,
        422
    );
    assert_eq!(
        http::post(port, "/v2/apps", &command("/shop/web/sub", 0))
            .await
            .unwrap()
            .status,
        422
    );
}

#[tokio::test]
async fn apps_survive_a_change_of_leader_and_all_lies_in_zookeeper() {
    let (zookeeper, mut first) = one().await;
    let second = Marathon::start(&zookeeper, MASTER);
    second.ready().await;
    // Through the standby, too.
    let created = http::post(second.port, "/v2/apps", &command("/shop/web", 1))
        .await
        .unwrap();
    assert_eq!(created.status, 201);
    let before = first.app("/shop/web").await;

    let client = zookeeper.client().await;
    let state = client.list_children("/marathon/my_marathon/state").await.unwrap();
    assert!(state.contains(&"app:shop_web".to_owned()), "{state:?}");

    first.program.signal("TERM");
    first.program.end(seconds(5)).await;
    let after = second.app_is("/shop/web", seconds(10), Value::is_object).await;
    for field in ["version", "cmd", "instances", "ports", "deployments"] {
        assert_eq!(after[field], before[field], "{field}");
    }
}

#[tokio::test]
async fn events_are_streamed_and_cut_when_through_a_silent_standby() {
    let (zookeeper, leader) = one().await;
    let standby = Marathon::start(&zookeeper, MASTER);
    standby.ready().await;

    // Jetty's servlet insists on the Accept header.
    assert_eq!(http::get(leader.port, "/v2/events").await.unwrap().status, 405);
    let listen = async |port| {
        let headers = [("accept", "text/event-stream")];
        let path = "/v2/events";
        let call = http::Call {
            method: hyper::Method::GET,
            port,
            path,
            headers: &headers,
            body: String::new(),
        };
        let response = call.open().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(
            response.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/event-stream")
        );
        Events {
            body: response.into_body(),
            text: String::new(),
        }
    };
    let mut direct = listen(leader.port).await;
    let mut proxied = listen(standby.port).await;
    for events in [&mut direct, &mut proxied] {
        let attached = events.next().await.unwrap();
        assert_eq!(attached["eventType"], "event_stream_attached");
        assert_eq!(attached["remoteAddress"], "127.0.0.1");
    }
    // The last word comes while the request is answered; the silence begins then.
    let start = std::time::Instant::now();
    http::post(leader.port, "/v2/apps", &command("/web", 1))
        .await
        .unwrap();
    let mut kinds = Vec::new();
    while let Some(event) = proxied.next().await {
        kinds.push(event["eventType"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, ["api_post_event", "deployment_info"]);
    let took = start.elapsed();
    assert!(took >= seconds(10) && took < seconds(15), "{took:?}");

    // The leader's own stream lasts.
    http::delete(leader.port, "/v2/apps/web?force=true")
        .await
        .unwrap();
    eventually("the end of the app", seconds(5), async || {
        (direct.next().await?["eventType"] == "app_terminated_event").then_some(())
    })
    .await;
}

struct Events {
    body: hyper::body::Incoming,
    text: String,
}

impl Events {
    /// The next event; `None` when the stream is cut.
    async fn next(&mut self) -> Option<Value> {
        use http_body_util::BodyExt;
        loop {
            if let Some(end) = self.text.find("\r\n\r\n") {
                let event: String = self.text.drain(..end + 4).collect();
                let data = event
                    .lines()
                    .find_map(|line| line.strip_prefix("data: "))
                    .unwrap();
                return Some(serde_json::from_str(data).unwrap());
            }
            let frame = self.body.frame().await?.ok()?;
            self.text
                .push_str(&String::from_utf8_lossy(&frame.into_data().ok()?));
        }
    }
}
