//! What a replica of the log answers to anybody who asks how far it is: one message of libprocess, byte for byte as
//! the original sends it (process.cpp @ 0.28.1, `MessageEncoder`; src/messages/log.proto).

use super::log::replica::{Record, Status};

/// The message to the process `to`, from the replica at `own` (`ip:port`).
pub fn message(to: &str, own: &str, record: &Record) -> Vec<u8> {
    let body = protobuf(record);
    let head = format!(
        "POST /{to}/mesos.internal.log.RecoverResponse HTTP/1.1\r\n\
         User-Agent: libprocess/log-replica(1)@{own}\r\n\
         Libprocess-From: log-replica(1)@{own}\r\n\
         Connection: Keep-Alive\r\n\
         Host: \r\n\
         Transfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n",
        body.len()
    );
    [head.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
}

/// `RecoverResponse`: field 1 the status, 2 and 3 begin and end, the latter two only of a replica that votes.
fn protobuf(record: &Record) -> Vec<u8> {
    let status = match record.status {
        Status::Voting => 1,
        Status::Recovering => 2,
        Status::Starting => 3,
        Status::Empty => 4,
    };
    let mut body = vec![0x08, status];
    if record.status == Status::Voting {
        for (tag, value) in [(0x10, record.entry.begin), (0x18, record.entry.end)] {
            body.push(tag);
            put_varint(&mut body, value);
        }
    }
    body
}

fn put_varint(body: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        body.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    body.push(u8::try_from(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::super::log::replica::Entry;
    use super::*;

    fn record(status: Status, end: u64) -> Record {
        let entry = Entry {
            end,
            ..Entry::default()
        };
        Record {
            status,
            entry,
            ..Record::default()
        }
    }

    #[test]
    fn the_protobuf_is_the_originals() {
        assert_eq!(
            protobuf(&record(Status::Voting, 300)),
            [0x08, 1, 0x10, 0, 0x18, 0xac, 0x02]
        );
        assert_eq!(protobuf(&record(Status::Recovering, 300)), [0x08, 2]);
        assert_eq!(protobuf(&record(Status::Starting, 0)), [0x08, 3]);
        assert_eq!(protobuf(&record(Status::Empty, 0)), [0x08, 4]);
    }

    #[test]
    fn the_message_is_the_originals() {
        let message = message("guard(1)", "10.0.0.1:5050", &record(Status::Empty, 0));
        let text = "POST /guard(1)/mesos.internal.log.RecoverResponse HTTP/1.1\r\n\
            User-Agent: libprocess/log-replica(1)@10.0.0.1:5050\r\n\
            Libprocess-From: log-replica(1)@10.0.0.1:5050\r\n\
            Connection: Keep-Alive\r\nHost: \r\nTransfer-Encoding: chunked\r\n\r\n\
            2\r\n\u{8}\u{4}\r\n0\r\n\r\n";
        assert_eq!(String::from_utf8(message).unwrap(), text);
    }
}
