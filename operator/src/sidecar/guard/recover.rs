//! The one message by which a replica of the masters' log tells how far it is.
//!
//! No HTTP endpoint of Mesos 0.28.1 does. A recovering replica asks its peers this way, and whoever asks is
//! answered, without any side effect (src/log/replica.cpp:671, src/messages/log.proto @ 0.28.1;
//! docs/originals.md, "Asking a replica whether it votes").

/// Path at which the answer arrives.
pub const ANSWER_PATH: &str = "/guard/mesos.internal.log.RecoverResponse";

/// Path at which the guard tells [`ReplicaStatus::word`] of its neighbour's.
pub const WORD_PATH: &str = "/replica";
/// The word for a replica that votes.
pub const VOTING: &str = "voting";

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaStatus {
    /// It votes; its log spans these positions.
    Voting {
        /// First position.
        begin: u64,
        /// Last position.
        end: u64,
    },
    /// It is catching up.
    Recovering,
    /// A log is being initialised.
    Starting,
    /// It has no log.
    Empty,
}

impl ReplicaStatus {
    /// The word for it, as the guard tells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Voting { .. } => VOTING,
            Self::Recovering => "recovering",
            Self::Starting => "starting",
            Self::Empty => "empty",
        }
    }
}

/// The question to the replica at `to`, from the listener at `own` (`ip:port`): an empty `RecoverRequest`. The
/// answer comes on a connection of its own.
pub fn request(to: &str, own: &str) -> String {
    format!(
        "POST /log-replica(1)/mesos.internal.log.RecoverRequest HTTP/1.1\r\n\
         User-Agent: libprocess/guard@{own}\r\n\
         Connection: Keep-Alive\r\n\
         Host: {to}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// Who sent a message: `ip:port` of `libprocess/NAME@ip:port` or `NAME@ip:port`.
pub fn sender(header: &str) -> Option<std::net::SocketAddr> {
    header.rsplit_once('@')?.1.parse().ok()
}

/// Reads a `RecoverResponse`: field 1 the status, 2 and 3 begin and end of the log, all of them varints.
pub fn response(mut body: &[u8]) -> Option<ReplicaStatus> {
    let (mut status, mut begin, mut end) = (None, 0, 0);
    while !body.is_empty() {
        let tag = varint(&mut body)?;
        let value = varint(&mut body)?;
        match tag {
            0x08 => status = Some(value),
            0x10 => begin = value,
            0x18 => end = value,
            // No other field is a varint.
            _ => return None,
        }
    }
    match status? {
        1 => Some(ReplicaStatus::Voting { begin, end }),
        2 => Some(ReplicaStatus::Recovering),
        3 => Some(ReplicaStatus::Starting),
        4 => Some(ReplicaStatus::Empty),
        _ => None,
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let table: [(&[u8], Option<ReplicaStatus>); 8] = [
            (
                &[0x08, 1, 0x10, 0, 0x18, 0xac, 0x02],
                Some(ReplicaStatus::Voting { begin: 0, end: 300 }),
            ),
            (&[0x08, 2], Some(ReplicaStatus::Recovering)),
            (&[0x08, 3], Some(ReplicaStatus::Starting)),
            (&[0x08, 4], Some(ReplicaStatus::Empty)),
            (&[0x08, 9], None),
            (&[], None),
            (&[0x08], None),
            (&[0x08, 0xff, 0xff], None),
        ];
        for (body, expected) in table {
            assert_eq!(response(body), expected, "{body:?}");
        }
    }

    #[test]
    fn senders_are_read() {
        let expected = "10.0.0.7:5050".parse().ok();
        assert_eq!(sender("libprocess/log-replica(1)@10.0.0.7:5050"), expected);
        assert_eq!(sender("log-replica(1)@10.0.0.7:5050"), expected);
        for garbage in ["", "curl/8", "x@", "x@host:1"] {
            assert_eq!(sender(garbage), None);
        }
    }
}
