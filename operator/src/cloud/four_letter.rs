//! ZooKeeper's answers to its four-letter words.

/// The role that `srvr` or `stat` shows, such as `leader`, `follower` or `standalone`; `None` from a member
/// that takes no part in a quorum.
pub fn mode(answer: &str) -> Option<&str> {
    answer
        .lines()
        .find_map(|line| line.strip_prefix("Mode: "))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::mode;

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
}
