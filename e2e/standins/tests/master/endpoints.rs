//! What a master answers.

use std::time::Instant;

use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::http::Reply;
use crate::harness::{eventually, millis, seconds};
use crate::support::{Cloud, Master, get};

/// A ready leader: one of this test, or the one at `STANDINS_AGAINST`.
pub struct Subject {
    pub address: String,
    own: Option<(Cloud, Master)>,
}

pub async fn subject() -> Subject {
    if let Ok(url) = std::env::var("STANDINS_AGAINST") {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        return Subject { address, own: None };
    }
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    master.set("MESOS_CLUSTER", "c1");
    master.start();
    master.leads().await;
    Subject {
        address: master.address.clone(),
        own: Some((cloud, master)),
    }
}

impl Subject {
    async fn get(&self, path: &str) -> Reply {
        get(&self.address, path).await.unwrap()
    }

    fn is_stand_in(&self) -> bool {
        self.own.is_some()
    }
}

#[tokio::test]
async fn a_leader_answers_as_the_original_does() {
    let subject = subject().await;
    let page = subject.get("/").await;
    assert!(
        page.status == 200 && page.body.contains("<title>Mesos</title>"),
        "{page:?}"
    );
    assert!(
        page.header("content-type").unwrap().starts_with("text/html"),
        "{page:?}"
    );

    for prefix in ["", "/master"] {
        let health = subject.get(&format!("{prefix}/health")).await;
        assert_eq!((health.status, health.body.as_str()), (200, ""));
        let redirect = subject.get(&format!("{prefix}/redirect")).await;
        assert_eq!(redirect.status, 307);
        let location = redirect.header("location").unwrap();
        assert!(
            location.starts_with("//") && location.matches('/').count() == 2,
            "{location}"
        );
        let scheduler = subject.get(&format!("{prefix}/api/v1/scheduler")).await;
        assert_eq!(scheduler.status, 405);
        for path in ["/state", "/state.json"] {
            let state = subject.get(&format!("{prefix}{path}")).await;
            let state = (state.json(), state.body);
            assert_eq!(state.0["pid"], format!("master@{}", subject.address));
            assert_eq!(state.0["leader"], state.0["pid"]);
            assert_eq!(state.0["version"], "0.28.1");
            assert!(
                state.0["hostname"].is_string() && state.0["activated_slaves"].is_f64(),
                "{}",
                state.1
            );
            assert!(
                state.0["slaves"].is_array() && state.0["frameworks"].is_array(),
                "{}",
                state.1
            );
            if subject.is_stand_in() {
                assert_eq!(state.0["cluster"], "c1");
            }
        }
        for (path, field) in [
            ("/slaves", "slaves"),
            ("/frameworks", "frameworks"),
            ("/flags", "flags"),
        ] {
            let answer = subject.get(&format!("{prefix}{path}")).await;
            assert!(
                answer.status == 200 && !answer.json()[field].is_null(),
                "{path}: {answer:?}"
            );
        }
        let version = subject.get(&format!("{prefix}/version")).await.json();
        assert_eq!(version["version"], "0.28.1");
    }
    let flags = subject.get("/flags").await.body;
    assert!(flags.contains("zk:\\/\\/"), "a / is escaped: {flags}");
    assert_eq!(subject.get("/no-such-thing").await.status, 404);
}

