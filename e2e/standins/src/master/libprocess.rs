//! A master's port is libprocess': besides HTTP it takes messages to its processes. The only ones that anybody but
//! Mesos sends are those to the replica of the log: whoever asks it how far it is gets an answer, on a **new**
//! connection and never on the one it asked on (process.cpp @ 0.28.1, `ProcessManager::handle`; replica.cpp:671).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Master;
use super::recover_response;

/// A connection that begins so carries messages.
const MESSAGE: &[u8] = b"POST /log-replica(1)/";
const RECOVER_REQUEST: &str = "/log-replica(1)/mesos.internal.log.RecoverRequest";

/// Where there is nothing to wait for but time.
const PAUSE: Duration = Duration::from_millis(10);

/// The connections of a master's port that carry HTTP.
pub struct Listener {
    connections: mpsc::Receiver<(TcpStream, SocketAddr)>,
    address: SocketAddr,
    /// Closes the port when this is dropped.
    _accepting: JoinSet<()>,
}

impl Listener {
    /// Takes the connections of `port`, and answers the messages.
    ///
    /// # Errors
    /// When `port` is not open.
    pub fn new(port: TcpListener, master: Arc<Master>) -> io::Result<Self> {
        let address = port.local_addr()?;
        let (sender, connections) = mpsc::channel(1);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            loop {
                let (stream, peer) = match port.accept().await {
                    Ok(connection) => connection,
                    Err(error) => {
                        tracing::info!("Failed to accept a connection: {error}");
                        sleep(PAUSE).await;
                        continue;
                    }
                };
                // What is said is short, and waited for.
                let _ = stream.set_nodelay(true);
                let (sender, master) = (sender.clone(), Arc::clone(&master));
                tokio::spawn(async move {
                    // A connection that says nothing waits here for ever.
                    match carries_messages(&stream).await {
                        Ok(false) => drop(sender.send((stream, peer)).await),
                        Ok(true) => drop(answer_messages(stream, &master).await),
                        Err(_) => {}
                    }
                });
            }
        });
        Ok(Self {
            connections,
            address,
            _accepting: accepting,
        })
    }
}

impl axum::serve::Listener for Listener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Looks at what comes first, and leaves it there.
async fn carries_messages(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; MESSAGE.len()];
    loop {
        let length = stream.peek(&mut start).await?;
        if length == 0 || start[..length] != MESSAGE[..length] {
            return Ok(false);
        }
        if length == MESSAGE.len() {
            return Ok(true);
        }
        // Torn in the middle of the path; nothing tells when there is more to peek at.
        sleep(PAUSE).await;
    }
}

/// One after the other, until the sender closes the connection.
async fn answer_messages(stream: TcpStream, master: &Arc<Master>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(message) = Message::read(&mut stream).await? {
        let accepted = match (&message.from, message.path.as_str()) {
            (Some(from), RECOVER_REQUEST) => {
                recover_request(from.clone(), Arc::clone(master));
                true
            }
            _ => false,
        };
        if !message.from_libprocess {
            let status = if accepted { "202 Accepted" } else { "404 Not Found" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).await?;
        }
    }
    Ok(())
}

fn recover_request(from: Process, master: Arc<Master>) {
    tokio::spawn(async move {
        let record = master.log.replica.record();
        tracing::info!(
            "Replica in {:?} status received a broadcasted recover request from {}@{}",
            record.status,
            from.name,
            from.address
        );
        let answer = recover_response::message(&from.name, &master.settings.address(), &record);
        let sent = async {
            let mut connection = TcpStream::connect(&from.address).await?;
            connection.write_all(&answer).await?;
            connection.shutdown().await
        };
        if let Err(error) = sent.await {
            tracing::info!("Failed to send to {}@{}: {error}", from.name, from.address);
        }
    });
}

/// A process of libprocess.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    name: String,
    address: String,
}

impl Process {
    fn parse(text: &str) -> Option<Self> {
        let (name, address) = text.trim().rsplit_once('@')?;
        Some(Self {
            name: name.to_owned(),
            address: address.to_owned(),
        })
    }
}

/// A message, without its body: that of the only one that is understood is empty.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    path: String,
    from: Option<Process>,
    /// Those who call themselves libprocess do not read a response (process.cpp @ 0.28.1, `ignore_data`).
    from_libprocess: bool,
}

impl Message {
    async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let header = |name: &str| {
            head.iter().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let length = header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        stream.read_exact(&mut body).await?;
        let agent = header("user-agent").and_then(|agent| agent.split_once("libprocess/"));
        let from = header("libprocess-from").or(agent.map(|(_, from)| from));
        Ok(Some(Self {
            path: head
                .first()
                .and_then(|line| line.split(' ').nth(1))
                .unwrap_or_default()
                .to_owned(),
            from: from.and_then(Process::parse),
            from_libprocess: agent.is_some(),
        }))
    }
}
