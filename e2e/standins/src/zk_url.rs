//! `zk://[user:password@]host:port,…/path`, as Mesos and Marathon read it (src/zookeeper/url.hpp @ 0.28.1).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A name server that does not answer is asked again after this, and for so long (src/zookeeper/zookeeper.cpp @
/// 0.28.1:104–133: `EINVAL` is what the C client makes of it).
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_FOR: Duration = Duration::from_secs(600);

/// Where ZooKeeper is, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZkUrl {
    /// `host:port` of each server.
    pub hosts: Vec<String>,
    /// `user:password`, if there is one.
    pub auth: Option<String>,
    /// The path; never `/`.
    pub path: String,
}

impl ZkUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// In words, when it is none.
    pub fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .trim()
            .strip_prefix("zk://")
            .ok_or("Expecting 'zk://' at the beginning of the URL")?;
        let (servers, path) = rest
            .split_once('/')
            .ok_or("Expecting a (chroot) path for ZooKeeper")?;
        let (auth, servers) = match servers.rsplit_once('@') {
            Some((auth, servers)) => (Some(auth.to_owned()), servers),
            None => (None, servers),
        };
        let path = format!("/{}", path.trim_end_matches('/'));
        if path == "/" {
            return Err("Expecting a (chroot) path for ZooKeeper ('/' is not supported)".to_owned());
        }
        let hosts: Vec<_> = servers.split(',').map(str::to_owned).collect();
        let has_port = |host: &String| {
            host.rsplit_once(':')
                .is_some_and(|(h, p)| !h.is_empty() && p.parse::<u16>().is_ok())
        };
        if let Some(bad) = hosts.iter().find(|host| !has_port(host)) {
            return Err(format!("no port in '{bad}'"));
        }
        Ok(Self { hosts, auth, path })
    }

    /// The addresses of every host, in order.
    ///
    /// # Errors
    /// When a single one cannot be resolved: the C client of Mesos 0.28.1 then refuses the whole list
    /// (src/c/src/zookeeper.c @ release-3.4.5:576–600).
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let mut addresses = Vec::new();
        for host in &self.hosts {
            addresses.extend(resolve(host).await.map_err(|error| format!("{host}: {error}"))?);
        }
        Ok(addresses)
    }
}

async fn resolve(host: &str) -> std::io::Result<Vec<SocketAddr>> {
    let asked = Instant::now();
    loop {
        match tokio::net::lookup_host(host).await {
            Ok(found) => return Ok(found.filter(SocketAddr::is_ipv4).collect()),
            Err(error) if is_temporary(&error.to_string()) && asked.elapsed() < AGAIN_FOR => {
                sleep(AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// `EAI_AGAIN`, in the words of glibc or of musl: the standard library does not hand out the number.
fn is_temporary(error: &str) -> bool {
    error.contains("Temporary failure in name resolution") || error.contains("Try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_mesos_reads_them() {
        let url = ZkUrl::parse("zk://u:p@a:2181,b:2182/mesos/my_mesos").unwrap();
        assert_eq!(url.hosts, ["a:2181", "b:2182"]);
        assert_eq!(url.auth.as_deref(), Some("u:p"));
        assert_eq!(url.path, "/mesos/my_mesos");
        for bad in [
            "a:2181/mesos",
            "zk://a:2181",
            "zk://a:2181/",
            "zk://a/mesos",
            "zk://a:x/mesos",
        ] {
            assert!(ZkUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
