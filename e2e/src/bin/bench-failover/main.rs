//! `make bench-failover`: how long nobody answers when a leader dies, measured through the machine's own ports on
//! the kind cloud, every way of dying in one run. Prints times, ratios and which goals are met.

mod blow;
mod picture;
mod report;
mod scenario;
mod stages;

use std::path::Path;

use mesoscloud_e2e::{Cloud, Cluster, Context as _, Result, SAMPLE_NAME, SAMPLE_NAMESPACE, operator};

use self::report::Report;
use self::scenario::Scenario;

/// Runs of each scenario, unless it is a slow one.
const RUNS: usize = 20;

const USAGE: &str = "bench-failover [--runs N] [--only NAME]";

#[tokio::main]
async fn main() -> Result {
    let (mut runs, mut only) = (RUNS, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().context(USAGE)?;
        match argument.as_str() {
            "--runs" => runs = value.parse()?,
            "--only" => only = Some(value),
            _ => return Err(mesoscloud_e2e::Error::new(USAGE)),
        }
    }
    let cluster = Cluster::connect().await?;
    operator::scale(&cluster, 1).await?;
    let cloud = Cloud::new(&cluster, SAMPLE_NAMESPACE, SAMPLE_NAME);
    let mut report = Report::default();
    for scenario in Scenario::ALL {
        if only.as_ref().is_none_or(|only| only == scenario.name()) {
            println!("{}: {}", scenario.name(), scenario.meaning());
            let measured = Box::pin(scenario.measure(&cloud, scenario.runs(runs))).await;
            // Whatever was changed for it is changed back, also when it failed.
            scenario::restore(&cloud).await?;
            report.add(scenario, measured?);
        }
    }
    println!("\n{report}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::create_dir_all(root.join("target"))?;
    std::fs::write(root.join("target/bench-failover.json"), report.json())?;
    if only.is_none() {
        std::fs::write(root.join("docs/bench-failover.svg"), picture::svg(&report))?;
    }
    Ok(())
}
