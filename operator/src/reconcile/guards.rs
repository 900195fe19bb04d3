//! Asks the guards beside the masters about their replicas of the log.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::timeout;

use crate::cloud::names::GUARD_PORT;
use crate::runtime::http::get;
use crate::sidecar::guard::replicas::{VOTES_PATH, Votes};

/// Time that a guard has for its answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the guard in this pod answers.
pub fn address(pod: &Pod) -> Option<SocketAddr> {
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    let port = u16::try_from(GUARD_PORT).ok()?;
    Some((ip, port).into())
}

/// What a guard says.
pub async fn ask(guard: SocketAddr, path: &str) -> Option<Bytes> {
    timeout(PATIENCE, get(guard, path)).await.ok()?.ok()
}

/// Whether one of the guards in these pods finds that the next leader could recover the registry now, from at least
/// `needed` replicas.
pub async fn enough_vote(pods: impl IntoIterator<Item = &Pod>, needed: i32) -> bool {
    let guards = pods.into_iter().filter_map(address);
    let votes = guards.map(async |guard| {
        let answer = ask(guard, VOTES_PATH).await?;
        serde_json::from_slice::<Votes>(&answer).ok()
    });
    let votes = join_all(votes).await;
    let enough = |votes: &Votes| votes.suffice() && i32::try_from(votes.voting).is_ok_and(|n| n >= needed);
    votes.iter().flatten().any(enough)
}
