//! Marathon as a framework: offers, tasks, health, back-off, changes of master and of leader.

#![allow(clippy::unwrap_used)] // tests

mod harness;

use std::time::Instant;

use harness::marathon::{Marathon, command};
use harness::master::{FakeMaster, Heard};
use harness::zookeeper::ZooKeeper;
use harness::{eventually, http, millis, seconds};
use mesoscloud_standins::wire::{KillTask, PortMapping};
use serde_json::{Value, json};
use tokio::net::TcpListener;

async fn cloud() -> (ZooKeeper, FakeMaster, Marathon) {
    let (zookeeper, mut master) = (ZooKeeper::start().await, FakeMaster::start().await);
    let marathon = Marathon::start(&zookeeper, &master.address());
    marathon.ready().await;
    subscription(&mut master).await;
    (zookeeper, master, marathon)
}

async fn subscription(master: &mut FakeMaster) -> mesoscloud_standins::wire::Subscribe {
    master
        .hears("a subscription", |heard| match heard {
            Heard::Subscribed(subscribe) => Some(subscribe),
            _ => None,
        })
        .await
}

async fn killed(master: &mut FakeMaster) -> String {
    master
        .hears("a kill", |heard| match heard {
            Heard::Killed(KillTask { task_id }) => Some(task_id),
            _ => None,
        })
        .await
}

fn running(count: u64) -> impl Fn(&Value) -> bool {
    move |app| app["tasksRunning"] == count && app["deployments"] == json!([])
}

