//! Contends for the leadership, and follows who has it (src/master/contender.cpp, detector.cpp @ 0.28.1). The two
//! have a session each, as in the original.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use zookeeper_client::{Error, OneshotWatcher};

use super::info::MasterInfo;
use super::log::fatal;
use super::{Leadership, Master};
use crate::group::Group;

/// An elected master that has not read its registry by then ends (flags.cpp @ 0.28.1:93–103).
const REGISTRY_FETCH: Duration = Duration::from_secs(60);
/// What the original's registry takes beyond the rounds of the log: with these, the slowest that was seen on a quiet
/// machine (docs/originals.md: 0.061 to 0.120 s from the end of the old leader's node to the first answer of the new one).
const REGISTRY: Duration = Duration::from_millis(100);
const LABEL: &str = "json.info";

/// Contends again and again. Ends only in failure.
pub async fn contend(master: &Master) -> String {
    loop {
        let group = match Group::open(&master.settings.zk, &master.settings.zk.path).await {
            Ok(group) => group,
            Err(error) => return error,
        };
        if let Err(error) = group.during(stay(&group, master)).await {
            return format!("Failed to contend: {error}");
        }
        lost_candidacy(master);
    }
}

async fn stay(group: &Group, master: &Master) -> Error {
    loop {
        if let Err(error) = be_candidate(group, &master.info).await {
            return error;
        }
        lost_candidacy(master);
    }
}

/// Until the own node is gone.
async fn be_candidate(group: &Group, info: &MasterInfo) -> Result<(), Error> {
    let data = serde_json::to_vec(info).unwrap_or_default();
    let own = group.join(Some(LABEL), &data).await?;
    loop {
        let (members, changed) = group.members().await?;
        if !members.contains(&own) {
            return Ok(());
        }
        changed.changed().await;
    }
}

/// A leader ends; a standby contends again (master.cpp @ 0.28.1:1681–1696).
fn lost_candidacy(master: &Master) {
    if *master.leadership.borrow() != Leadership::Standby {
        fatal("Lost leadership... committing suicide!");
    }
    tracing::info!("Lost candidacy as a follower... Contend again");
}

/// Follows who leads, and leads itself when it is its turn. Ends only in failure.
pub async fn detect(master: &Arc<Master>) -> String {
    loop {
        let group = match Group::open(&master.settings.zk, &master.settings.zk.path).await {
            Ok(group) => group,
            Err(error) => return error,
        };
        if let Err(error) = group.during(follow(&group, master)).await {
            return format!("Failed to detect the leading master: {error}; committing suicide!");
        }
        // Without a session all members are gone (group.cpp @ 0.28.1, `expired`).
        detected(master, None);
    }
}

async fn follow(group: &Group, master: &Arc<Master>) -> Error {
    loop {
        match look(group).await {
            Ok((Some(leader), changed)) => {
                detected(master, leader);
                changed.changed().await;
            }
            // The first one went in between.
            Ok((None, _)) => {}
            Err(error) => return error,
        }
    }
}

/// Who leads now, if anybody; the outer `None` when that cannot be told.
async fn look(group: &Group) -> Result<(Option<Option<MasterInfo>>, OneshotWatcher), Error> {
    let (members, changed) = group.members().await?;
    let leader = match members.first() {
        Some(first) => group.data(first).await?.map(|data| Some(read(&data))),
        None => Some(None),
    };
    Ok((leader, changed))
}

/// Mesos itself ends on a leading node that it cannot read, whoever put it there (detector.cpp @ 0.28.1:428–476).
fn read(data: &[u8]) -> MasterInfo {
    match serde_json::from_slice(data) {
        Ok(info) => info,
        Err(error) => fatal(&format!(
            "Failed to detect the leading master: Failed to parse data: {error}; committing suicide!"
        )),
    }
}

/// master.cpp @ 0.28.1:1700–1760.
fn detected(master: &Arc<Master>, leader: Option<MasterInfo>) {
    let led = *master.leadership.borrow() != Leadership::Standby;
    let leads = leader.as_ref() == Some(&master.info);
    if let Some(leader) = &leader {
        tracing::info!("The newly elected leader is {} with id {}", leader.pid, leader.id);
    } else {
        tracing::info!("No master was elected");
    }
    master.leader.send_replace(leader);
    if led && !leads {
        fatal("Lost leadership... committing suicide!");
    }
    if leads && !led {
        tracing::info!("Elected as the leading master!");
        master.elected();
        tokio::spawn(recover(Arc::clone(master)));
    }
}

async fn recover(master: Arc<Master>) {
    let fetch = async {
        let registry = master.log.elect().await;
        sleep(REGISTRY).await;
        registry
    };
    match timeout(REGISTRY_FETCH, fetch).await {
        Ok(registry) => {
            tracing::info!("Recovered {} slaves from the registry", registry.len());
            master.recovered(&registry);
        }
        Err(_) => fatal("Recovery failed: Failed to recover registrar: Failed to perform fetch within 1mins"),
    }
}
