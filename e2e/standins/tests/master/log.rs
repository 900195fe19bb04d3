//! The replicated log, and what it says of itself.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::endpoints::subject;
use crate::harness::{millis, seconds};
use crate::support::{Asker, Cloud, Master, NAME, Standing, standing};

const EMPTY: Option<Standing> = Some(Standing {
    status: 4,
    begin: None,
    end: None,
});

#[tokio::test]
async fn a_fresh_log_needs_all_masters_at_once() {
    let cloud = Cloud::start().await;
    let [mut first, mut second, mut third] = std::array::from_fn(|_| cloud.master(2));
    first.start();
    second.start();
    let asker = Asker::new().await;
    cloud.node(&first).await;
    cloud.node(&second).await;
    // Enough for a round or two of two that ask each other.
    tokio::time::sleep(seconds(3)).await;
    for master in [&first, &second] {
        assert_eq!(asker.ask(&master.address).await, EMPTY);
    }
    let answers = [first.scheduler().await, second.scheduler().await];
    assert!(
        answers.contains(&Some(503)) && answers.contains(&Some(307)),
        "{answers:?}"
    );
    let started = Instant::now();
    third.start();
    for master in [&first, &second, &third] {
        master.votes().await;
    }
    // Real ones: 1.5 to 3.4 s (docs/originals.md), or a round of the recovery more.
    println!(
        "a fresh log of three votes {:?} after the start of the last",
        started.elapsed()
    );
    let leader = if answers[0] == Some(503) { &first } else { &second };
    leader.leads().await;
}

#[tokio::test]
async fn a_quorum_takes_a_lost_disk_in() {
    let cloud = Cloud::start().await;
    let [mut first, mut second, third] = cloud.masters(2).await;
    for disk_is_lost in [true, false] {
        cloud.kill(&mut second).await;
        if disk_is_lost {
            second.wipe();
        }
        let started = Instant::now();
        second.start();
        second.votes().await;
        // Real ones: 0.4 s and 0.2 s (docs/originals.md).
        let expected = if disk_is_lost { millis(350) } else { millis(150) };
        println!("disk lost: {disk_is_lost}; votes after {:?}", started.elapsed());
        assert!((expected..seconds(5)).contains(&started.elapsed()));
        cloud.node(&second).await;
    }
    // Two are enough once the log is there.
    cloud.kill(&mut first).await;
    third.leads().await;
    second.stands_by().await;
}

#[tokio::test]
async fn a_replica_answers_on_a_new_connection_and_only_there() {
    let subject = subject().await;
    let asker = Asker::towards(&subject.address).await;
    let mut connection = TcpStream::connect(&subject.address).await.unwrap();
    for round in 1..=2 {
        connection.write_all(asker.request().as_bytes()).await.unwrap();
        let answer = asker
            .answer()
            .await
            .unwrap_or_else(|| panic!("no answer to request {round}"));
        let address = &subject.address;
        let head = format!(
            "POST /{NAME}/mesos.internal.log.RecoverResponse HTTP/1.1\r\n\
             User-Agent: libprocess/log-replica(1)@{address}\r\n\
             Libprocess-From: log-replica(1)@{address}\r\n\
             Connection: Keep-Alive\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with(&head), "{text:?}");
        let standing = standing(&answer);
        assert!(
            standing.status == 1 && standing.begin.unwrap() <= standing.end.unwrap(),
            "{standing:?}"
        );
    }
    let mut nothing = [0];
    let read = tokio::time::timeout(millis(500), connection.read(&mut nothing)).await;
    assert!(
        read.is_err(),
        "nothing is said on the connection that asks: {read:?}"
    );
}

/// Its log grows with every leader and every slave, and says how far it is.
#[tokio::test]
async fn every_leader_writes() {
    let cloud = Cloud::start().await;
    let mut master = cloud.master(1);
    let asker = Asker::new().await;
    let mut ends = Vec::new();
    for _ in 0..2 {
        master.start();
        master.leads().await;
        ends.extend(asker.ask(&master.address).await.unwrap().end);
        cloud.kill(&mut master).await;
    }
    assert!(ends[0] > 0 && ends[1] > ends[0], "{ends:?}");
}

#[tokio::test]
async fn three_at_once_start_a_fresh_log() {
    let cloud = Cloud::start().await;
    let mut masters: [Master; 3] = std::array::from_fn(|_| cloud.master(2));
    let started = Instant::now();
    for master in &mut masters {
        master.start();
    }
    for master in &masters {
        master.votes().await;
    }
    // Real ones: 1.5 to 3.4 s (docs/originals.md), or a round of the recovery more.
    println!(
        "a fresh log of three started at once votes after {:?}",
        started.elapsed()
    );
}