/// A server on a free port that answers with what `status` says.
async fn server(status: &'static std::sync::atomic::AtomicU16) -> u16 {
    use std::sync::atomic::Ordering;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = move || async move { hyper::StatusCode::from_u16(status.load(Ordering::Relaxed)).unwrap() };
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

#[tokio::test]
async fn an_app_becomes_tasks() {
    let (zookeeper, mut master, marathon) = cloud().await;
    let app = json!({"id": "/shop/web", "cpus": 0.5, "mem": 64, "env": {"A": "b"}, "instances": 2,
        "constraints": [["hostname", "UNIQUE"]],
        "container": {"type": "DOCKER", "docker": {"image": "nginx:1", "network": "BRIDGE",
            "portMappings": [{"containerPort": 80}]}, "volumes": [{"containerPath": "/d", "hostPath": "/h", "mode": "RO"}]}});
    assert_eq!(
        http::post(marathon.port, "/v2/apps", &app).await.unwrap().status,
        201
    );
    // It asks for offers, and declines what it has no use for.
    master
        .hears("that it wants offers", |heard| {
            matches!(heard, Heard::Revived).then_some(())
        })
        .await;
    master.offer("o1", "S0", (31500, 31509));
    let task = master.accepted().await;
    assert!(task.id.starts_with("shop_web."), "{}", task.id);
    assert_eq!(
        (task.name.as_str(), task.resources.cpus, task.resources.mem),
        ("web.shop", 0.5, 64.0)
    );
    let container = task.container.unwrap();
    assert_eq!(
        (container.image.as_str(), container.network.as_str()),
        ("nginx:1", "BRIDGE")
    );
    assert_eq!(
        container.volumes,
        [("/d".to_owned(), "/h".to_owned(), "RO".to_owned())]
    );
    let [
        PortMapping {
            container_port: 80,
            host_port,
            ..
        },
    ] = container.port_mappings[..]
    else {
        unreachable!("{container:?}")
    };
    assert!((31500..=31509).contains(&host_port));
    assert_eq!(task.resources.ports, [(host_port, host_port)]);
    let environment = task.command.environment;
    for (name, value) in [
        ("HOST", "127.0.0.1"),
        ("PORT0", &host_port.to_string()),
        ("PORT", &host_port.to_string()),
        ("PORTS", &host_port.to_string()),
        ("MARATHON_APP_ID", "/shop/web"),
        ("MESOS_TASK_ID", &task.id),
        ("A", "b"),
    ] {
        assert_eq!(environment.get(name).map(String::as_str), Some(value), "{name}");
    }

    // Staged, then running.
    let shown = marathon.app("/shop/web").await;
    assert_eq!(
        (shown["tasksStaged"].as_u64(), shown["tasksRunning"].as_u64()),
        (Some(1), Some(0))
    );
    assert_eq!(shown["tasks"][0]["startedAt"], Value::Null);
    master.update(&task.id, "TASK_RUNNING");
    let shown = marathon
        .app_is("/shop/web", seconds(5), |app| app["tasksRunning"] == 1)
        .await;
    let seen = &shown["tasks"][0];
    assert_eq!(
        (seen["id"].as_str(), seen["host"].as_str()),
        (Some(task.id.as_str()), Some("127.0.0.1"))
    );
    assert_eq!(
        (seen["slaveId"].as_str(), &seen["ports"]),
        (Some("S0"), &json!([host_port]))
    );
    assert!(
        seen["startedAt"].is_string() && seen["stagedAt"].is_string(),
        "{seen}"
    );
    assert_eq!(seen.get("healthCheckResults"), None);
    let plain = http::Call {
        method: hyper::Method::GET,
        port: marathon.port,
        path: "/v2/tasks",
        headers: &[("accept", "text/plain")],
        body: String::new(),
    };
    let plain = plain.send().await.unwrap().body;
    assert!(
        plain.starts_with("shop_web\t") && plain.contains(&format!("127.0.0.1:{host_port}")),
        "{plain}"
    );

    // The second one may not run on the same host.
    master.offer("o2", "S0", (31500, 31509));
    master
        .hears("that it declines", |heard| {
            matches!(heard, Heard::Declined(_)).then_some(())
        })
        .await;
    assert_ne!(shown["deployments"], json!([]));

    // Kept in ZooKeeper: task and framework id.
    let client = zookeeper.client().await;
    let state = client.list_children("/marathon/my_marathon/state").await.unwrap();
    assert!(
        state.contains(&format!("task:{}", task.id)) && state.contains(&"framework:id".to_owned()),
        "{state:?}"
    );

    // Deleted: killed, and done when the kill is.
    http::delete(marathon.port, "/v2/apps/shop/web?force=true")
        .await
        .unwrap();
    assert_eq!(killed(&mut master).await, task.id);
    assert_ne!(
        http::get(marathon.port, "/v2/deployments").await.unwrap().body,
        "[]"
    );
    master.update(&task.id, "TASK_KILLED");
    eventually("done", seconds(5), async || {
        (http::get(marathon.port, "/v2/deployments").await.unwrap().body == "[]").then_some(())
    })
    .await;
}

#[tokio::test]
async fn scaling_kills_the_youngest_and_a_change_replaces_all() {
    let (_zookeeper, mut master, marathon) = cloud().await;
    http::post(marathon.port, "/v2/apps", &command("/web", 1))
        .await
        .unwrap();
    master.offer("o1", "S0", (31500, 31509));
    let first = master.accepted().await.id;
    master.update(&first, "TASK_RUNNING");
    marathon.app_is("/web", seconds(5), running(1)).await;
    http::put(marathon.port, "/v2/apps/web", &json!({"instances": 2}))
        .await
        .unwrap();
    master.offer("o2", "S0", (31500, 31509));
    let second = master.accepted().await.id;
    master.update(&second, "TASK_RUNNING");
    marathon.app_is("/web", seconds(5), running(2)).await;
    http::put(marathon.port, "/v2/apps/web", &json!({"instances": 1}))
        .await
        .unwrap();
    assert_eq!(killed(&mut master).await, second);
    master.update(&second, "TASK_KILLED");
    marathon.app_is("/web", seconds(5), running(1)).await;

    // A new task runs before the old one ends.
    http::put(marathon.port, "/v2/apps/web", &json!({"env": {"A": "new"}}))
        .await
        .unwrap();
    master.offer("o3", "S0", (31500, 31509));
    let third = master.accepted().await;
    assert_eq!(third.command.environment["A"], "new");
    tokio::time::sleep(millis(300)).await;
    assert!(!master.heard_so_far(|heard| matches!(heard, Heard::Killed(_))));
    master.update(&third.id, "TASK_RUNNING");
    assert_eq!(killed(&mut master).await, first);
    master.update(&first, "TASK_KILLED");
    marathon.app_is("/web", seconds(5), running(1)).await;

    // One task killed by hand is replaced.
    let path = format!("/v2/apps/web/tasks/{}", third.id);
    assert_eq!(http::delete(marathon.port, &path).await.unwrap().status, 200);
    assert_eq!(killed(&mut master).await, third.id);
    master.update(&third.id, "TASK_KILLED");
    marathon
        .app_is("/web", seconds(5), |app| app["tasksRunning"] == 0)
        .await;
    master.offer("o4", "S0", (31500, 31509));
    master.accepted().await;
}

#[tokio::test]
async fn tasks_that_end_are_started_again_later_and_later() {
    let (_zookeeper, mut master, marathon) = cloud().await;
    let mut app = command("/web", 1);
    app["backoffSeconds"] = json!(1);
    app["backoffFactor"] = json!(2);
    http::post(marathon.port, "/v2/apps", &app).await.unwrap();
    let mut ended: Option<Instant> = None;
    for (round, delay) in [millis(0), millis(1000), millis(2000)].into_iter().enumerate() {
        // Offers come all the time; only after the delay is one used.
        let task = loop {
            master.offer(&format!("o{round}"), "S0", (31500, 31509));
            let found = master
                .hears("accept or decline", |heard| match heard {
                    Heard::Accepted(mut accept) => Some(accept.tasks.pop()),
                    Heard::Declined(_) => Some(None),
                    _ => None,
                })
                .await;
            if let Some(task) = found {
                break task.id;
            }
            tokio::time::sleep(millis(50)).await;
        };
        if let Some(ended) = ended {
            let took = ended.elapsed();
            assert!(
                took >= delay && took < delay + seconds(4),
                "round {round}: {took:?}"
            );
        }
        master.update(&task, "TASK_RUNNING");
        marathon
            .app_is("/web", seconds(5), |app| app["tasksRunning"] == 1)
            .await;
        let state = if round == 1 { "TASK_LOST" } else { "TASK_FAILED" };
        master.update(&task, state);
        ended = Some(Instant::now());
        let shown = marathon
            .app_is("/web", seconds(5), |app| app["tasksRunning"] == 0)
            .await;
        assert_eq!(shown["lastTaskFailure"]["state"], state);
        assert_eq!(shown["lastTaskFailure"]["message"], "said so");
    }
    // A task nobody knows is killed.
    master.update("web.unknown", "TASK_RUNNING");
    assert_eq!(killed(&mut master).await, "web.unknown");
}

#[tokio::test]
async fn health_is_what_the_leader_sees_at_the_slave_s_hostname() {
    use std::sync::atomic::{AtomicU16, Ordering};
    static STATUS: AtomicU16 = AtomicU16::new(200);
    let (zookeeper, mut master, mut marathon) = cloud().await;
    let port = server(&STATUS).await;
    let mut app = command("/web", 1);
    app["healthChecks"] = json!([{"protocol": "HTTP", "path": "/health", "intervalSeconds": 3, "timeoutSeconds": 1,
        "gracePeriodSeconds": 60, "maxConsecutiveFailures": 2}]);
    http::post(marathon.port, "/v2/apps", &app).await.unwrap();
    master.offer("o1", "S0", (port, port));
    let task = master.accepted().await.id;
    let start = Instant::now();
    master.update(&task, "TASK_RUNNING");
    // Running is not enough for the deployment to end.
    let shown = marathon
        .app_is("/web", seconds(5), |app| app["tasksRunning"] == 1)
        .await;
    assert_ne!(shown["deployments"], json!([]));
    let shown = marathon
        .app_is("/web", seconds(5), |app| app["tasksHealthy"] == 1)
        .await;
    assert!(start.elapsed() >= millis(2900), "{:?}", start.elapsed());
    let results = &shown["tasks"][0]["healthCheckResults"][0];
    assert_eq!(
        (
            results["alive"].as_bool(),
            results["consecutiveFailures"].as_u64()
        ),
        (Some(true), Some(0))
    );
    marathon
        .app_is("/web", seconds(5), |app| app["deployments"] == json!([]))
        .await;
    STATUS.store(399, Ordering::Relaxed);
    tokio::time::sleep(millis(3500)).await;
    assert_eq!(marathon.app("/web").await["tasksHealthy"], 1);

    // Another leader keeps the task; its health is unknown for an interval.
    marathon.program.signal("TERM");
    marathon.program.end(seconds(5)).await;
    let mut marathon = Marathon::start(&zookeeper, &master.address());
    let shown = marathon.app_is("/web", seconds(20), Value::is_object).await;
    assert_eq!(
        (shown["tasks"][0]["id"].as_str(), shown["tasksRunning"].as_u64()),
        (Some(task.as_str()), Some(1))
    );
    assert_eq!(
        (shown["tasksHealthy"].as_u64(), shown["tasksUnhealthy"].as_u64()),
        (Some(0), Some(0))
    );
    assert_eq!(shown["tasks"][0].get("healthCheckResults"), None);
    marathon
        .app_is("/web", seconds(5), |app| app["tasksHealthy"] == 1)
        .await;
    let again = subscription(&mut master).await;
    assert!(again.id.is_some());

    // Failures count at once after a first success; more than two in a row, and it is killed.
    STATUS.store(503, Ordering::Relaxed);
    let start = Instant::now();
    marathon
        .app_is("/web", seconds(5), |app| app["tasksUnhealthy"] == 1)
        .await;
    assert_eq!(killed(&mut master).await, task);
    assert!(start.elapsed() >= millis(5900), "{:?}", start.elapsed());
    assert!(marathon.program.running());
}

#[tokio::test]
async fn a_port_nobody_reaches_is_unhealthy_though_the_task_runs() {
    let (_zookeeper, mut master, marathon) = cloud().await;
    let closed = harness::free_port();
    let mut app = command("/web", 1);
    app["healthChecks"] = json!([{"protocol": "TCP", "intervalSeconds": 1, "gracePeriodSeconds": 2, "maxConsecutiveFailures": 0}]);
    http::post(marathon.port, "/v2/apps", &app).await.unwrap();
    master.offer("o1", "S0", (closed, closed));
    let task = master.accepted().await.id;
    let start = Instant::now();
    master.update(&task, "TASK_RUNNING");
    let unhealthy = |app: &Value| app["tasksUnhealthy"] == 1;
    let shown = marathon.app_is("/web", seconds(10), unhealthy).await;
    assert!(start.elapsed() >= millis(1900), "{:?}", start.elapsed());
    assert_eq!(shown["tasksRunning"], 1);
    let result = &shown["tasks"][0]["healthCheckResults"][0];
    assert_eq!(
        (result["alive"].as_bool(), &result["firstSuccess"]),
        (Some(false), &Value::Null)
    );
    // Zero means: never killed.
    tokio::time::sleep(seconds(3)).await;
    assert!(!master.heard_so_far(|heard| matches!(heard, Heard::Killed(_))));
}

#[tokio::test]
async fn it_follows_the_leading_master_with_its_own_id() {
    let zookeeper = ZooKeeper::start().await;
    let client = zookeeper.client().await;
    let (mut first, mut second) = (FakeMaster::start().await, FakeMaster::start().await);
    let node = first.contend(&client, "/mesos/my_mesos").await;
    second.contend(&client, "/mesos/my_mesos").await;
    let marathon = Marathon::start(&zookeeper, &zookeeper.url("/mesos/my_mesos"));
    let subscribed = subscription(&mut first).await;
    assert_eq!((subscribed.id, subscribed.name.as_str()), (None, "marathon"));
    assert_eq!(subscribed.webui_url, format!("http://{}", marathon.name()));
    marathon.ready().await;
    http::post(marathon.port, "/v2/apps", &command("/web", 1))
        .await
        .unwrap();
    first.offer("o1", "S0", (31500, 31509));
    let task = first.accepted().await.id;
    first.update(&task, "TASK_RUNNING");
    marathon.app_is("/web", seconds(5), running(1)).await;
    let id = http::get(marathon.port, "/v2/info").await.unwrap().json()["frameworkId"]
        .as_str()
        .unwrap()
        .to_owned();

    client.delete(&node, None).await.unwrap();
    assert_eq!(subscription(&mut second).await.id.as_deref(), Some(id.as_str()));
    let asked = second.hears("that it reconciles", |heard| match heard {
        Heard::Reconciled(reconcile) => Some(reconcile.task_ids),
        _ => None,
    });
    assert_eq!(asked.await, [task]);
    assert_eq!(marathon.app("/web").await["tasksRunning"], 1);
}

#[tokio::test]
async fn a_framework_that_was_removed_forgets_its_id_and_ends() {
    let (zookeeper, master, mut marathon) = cloud().await;
    let client = zookeeper.client().await;
    let node = "/marathon/my_marathon/state/framework:id";
    let kept = async || client.check_stat(node).await.unwrap().map(|_| ());
    eventually("its id is kept", seconds(5), kept).await;
    master.tell(&mesoscloud_standins::wire::FrameworkEvent::Error {
        message: "Framework has been removed".to_owned(),
    });
    assert_eq!(marathon.program.end(seconds(5)).await.code(), Some(9));
    assert!(client.check_stat(node).await.unwrap().is_none());
}
