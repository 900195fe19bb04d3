//! `make bench-failover`: how long nobody answers when a leader dies, measured through the machine's own ports on
//! the kind cloud, every way of dying in one run. Prints times, ratios and which goals are met; fails when one is not.

mod blow;
mod picture;
mod report;
mod scenario;
mod stages;

use std::path::Path;

use mesoscloud_e2e::{
    Cloud, Cluster, Context as _, Error, Result, SAMPLE_NAME, SAMPLE_NAMESPACE, docker, operator,
};

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
            _ => return Err(Error::new(USAGE)),
        }
    }
    let cluster = Cluster::connect().await?;
    operator::scale(&cluster, 1).await?;
    let cloud = Cloud::new(&cluster, SAMPLE_NAMESPACE, SAMPLE_NAME);
    let mut report = Report::of(programs(&cloud).await?);
    println!("{}", report.programs);
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
    let missed = report.missed();
    if missed.is_empty() {
        return Ok(());
    }
    Err(Error::new(format!(
        "goals that were missed: {}",
        missed.join("; ")
    )))
}

/// What the images of masters and Marathons say that they are.
async fn programs(cloud: &Cloud) -> Result<String> {
    let mut programs = Vec::new();
    for component in ["master", "marathon"] {
        let pods = cloud.pods(Some(component)).await?;
        let pod = pods.first().context("the sample is not there")?;
        let image = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.containers[0].image.as_deref());
        let image = image.context("no image")?;
        programs.push(format!("{image}: {}", docker::what(image).await?));
    }
    Ok(programs.join("; "))
}
