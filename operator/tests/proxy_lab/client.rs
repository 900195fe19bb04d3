//! A client under steady load, and what it saw.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Answer, request};

/// A client that asks 200 times a second, each time on a new connection, until it is told to end.
pub struct Client(
    tokio::task::JoinHandle<Vec<(Option<Answer>, Duration)>>,
    tokio::sync::oneshot::Sender<()>,
);

impl Client {
    pub fn start(port: u16) -> Self {
        Self::with(port, "GET", |_| "/".to_owned())
    }

    /// Asks so, with the path that each number has.
    pub fn with(port: u16, method: &'static str, path: fn(usize) -> String) -> Self {
        let (end, mut ended) = tokio::sync::oneshot::channel();
        Self(
            tokio::spawn(async move {
                let mut pace = interval(Duration::from_millis(5));
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut requests = JoinSet::new();
                loop {
                    let path = path(requests.len());
                    let one = async move {
                        let begun = Instant::now();
                        (request(port, method, &path).await, begun.elapsed())
                    };
                    tokio::select! {
                        _ = pace.tick() => { requests.spawn(one); }
                        _ = &mut ended => return requests.join_all().await,
                    }
                }
            }),
            end,
        )
    }

    /// Ends it, and counts what came: `200 master-0 Leader`, `503`, `nothing`.
    pub async fn end(self) -> BTreeMap<String, usize> {
        self.end_timed().await.0
    }

    /// The same, with the longest time that an answer took.
    pub async fn end_timed(self) -> (BTreeMap<String, usize>, Duration) {
        self.1.send(()).unwrap();
        let mut counts = BTreeMap::new();
        let mut slowest = Duration::ZERO;
        for (answer, took) in self.0.await.unwrap() {
            let what = match answer {
                Some(Answer {
                    status: 200, body, ..
                }) => format!("200 {body}"),
                Some(Answer { status, .. }) => status.to_string(),
                None => "nothing".to_owned(),
            };
            *counts.entry(what).or_default() += 1;
            slowest = slowest.max(took);
        }
        (counts, slowest)
    }
}

pub fn assert_no_standby(counts: &BTreeMap<String, usize>) {
    assert!(
        !counts
            .keys()
            .any(|what| what.starts_with("200") && !what.ends_with("Leader")),
        "a standby's answer was served: {counts:?}"
    );
}