#[tokio::test]
async fn snapshots_are_answered_twice_a_second_and_the_rest_waits() {
    let subject = subject().await;
    let start = Instant::now();
    let answers = join_all((0..5).map(|_| subject.get("/metrics/snapshot"))).await;
    let took = start.elapsed();
    assert!((millis(1900)..millis(3500)).contains(&took), "{took:?}");
    for answer in &answers {
        assert!(
            answer.status == 200 && answer.body.contains("\"master\\/elected\":1.0"),
            "{answer:?}"
        );
    }
    let keys: Vec<_> = answers[0].body.split('"').skip(1).step_by(2).collect();
    assert!(keys.is_sorted(), "{keys:?}");
    // Nothing else waits.
    let start = Instant::now();
    join_all((0..10).map(|_| subject.get("/master/api/v1/scheduler"))).await;
    assert!(start.elapsed() < millis(500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_standby_says_who_leads() {
    let cloud = Cloud::start().await;
    let [first, second, _third] = cloud.masters(2).await;
    second.stands_by().await;
    let leader = format!("//host-{}:5050", first.ip);
    for path in ["/redirect", "/master/redirect"] {
        let redirect = second.get(path).await.unwrap();
        assert_eq!(
            (redirect.status, redirect.header("location")),
            (307, Some(leader.as_str())),
            "{path}"
        );
    }
    for path in ["/api/v1/scheduler", "/master/api/v1/scheduler"] {
        assert_eq!(second.get(path).await.unwrap().status, 307, "{path}");
    }
    assert_eq!(second.get("/health").await.unwrap().status, 200);
    let state = second.get("/state.json").await.unwrap();
    assert_eq!(state.json()["pid"], format!("master@{}", second.address));
    assert_eq!(state.json()["leader"], format!("master@{}", first.address));
    assert!(
        state.body.contains("\"slaves\":[]") && state.body.contains("\"frameworks\":[]"),
        "{state:?}"
    );
    assert_eq!(state.json()["elected_time"], serde_json::Value::Null);
    let snapshot = second.get("/metrics/snapshot").await.unwrap();
    assert!(snapshot.body.contains("\"master\\/elected\":0.0"), "{snapshot:?}");
    assert!(!snapshot.body.contains("registry_size_bytes"), "{snapshot:?}");
    assert!(first.metric("registrar/registry_size_bytes").await.is_f64());
}

#[tokio::test]
async fn every_request_leaves_a_line() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    master.start();
    master.leads().await;
    let lines = |master: &Master| master.log().matches("HTTP GET for /health").count();
    for count in 1..=3 {
        master.get("/health").await.unwrap();
        eventually("a line", seconds(2), async || {
            (lines(&master) == count).then_some(())
        })
        .await;
    }
}

/// By which the guard knows that its neighbour is dead.
#[tokio::test]
async fn a_silent_connection_ends_with_the_process() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    master.start();
    master.leads().await;
    for signal in ["TERM", "KILL"] {
        let mut connection = TcpStream::connect(&master.address).await.unwrap();
        let mut nothing = [0];
        let open = tokio::time::timeout(millis(300), connection.read(&mut nothing)).await;
        assert!(open.is_err(), "{open:?}");
        let sent = Instant::now();
        master.program().signal(signal);
        let read = tokio::time::timeout(seconds(2), connection.read(&mut nothing))
            .await
            .unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        assert!(sent.elapsed() < millis(300), "SIG{signal}: {:?}", sent.elapsed());
        master.program().end(seconds(2)).await;
        let refused = TcpStream::connect(&master.address).await;
        assert!(refused.is_err(), "{refused:?}");
        master.start();
        cloud.node(&master).await;
        eventually("it listens", seconds(5), async || {
            master.get("/health").await.ok()
        })
        .await;
    }
}

/// A proxy tries a request again that was cut off, at once: a port that lives on would use its tries up.
#[tokio::test]
async fn a_port_takes_nothing_that_is_not_answered() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    for signal in ["TERM", "INT", "KILL"] {
        master.start();
        master.leads().await;
        master.program().signal(signal);
        let (mut answered, mut cut_off) = (0, 0);
        while let Ok(mut connection) = TcpStream::connect(&master.address).await {
            let mut answer = Vec::new();
            let asked = connection.write_all(b"GET /health HTTP/1.0\r\n\r\n").await;
            let read = connection.read_to_end(&mut answer).await;
            if asked.is_ok() && read.is_ok() && !answer.is_empty() {
                answered += 1;
            } else {
                cut_off += 1;
            }
        }
        println!("SIG{signal}: {answered} answered, {cut_off} cut off");
        // A process that dies has its descriptors closed one after the other: one request that it had taken, and
        // then one more at a port that is not closed yet.
        assert!(cut_off <= 2, "SIG{signal}: {cut_off} cut off");
        master.program().end(seconds(2)).await;
    }
}

#[tokio::test]
async fn with_authentication_schedulers_by_http_are_forbidden() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    master.set("MESOS_AUTHENTICATE", "true");
    master.set("MESOS_CREDENTIALS", "/tmp/credentials");
    master.start();
    eventually("403", seconds(20), async || {
        (master.scheduler().await == Some(403)).then_some(())
    })
    .await;
}
