//! ZooKeeper's answers to its four-letter words.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The role that `srvr` or `stat` shows, such as `leader`, `follower` or `standalone`; `None` from a member
/// that takes no part in a quorum.
pub fn mode(answer: &str) -> Option<&str> {
    answer
        .lines()
        .find_map(|line| line.strip_prefix("Mode: "))
        .map(str::trim)
}

/// The sessions that `cons` shows, and from which address each is used: of those that are connected to this member
/// (`dumpConnectionInfo` of NIOServerCnxn.java).
pub fn sessions(answer: &str) -> BTreeMap<i64, IpAddr> {
    answer.lines().filter_map(session).collect()
}

/// ` /10.0.0.7:40112[1](queued=0,recved=9,sent=9,sid=0x1a2f,…)`. A connection without a session has no `sid`.
fn session(line: &str) -> Option<(i64, IpAddr)> {
    let (from, about) = line.split_once('[')?;
    let (_, address) = from.split_once('/')?;
    let address: SocketAddr = address.parse().ok()?;
    let (_, id) = about.split_once(",sid=0x")?;
    let (id, _) = id.split_once(',')?;
    // As Java writes a negative one.
    let id = u64::from_str_radix(id, 16).ok()?.cast_signed();
    Some((id, address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_serving_member_shows_a_mode() {
        let serving =
            "Zookeeper version: 3.4.8--1\nLatency min/avg/max: 0/0/0\nMode: leader\nNode count: 4\n";
        assert_eq!(mode(serving), Some("leader"));
        assert_eq!(
            mode("This ZooKeeper instance is not currently serving requests\n"),
            None
        );
    }

    #[test]
    fn sessions_are_told_with_their_addresses() {
        let answer = " /10.244.0.17:41090[1](queued=0,recved=328,sent=328,sid=0x1a21f38b438000e,lop=PING,\
             est=1795820273533,to=4000,lcxid=0x3,lzxid=0xffffffffffffffff,lresp=1795820531938,llat=0)\n \
             /10.244.0.9:34948[1](queued=0,recved=1,sent=0,sid=0xfa21f38b43800003,lop=NA,est=1795820139749)\n \
             /10.244.0.9:34950[0](queued=0,recved=1,sent=0)\n\
             This ZooKeeper instance is not currently serving requests\n\
             cons is not executed because it is not in the whitelist.\n";
        let expected = [
            (0x01a2_1f38_b438_000e, IpAddr::from([10, 244, 0, 17])),
            (-0x05de_0c74_bc7f_fffd, IpAddr::from([10, 244, 0, 9])),
        ];
        assert_eq!(sessions(answer), expected.into());
    }
}
