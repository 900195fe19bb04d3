//! Chaos: for a while one blow after another falls on the sample cloud, drawn at random from a seed, while clients
//! write and read. In the end nothing that was promised may be lost, and the cloud mends itself.
//!
//! `CHAOS_SECONDS` says how long (120, unless said otherwise), `CHAOS_SEED` repeats the draws of an earlier run.

mod blows;
mod hand;
mod writer;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kube::ResourceExt as _;
use mesoscloud_e2e::load::{FRESH, Load, MARATHON_PROXY, Report};
use mesoscloud_e2e::marathon::{Marathon, pod_of};
use mesoscloud_e2e::{Context as _, MARATHON, Result, docker, test};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use self::blows::Blow;
use self::hand::Hand;
use self::writer::Writer;

const API: Marathon = Marathon(MARATHON);
const APP: &str = "/e2e-chaos";
/// Pause between two blows: some fall on a cloud that has not recovered from the last.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

#[test]
fn nothing_that_was_promised_is_lost() -> Result {
    test("chaos", async |scene| {
        let lasts = Duration::from_secs(variable("CHAOS_SECONDS")?.unwrap_or(120));
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let seed = variable("CHAOS_SEED")?.unwrap_or(now);
        println!("chaos for {lasts:?}; to repeat its draws: CHAOS_SEED={seed}");
        let mut draw = StdRng::seed_from_u64(seed);

        let cloud = scene.sample().await?;
        let end = cloud.clone();
        scene.after(async move { blows::make_good(&end).await });
        let task = API.post(scene, APP).await?;
        let spared = pod_of(&cloud, &task).await?.name_any();

        let hand = Hand::watch(&cloud).await?;
        let writer = Writer::start();
        let loads = [
            Load::start(&cloud.name),
            Load::on(MARATHON_PROXY, FRESH, &cloud.name),
        ];
        let began = Instant::now();
        while began.elapsed() < lasts {
            let blow = Blow::drawn(&mut draw);
            let victim = draw.random::<u32>();
            let hit = blow.fall(&cloud, &spared, victim).await;
            println!("{:6.1} s  {blow:?}: {}", began.elapsed().as_secs_f64(), said(hit));
            tokio::time::sleep(draw.random_range(PAUSE.0..PAUSE.1)).await;
        }

        cloud.settled().await.context("Ready without help")?;
        println!(
            "{:6.1} s  the cloud is Ready again",
            began.elapsed().as_secs_f64()
        );
        for load in loads {
            let report: Report = load.stop().await?;
            println!("{report}");
            assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
            assert!(report.last_leader().is_some(), "nobody ever answered");
        }
        let (acknowledged, lost) = writer.stop().await?;
        println!("{acknowledged} writes acknowledged, {} of them lost", lost.len());
        // Most of the time there is a quorum, and then there are up to twenty a second.
        assert!(
            acknowledged >= usize::try_from(lasts.as_secs())?,
            "hardly anything was written"
        );
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        hand.never_two_at_once().await?;
        // Neither its slave nor its container was touched.
        assert_eq!(API.healthy(APP, "").await?.id, task.id, "the app was moved");
        let containers = docker::of_task(&task.id).await?;
        assert!(containers.len() == 1 && containers[0].running, "{containers:?}");
        Ok(())
    })
}

fn variable(name: &str) -> Result<Option<u64>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value.parse().context(name)?)),
        Err(_) => Ok(None),
    }
}

/// A blow may miss: its victim may be down already.
fn said(hit: Result<String>) -> String {
    hit.unwrap_or_else(|error| format!("missed: {error}"))
}
