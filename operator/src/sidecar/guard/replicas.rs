//! Which replicas of the masters' log vote.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::recover::{ReplicaStatus, request};
use crate::runtime::http::{connect, get};

/// Folder below the masters' path in which their replicas announce themselves.
pub const FOLDER: &str = "log_replicas";
/// Path at which the guard tells [`Votes`], as JSON.
pub const VOTES_PATH: &str = "/votes";
/// Time that a master has for an answer. It takes a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time that the others have to answer too, once enough have.
const STRAGGLERS: Duration = Duration::from_millis(20);

/// The address in a replica's announcement, `log-replica(1)@IP:PORT`.
pub fn address(announcement: &[u8]) -> Option<SocketAddr> {
    super::recover::sender(std::str::from_utf8(announcement).ok()?)
}

/// Where answers arrive. Only of those who are being asked: anybody can post one.
#[derive(Default)]
pub struct Inbox(Mutex<Vec<Question>>);

struct Question {
    to: SocketAddr,
    answer: oneshot::Sender<ReplicaStatus>,
}

impl Inbox {
    /// Takes an answer.
    pub fn put(&self, from: SocketAddr, status: ReplicaStatus) {
        for question in self.questions().extract_if(.., |question| question.to == from) {
            // Whoever asked may have lost its patience.
            let _ = question.answer.send(status);
        }
    }

    /// The next answer from this replica, which is being asked.
    fn expect(&self, to: SocketAddr) -> oneshot::Receiver<ReplicaStatus> {
        let (answer, answered) = oneshot::channel();
        let mut questions = self.questions();
        questions.retain(|question| !question.answer.is_closed());
        questions.push(Question { to, answer });
        answered
    }

    fn questions(&self) -> MutexGuard<'_, Vec<Question>> {
        // Nothing is half done when a holder panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The masters that can be asked.
pub struct Replicas {
    neighbour: SocketAddr,
    own: SocketAddr,
    inbox: Arc<Inbox>,
    announced: watch::Receiver<BTreeSet<SocketAddr>>,
}

/// Whether the next leader could recover the registry now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes {
    /// Replicas that vote.
    pub voting: usize,
    /// How many the next leader needs, by its own setting.
    pub quorum: usize,
}

impl Votes {
    /// Whether there are enough.
    pub fn suffice(self) -> bool {
        self.quorum > 0 && self.voting >= self.quorum
    }
}

impl Replicas {
    /// The replicas that `announced` themselves, asked by the listener at `own`, whose answers come to `inbox`.
    pub fn new(
        neighbour: SocketAddr,
        own: SocketAddr,
        inbox: Arc<Inbox>,
        announced: watch::Receiver<BTreeSet<SocketAddr>>,
    ) -> Self {
        Self {
            neighbour,
            own,
            inbox,
            announced,
        }
    }

    /// How far the neighbour's own replica is; `None` without an answer.
    pub async fn neighbours(&self) -> Option<ReplicaStatus> {
        self.status(self.neighbour).await
    }

    /// Asks all of them, and the masters among them how many they need. An election that begins while too few
    /// replicas are connected is stuck until it times out after a minute (docs/originals.md, "Scaling").
    pub async fn votes(&self) -> Votes {
        count(self.asked(), PATIENCE).await
    }

    /// The same, without a wait for the silent ones when the others suffice: one that was replaced is still announced
    /// at its former address, until its session ends, and nobody is there to refuse a question.
    pub async fn prompt_votes(&self) -> Votes {
        count(self.asked(), STRAGGLERS).await
    }

    /// Of each replica that votes, the quorum that its master was started with, if it tells.
    fn asked(&self) -> FuturesUnordered<impl Future<Output = Option<Option<usize>>>> {
        let announced = self.announced.borrow().clone();
        let ask = |address| async move {
            let (status, quorum) = tokio::join!(self.status(address), quorum(address));
            matches!(status, Some(ReplicaStatus::Voting { .. })).then_some(quorum)
        };
        announced.into_iter().map(ask).collect()
    }

