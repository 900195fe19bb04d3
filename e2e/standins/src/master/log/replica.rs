//! One replica of the replicated log, on this master's disk (src/log/replica.cpp @ 0.28.1).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::fatal;

/// How far a replica is (src/messages/log.proto @ 0.28.1). Only one that votes takes part in decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Takes part.
    Voting,
    /// Catches up with those that vote.
    Recovering,
    /// About to become one of the first to vote, with all others.
    Starting,
    /// Has nothing.
    #[default]
    Empty,
}

/// A slave that the registry knows. Frameworks and tasks are not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSlave {
    /// Its id.
    pub id: String,
    /// Its hostname.
    pub hostname: String,
}

/// What is on the disk. Of the entries only the last one matters, for each is the registry as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How far the replica is.
    pub status: Status,
    /// The highest proposal it has promised to follow.
    pub promised: u64,
    /// The last entry.
    pub entry: Entry,
}

/// An entry of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// Of the leader who wrote it. Of two entries the one with the higher proposal holds: its writer had asked a
    /// quorum before.
    pub proposal: u64,
    /// Last position of the log: the entry's own.
    pub end: u64,
    /// First position that was not truncated.
    pub begin: u64,
    /// What it says, as JSON.
    pub registry: String,
}

/// A replica's answer to a leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vote {
    /// It agrees; this is the last entry it has.
    Accepted(Entry),
    /// It has promised to follow this higher proposal.
    Rejected(u64),
    /// It does not vote (MESOS-3280).
    Ignored,
}

/// A replica. Every change is on the disk before it is answered.
pub struct Replica {
    file: PathBuf,
    record: watch::Sender<Record>,
    writing: Mutex<()>,
}

impl Replica {
    /// Opens the replica in `WORK_DIR/replicated_log`.
    ///
    /// # Errors
    /// When the disk cannot be used.
    pub fn open(work_dir: &Path) -> io::Result<Self> {
        let folder = work_dir.join("replicated_log");
        fs::create_dir_all(&folder)?;
        let file = folder.join("replica.json");
        let record = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            file,
            record: watch::Sender::new(record),
            writing: Mutex::default(),
        })
    }

    /// What it holds.
    pub fn record(&self) -> Record {
        self.record.borrow().clone()
    }

    /// Returns once it votes.
    pub async fn voting(&self) {
        let mut record = self.record.subscribe();
        // The sender is `self`: it cannot be gone.
        let _ = record.wait_for(|record| record.status == Status::Voting).await;
    }

    /// A step of its recovery.
    pub fn become_status(&self, status: Status) {
        self.change(|record| record.status = status);
        tracing::info!("Replica is in {status:?} status");
    }

    /// Takes over what others have voted for.
    pub fn catch_up(&self, entry: Entry) {
        self.change(|record| {
            record.promised = record.promised.max(entry.proposal);
            record.entry = entry;
        });
    }

    /// Asked to follow no leader with a lower proposal than this one.
    pub fn promise(&self, proposal: u64) -> Vote {
        self.vote(|record| {
            (proposal > record.promised).then(|| {
                record.promised = proposal;
            })
        })
    }

    /// Asked to keep an entry.
    pub fn write(&self, entry: Entry) -> Vote {
        self.vote(|record| {
            (entry.proposal >= record.promised).then(|| {
                record.promised = entry.proposal;
                record.entry = entry;
            })
        })
    }

    fn vote(&self, agree: impl FnOnce(&mut Record) -> Option<()>) -> Vote {
        self.change(|record| {
            if record.status != Status::Voting {
                return Vote::Ignored;
            }
            let before = record.entry.clone();
            match agree(record) {
                Some(()) => Vote::Accepted(before),
                None => Vote::Rejected(record.promised),
            }
        })
    }

    /// A disk that cannot be written ends the master, as in the original.
    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.record();
        let mut after = before.clone();
        let result = change(&mut after);
        if after != before {
            if let Err(error) = self.save(&after) {
                fatal(&format!("Failed to write the replica: {error}"));
            }
            self.record.send_replace(after);
        }
        result
    }

    /// As durable as the original's leveldb: the text is on the disk, and so is its name.
    fn save(&self, record: &Record) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.file)?;
        match self.file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(proposal: u64, end: u64) -> Entry {
        Entry {
            proposal,
            end,
            ..Entry::default()
        }
    }

    #[test]
    fn what_was_answered_is_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let replica = Replica::open(dir.path()).unwrap();
        assert_eq!(replica.record(), Record::default());
        replica.become_status(Status::Voting);
        replica.write(entry(1, 7));
        let again = Replica::open(dir.path()).unwrap();
        assert_eq!(again.record(), replica.record());
        assert_eq!(again.record().entry.end, 7);
    }

    #[test]
    fn only_a_voting_replica_votes_and_only_for_the_highest_proposal() {
        let dir = tempfile::tempdir().unwrap();
        let replica = Replica::open(dir.path()).unwrap();
        assert_eq!(replica.promise(1), Vote::Ignored);
        replica.become_status(Status::Starting);
        assert_eq!(replica.write(entry(1, 1)), Vote::Ignored);
        replica.become_status(Status::Voting);
        assert_eq!(replica.promise(2), Vote::Accepted(Entry::default()));
        assert_eq!(replica.promise(2), Vote::Rejected(2));
        assert_eq!(replica.write(entry(1, 1)), Vote::Rejected(2));
        assert_eq!(replica.write(entry(2, 1)), Vote::Accepted(Entry::default()));
        assert_eq!(replica.promise(3), Vote::Accepted(entry(2, 1)));
    }
}
