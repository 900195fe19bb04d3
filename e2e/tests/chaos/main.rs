//! Chaos: for a while one blow after another falls on the sample cloud, drawn at random from a seed, while clients
//! write and read. In the end nothing that was promised may be lost, and the cloud mends itself.
//!
//! `CHAOS_SECONDS` says how long (120, unless said otherwise), `CHAOS_SEED` repeats the draws of an earlier run.

mod blows;
mod hand;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kube::ResourceExt as _;
use mesoscloud_e2e::cloud::READY;
use mesoscloud_e2e::load::{FRESH, LONGEST, Load, MARATHON_PROXY, Report};
use mesoscloud_e2e::marathon::{Marathon, pod_of};
use mesoscloud_e2e::scene::LIMIT;
use mesoscloud_e2e::writer::Writer;
use mesoscloud_e2e::{Context as _, Error, MARATHON, Result, ZOOKEEPER, docker, test};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use self::blows::{Blow, Fall};
use self::hand::Hand;

const API: Marathon = Marathon(MARATHON);
const APP: &str = "/e2e-chaos";
/// Pause between two blows: some fall on a cloud that has not recovered from the last.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));
/// Time for a proxy's Service to lead to it once it is ready.
const SERVED: Duration = Duration::from_secs(10);
/// From then on every request is answered; for so long it is looked at.
const CALM: Duration = Duration::from_secs(2);

#[test]
fn nothing_that_was_promised_is_lost() -> Result {
    test("chaos", async |scene| {
        let lasts = Duration::from_secs(variable("CHAOS_SECONDS")?.unwrap_or(120));
        let most = LONGEST.min(LIMIT).saturating_sub(READY);
        if lasts > most {
            return Err(Error::new(format!(
                "CHAOS_SECONDS is more than {}: neither the load nor the test lasts for that and the recovery",
                most.as_secs()
            )));
        }
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
        let writer = Writer::start(ZOOKEEPER);
        let loads = [
            Load::start(&cloud.name),
            Load::on(MARATHON_PROXY, FRESH, &cloud.name),
        ];
        let began = Instant::now();
        let mut rolled = false;
        while began.elapsed() < lasts {
            let blow = Blow::drawn(&mut draw);
            let victim = draw.random::<u32>();
            let fall = blow
                .fall(&cloud, &spared, victim)
                .await
                .context(format!("{blow:?}"))?;
            rolled |= matches!((blow, &fall), (Blow::Rolled, Fall::Hit(_)));
            println!(
                "{:6.1} s  {blow:?}: {}",
                began.elapsed().as_secs_f64(),
                said(fall)
            );
            tokio::time::sleep(draw.random_range(PAUSE.0..PAUSE.1)).await;
        }

        cloud.settled().await.context("Ready without help")?;
        println!(
            "{:6.1} s  the cloud is Ready again",
            began.elapsed().as_secs_f64()
        );
        let settled = Instant::now();
        for load in &loads {
            load.answered_after(settled, SERVED).await?;
        }
        let calm = Instant::now();
        tokio::time::sleep(CALM).await;
        for load in loads {
            let report: Report = load.stop().await?;
            println!("{report}");
            assert!(report.wrong().is_empty(), "{:#?}", report.wrong());
            let since = calm.saturating_duration_since(report.began);
            let asked = report.samples.iter().filter(|s| s.sent > since);
            let (answered, lost): (Vec<_>, Vec<_>) = asked.partition(|s| s.leader().is_some());
            assert!(
                lost.is_empty(),
                "the cloud is Ready, and no leader answers: {lost:#?}"
            );
            assert!(!answered.is_empty(), "nobody asked any more");
        }
        let written = writer.stop().await?;
        println!(
            "{} writes acknowledged, {} of them lost, the longest pause {:.1?}",
            written.acknowledged,
            written.lost.len(),
            written.longest_pause
        );
        // Most of the time there is a quorum, and then there are up to twenty a second.
        assert!(
            written.acknowledged >= usize::try_from(lasts.as_secs())?,
            "hardly anything was written"
        );
        assert!(
            written.lost.is_empty(),
            "acknowledged and lost: {:?}",
            written.lost
        );
        hand.never_two_at_once(rolled).await?;
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

fn said(fall: Fall) -> String {
    match fall {
        Fall::Hit(victim) => victim,
        Fall::Missed(why) => format!("missed: {why}"),
    }
}
