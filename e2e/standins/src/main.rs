//! `mesoscloud-standin master|slave|marathon`, or under the name of the program it stands in for.

use std::process::ExitCode;

use mesoscloud_standins::{marathon, master, slave};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let called = arguments.next().unwrap_or_default();
    let name = called.rsplit('/').next().unwrap_or_default().to_owned();
    let role = match name.as_str() {
        "mesos-master" => "master".to_owned(),
        "mesos-slave" => "slave".to_owned(),
        "marathon" => name,
        _ => arguments.next().unwrap_or_default(),
    };
    let original = match role.as_str() {
        "master" => "Mesos 0.28.1 master",
        "slave" => "Mesos 0.28.1 slave",
        "marathon" => "Marathon 1.1.1",
        _ => {
            eprintln!("usage: mesoscloud-standin master|slave|marathon");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    tracing::info!("mesoscloud-standin: this is a stand-in for the real {role} ({original})");
    match role.as_str() {
        "master" => master::run().await,
        "slave" => slave::run().await,
        _ => marathon::run().await,
    }
}
