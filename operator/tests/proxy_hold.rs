//! The agent beside a real HAProxy: what becomes of requests that find no leader.
#![allow(clippy::unwrap_used, clippy::panic)]

mod proxy_lab;

use std::time::Duration;

use mesoscloud_operator::cloud::haproxy::{Following, HOLD_LIMIT, Kind};
use proxy_lab::client::{Client, assert_no_standby};
use proxy_lab::fakes::Role;
use proxy_lab::{Lab, request};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Three masters, of which the first, who led, has just died. Requests wait so long.
async fn headless(hold_timeout_ms: u32) -> Lab {
    let following = Following {
        place: None,
        hold_timeout_ms,
    };
    let mut lab = Lab::start_with(Kind::Mesos, 3, following).await;
    lab.fakes[0].kill().await;
    lab.until("nobody leads", async |lab| !lab.is_up("master-0").await)
        .await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waited_in_vain_is_told_so() {
    let lab = headless(800).await;
    for method in ["GET", "HEAD", "OPTIONS"] {
        let begun = Instant::now();
        let answer = request(lab.port, method, "/").await.unwrap();
        let took = begun.elapsed();
        println!("{method}: {took:?}");
        assert!(took >= Duration::from_millis(800), "{method}: {took:?}");
        assert!(
            took < Duration::from_millis(1600),
            "held once, not again and again: {took:?}"
        );
        assert_eq!((answer.status, answer.server), (503, None));
        assert!(
            answer.head.to_ascii_lowercase().contains("retry-after: 1"),
            "{}",
            answer.head
        );
        let body = if method == "HEAD" {
            ""
        } else {
            "No Mesos master leads at the moment.\n"
        };
        assert_eq!(answer.body, body);
    }
    assert_eq!(
        lab.metric("mesoscloud_proxy_holds_total{outcome=\"TimedOut\"} "),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_sent_twice_is_refused_at_once() {
    let lab = headless(5000).await;
    for method in ["POST", "PUT", "DELETE"] {
        let begun = Instant::now();
        let answer = request(lab.port, method, "/once").await.unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "{method}: {took:?}");
        assert_eq!((answer.status, answer.server), (503, None));
        assert!(
            answer.head.to_ascii_lowercase().contains("retry-after: 1"),
            "{}",
            answer.head
        );
    }
    assert!(lab.fakes.iter().all(|fake| fake.posts().is_empty()));
    lab.fakes[1].become_(Role::Leader);
    lab.until_served_by("master-1").await;
    request(lab.port, "POST", "/once").await.unwrap();
    assert_eq!(lab.fakes[1].posts(), ["/once"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_lives_is_back_as_soon_as_anything_asks_for_it() {
    const ROUNDS: usize = 12;
    let lab = Lab::start(Kind::Mesos, 3).await;
    let switched = "mesoscloud_proxy_applied_seconds_count{cause=\"Leader\"} ";
    let told = lab.metric(switched);
    for _ in 0..ROUNDS {
        // As one connection that failed does.
        lab.command("set server mesos/master-0 health down")
            .await
            .unwrap();
        request(lab.port, "POST", "/once").await.unwrap();
        lab.until("the leader is back", async |lab| lab.is_up("master-0").await)
            .await;
    }
    // HAProxy's own check is faster now and then, and the agent looks by itself once a second.
    let told = lab.metric(switched) - told;
    println!("told by the agent: {told} of {ROUNDS}");
    assert!(told > ROUNDS * 2 / 3, "told by the agent: {told} of {ROUNDS}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_wait_and_all_of_them_are_served() {
    const TOO_MANY: usize = 50;
    let lab = headless(30_000).await;
    let mut waiting = JoinSet::new();
    for _ in 0..HOLD_LIMIT {
        waiting.spawn(request(lab.port, "GET", "/"));
    }
    lab.until("all of them are held", async |lab| {
        lab.metric("mesoscloud_proxy_held ") == HOLD_LIMIT
    })
    .await;
    for _ in 0..TOO_MANY {
        let answer = lab.get("/").await.unwrap();
        assert_eq!((answer.status, answer.server), (503, None));
        assert!(
            answer.head.to_ascii_lowercase().contains("retry-after: 1"),
            "{}",
            answer.head
        );
    }
    assert_eq!(
        lab.metric("mesoscloud_proxy_holds_total{outcome=\"Refused\"} "),
        TOO_MANY
    );
    lab.tell(Some(1));
    lab.fakes[1].become_(Role::Leader);
    let begun = Instant::now();
    let answers = waiting.join_all().await;
    println!("{HOLD_LIMIT} released: {:?}", begun.elapsed());
    let served = answers
        .iter()
        .flatten()
        .filter(|answer| answer.body == "master-1 Leader");
    assert_eq!(served.count(), HOLD_LIMIT);
    assert_eq!(lab.metric("mesoscloud_proxy_held "), 0);
    // On a slow machine some had to wait twice.
    assert!(lab.metric("mesoscloud_proxy_holds_total{outcome=\"Released\"} ") >= HOLD_LIMIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_agent_checks_follow_and_haproxy_says_itself_that_nobody_leads() {
    let mut lab = Lab::start(Kind::Mesos, 3).await;
    lab.kill_agent().await;
    let client = Client::start(lab.port);
    lab.fakes[0].kill().await;
    lab.fakes[1].become_(Role::Leader);
    println!("checks alone: {:?}", lab.until_served_by("master-1").await);
    let (counts, slowest) = client.end_timed().await;
    println!("{counts:?}, slowest {slowest:?}");
    assert_no_standby(&counts);
    lab.fakes[1].kill().await;
    for method in ["GET", "POST"] {
        let begun = Instant::now();
        let answer = request(lab.port, method, "/").await.unwrap();
        println!("{method} while nobody leads: {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!((answer.status, answer.server), (503, None));
        assert!(
            answer.head.to_ascii_lowercase().contains("retry-after: 1"),
            "{}",
            answer.head
        );
    }
}
