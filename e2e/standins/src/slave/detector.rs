//! Where the leading master is: a slave and the libmesos in Marathon look for it in ZooKeeper in the same way
//! (`master/detector.cpp`, `zookeeper/group.cpp` @ 0.28.1), or are given it as `host:port`.

use serde::Deserialize;
use tokio::sync::watch;
use zookeeper_client as zk;

use crate::group::Group;
use crate::zk_url::ZkUrl;

/// The leading master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// `ip:port`.
    pub address: String,
    /// Its hostname.
    pub hostname: String,
    /// Its node: the same address with another node is another master.
    pub node: String,
}

/// The part of a master's node that is used.
#[derive(Deserialize)]
struct MasterInfo {
    address: Address,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
    port: u16,
    hostname: Option<String>,
}

/// Begins to look; the receiver shows the present leader. Fails when `place` cannot be one.
pub fn detect(place: &str) -> Result<watch::Receiver<Option<Master>>, String> {
    let (sender, receiver) = watch::channel(None);
    if place.starts_with("zk://") {
        let url = ZkUrl::parse(place)?;
        // A `Group`'s futures cannot move between threads, so they get one of their own; it ends when nobody wants
        // to know any more.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = follow(&url, &sender) => {}
                    () = sender.closed() => {}
                }
            });
        });
    } else {
        let address = place.rsplit_once('@').map_or(place, |(_, address)| address);
        let (host, port) = address
            .rsplit_once(':')
            .ok_or("Expecting 'zk://…' or 'host:port'")?;
        port.parse::<u16>().map_err(|_| format!("'{port}' is no port"))?;
        let (address, hostname) = (address.to_owned(), host.to_owned());
        sender.send_replace(Some(Master {
            address,
            hostname,
            node: String::new(),
        }));
        // It never changes, so the sender may go; a closed channel keeps its value.
    }
    Ok(receiver)
}

async fn follow(url: &ZkUrl, sender: &watch::Sender<Option<Master>>) {
    loop {
        // At every new handle; one name that does not resolve ends the process (docs/originals.md, "One name that does not resolve").
        let group = Group::open(url, &url.path)
            .await
            .unwrap_or_else(|error| give_up(&error));
        let work = async {
            loop {
                if let Err(error) = look(&group, sender).await {
                    return error;
                }
            }
        };
        group.during(work).await.unwrap_or_else(|error| give_up(&error));
        // Only now that the session is over: a mere disconnection leaves the known leader as it is.
        announce(sender, None);
    }
}

fn give_up(error: &str) -> ! {
    tracing::info!("Failed to detect a master: {error}");
    std::process::exit(1);
}

/// Finds the present leader and waits until the candidates change.
async fn look(group: &Group, sender: &watch::Sender<Option<Master>>) -> Result<(), zk::Error> {
    let (members, changed) = group.members().await?;
    let leader = match members.into_iter().next() {
        None => None,
        Some(member) => match group.data(&member).await? {
            Some(data) => master(member.node, &data),
            // Gone in between: look again.
            None => return Ok(()),
        },
    };
    announce(sender, leader);
    changed.changed().await;
    Ok(())
}

fn master(node: String, data: &[u8]) -> Option<Master> {
    let address = serde_json::from_slice::<MasterInfo>(data).ok()?.address;
    Some(Master {
        address: format!("{}:{}", address.ip, address.port),
        hostname: address.hostname.unwrap_or(address.ip),
        node,
    })
}

fn announce(sender: &watch::Sender<Option<Master>>, leader: Option<Master>) {
    sender.send_if_modified(|known| {
        let changed = *known != leader;
        if changed {
            if let Some(master) = &leader {
                tracing::info!("New master detected at master@{}", master.address);
            } else {
                tracing::info!("No master");
            }
            *known = leader;
        }
        changed
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_a_master_for_ever() {
        let master = detect("master@10.0.0.1:5050").unwrap();
        assert_eq!(master.borrow().as_ref().unwrap().address, "10.0.0.1:5050");
        for bad in ["zk://a:2181", "zk://a/mesos", "10.0.0.1", "a:b"] {
            assert!(detect(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_master_is_what_its_node_says() {
        let data = br#"{"id":"x","address":{"ip":"10.0.0.1","port":5050,"hostname":"m1"},"port":5050}"#;
        let found = master("json.info_0000000001".to_owned(), data).unwrap();
        assert_eq!(
            (found.address.as_str(), found.hostname.as_str()),
            ("10.0.0.1:5050", "m1")
        );
        assert_eq!(master("info_0000000001".to_owned(), b"protobuf"), None);
    }
}