    async fn status(&self, of: SocketAddr) -> Option<ReplicaStatus> {
        let answer = self.inbox.expect(of);
        let answered = async {
            let mut connection = connect(of).await.ok()?;
            let question = request(&of.to_string(), &self.own.to_string());
            connection.write_all(question.as_bytes()).await.ok()?;
            answer.await.ok()
        };
        timeout(PATIENCE, answered).await.ok()?
    }
}

/// Counts who votes. Once those who have answered suffice, the next answer is waited for no longer than `patience`.
async fn count(mut answers: impl Stream<Item = Option<Option<usize>>> + Unpin, patience: Duration) -> Votes {
    let mut votes = Votes { voting: 0, quorum: 0 };
    loop {
        let next = answers.next();
        let answer = if votes.suffice() {
            timeout(patience, next).await.ok().flatten()
        } else {
            next.await
        };
        match answer {
            Some(Some(quorum)) => {
                votes.voting += 1;
                // Whoever does not tell its own may need them all.
                votes.quorum = votes.quorum.max(quorum.unwrap_or(usize::MAX));
            }
            Some(None) => {}
            None => return votes,
        }
    }
}

/// The quorum that a master was started with (`/flags`, Mesos src/master/http.cpp @ 0.28.1).
async fn quorum(of: SocketAddr) -> Option<usize> {
    #[derive(Deserialize)]
    struct Answer {
        flags: Flags,
    }
    #[derive(Deserialize)]
    struct Flags {
        quorum: String,
    }
    let body = timeout(PATIENCE, get(of, "/flags")).await.ok()?.ok()?;
    let answer: Answer = serde_json::from_slice(&body).ok()?;
    answer.flags.quorum.parse().ok()
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn only_those_who_are_asked_are_heard() {
        let inbox = Inbox::default();
        let [asked, stranger] = ["10.0.0.1:5050", "10.0.0.2:5050"].map(|address| address.parse().unwrap());
        let answers = [inbox.expect(asked), inbox.expect(asked)];
        inbox.put(stranger, ReplicaStatus::Empty);
        inbox.put(asked, ReplicaStatus::Recovering);
        inbox.put(asked, ReplicaStatus::Empty);
        for answer in answers {
            assert_eq!(answer.await, Ok(ReplicaStatus::Recovering));
        }
        assert_eq!(inbox.questions().len(), 0);
    }

    #[tokio::test]
    async fn silence_is_waited_for_only_while_the_others_do_not_suffice() {
        // What the replicas answer at once, where one more never does; what is counted in the end.
        type Answers = &'static [Option<Option<usize>>];
        let table: [(Answers, Option<(usize, usize)>); 6] = [
            (&[], None),
            (&[Some(Some(2))], None),
            (&[Some(Some(2)), None], None),
            (&[Some(Some(2)), Some(None)], None),
            (&[Some(Some(2)), Some(Some(2))], Some((2, 2))),
            (&[Some(Some(2)), Some(Some(2)), Some(Some(3))], Some((3, 3))),
        ];
        for (answers, expected) in table {
            let at_once = stream::iter(answers.iter().copied());
            let counted = timeout(
                5 * STRAGGLERS,
                count(at_once.chain(stream::pending()), STRAGGLERS),
            )
            .await;
            let counted = counted.ok().map(|votes| (votes.voting, votes.quorum));
            assert_eq!(counted, expected, "{answers:?}");
        }
        let votes = count(stream::iter([Some(Some(2)), Some(None), None]), STRAGGLERS).await;
        assert_eq!((votes.voting, votes.quorum), (2, usize::MAX));
    }

    #[test]
    fn a_question_without_an_answer_is_forgotten() {
        let inbox = Inbox::default();
        let asked = "10.0.0.1:5050".parse().unwrap();
        for _ in 0..3 {
            drop(inbox.expect(asked));
        }
        assert_eq!(inbox.questions().len(), 1);
    }
}
