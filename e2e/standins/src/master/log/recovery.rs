//! How a replica comes to vote (src/log/recover.cpp @ 0.28.1).

use std::time::Duration;

use futures::StreamExt as _;
use rand::Rng as _;
use tokio::time::{sleep, timeout};

use super::Log;
use super::replica::{Entry, Record, Status};

/// A round without a result, because somebody does not answer, is given up after this (recover.cpp @ 0.28.1:370).
const ROUND: Duration = Duration::from_secs(10);
/// A round in which everybody answered, without a result, is repeated after once to twice this.
const AGAIN: Duration = Duration::from_millis(500);

/// Catching up takes real ones about this long: one with a lost disk votes 0.2 s after one with its disk (docs/originals.md).
const CATCH_UP: Duration = Duration::from_millis(200);

/// What a round leads to.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// A quorum votes: catch up with the newest of its entries, then vote too.
    CatchUp(Entry),
    /// Everybody is ready for this status.
    Become(Status),
}

impl Log {
    /// Makes the replica vote, however long it takes.
    pub async fn recover(&self) {
        while self.replica.record().status != Status::Voting {
            match timeout(ROUND, self.round()).await {
                Ok(Some(Step::CatchUp(entry))) => {
                    self.replica.become_status(Status::Recovering);
                    sleep(CATCH_UP).await;
                    self.replica.catch_up(entry);
                    self.replica.become_status(Status::Voting);
                }
                Ok(Some(Step::Become(status))) => self.replica.become_status(status),
                Ok(None) => {
                    let part = rand::rng().random_range(1.0..2.0);
                    sleep(AGAIN.mul_f64(part)).await;
                }
                Err(_) => {
                    tracing::info!("Quorum not met before timeout of recover protocol of 10secs, retrying");
                }
            }
        }
    }

    /// Asks all replicas that are there. `None` when all have answered and it leads to nothing; for ever when somebody
    /// does not answer.
    async fn round(&self) -> Option<Step> {
        let own = self.replica.record().status;
        let mut answers = self.network.ask::<_, Record>(self.quorum, "status", &()).await;
        let (mut records, mut silent) = (Vec::new(), false);
        while let Some(answer) = answers.next().await {
            match answer {
                Some(record) => records.push(record),
                None => silent = true,
            }
            if let Some(step) = decide(self.quorum, own, &records) {
                return Some(step);
            }
        }
        if silent {
            std::future::pending::<()>().await;
        }
        None
    }
}

/// - A quorum that votes takes anybody in (recover.cpp:211–227).
/// - Else all of 2×quorum−1 replicas, the assumed size of the cluster, must have nothing: then they start together,
///   in two phases (recover.cpp:229–290).
fn decide(quorum: usize, own: Status, records: &[Record]) -> Option<Step> {
    let all = 2 * quorum - 1;
    let count = |status: Status| records.iter().filter(|record| record.status == status).count();
    let voting = records.iter().filter(|record| record.status == Status::Voting);
    if count(Status::Voting) >= quorum {
        return voting.map(|record| record.entry.clone()).max().map(Step::CatchUp);
    }
    match own {
        Status::Empty if count(Status::Empty) + count(Status::Starting) >= all => {
            Some(Step::Become(Status::Starting))
        }
        Status::Starting if count(Status::Starting) + count(Status::Voting) >= all => {
            Some(Step::Become(Status::Voting))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(statuses: &[Status]) -> Vec<Record> {
        let record = |status: &Status| Record {
            status: *status,
            ..Record::default()
        };
        statuses.iter().map(record).collect()
    }

    #[test]
    fn a_fresh_log_needs_all_and_a_lost_disk_a_quorum() {
        use Status::{Empty, Starting, Voting};
        let step = |own, others: &[Status]| decide(2, own, &records(others));
        assert_eq!(step(Empty, &[Empty, Empty]), None);
        assert_eq!(
            step(Empty, &[Empty, Starting, Empty]),
            Some(Step::Become(Starting))
        );
        assert_eq!(step(Starting, &[Starting, Empty, Starting]), None);
        assert_eq!(
            step(Starting, &[Starting, Voting, Starting]),
            Some(Step::Become(Voting))
        );
        assert_eq!(
            step(Empty, &[Voting, Empty, Voting]),
            Some(Step::CatchUp(Entry::default()))
        );
        // Two of three disks are lost.
        assert_eq!(step(Empty, &[Voting, Empty, Empty]), None);
        // An even number of masters, with the quorum of a majority, never starts.
        assert_eq!(decide(3, Empty, &records(&[Empty; 4])), None);
    }
}
