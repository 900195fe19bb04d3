//! What stands before every path of every Marathon, `/ping` included (`LeaderProxyFilter.scala @ v1.1.1`): the
//! leader answers, a standby passes the request on to the leader, and without one the request is held.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use futures::{Stream, StreamExt, stream};
use http_body_util::{BodyExt, BodyStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::api;
use super::election::View;
use super::flags::Settings;

/// A request is held for so many looks at the leadership, so far apart (`waitForConsistentLeadership`).
const LOOKS: usize = 11;
const PAUSE: Duration = Duration::from_millis(250);

const VIA: HeaderName = HeaderName::from_static("x-marathon-via");
const LEADER: HeaderName = HeaderName::from_static("x-marathon-leader");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// One Marathon's view of itself and of the leader.
#[derive(Debug, Clone)]
pub struct Filter {
    settings: Arc<Settings>,
    view: watch::Receiver<View>,
}

impl Filter {
    /// A filter that follows `view`.
    pub fn new(settings: Arc<Settings>, view: watch::Receiver<View>) -> Self {
        Self { settings, view }
    }

    /// Answers one request.
    pub async fn answer(self, peer: SocketAddr, request: Request<Body>) -> Response<Body> {
        let me = self.settings.host_port();
        loop {
            let view = self.view.borrow().clone();
            match view {
                View::Leading(leader) => {
                    let path = request.uri().path().to_owned();
                    let mut response = api::answer(leader, peer, request).await;
                    insert(response.headers_mut(), LEADER, &format!("http://{me}"));
                    tracing::info!("{peer} {path} {}", response.status());
                    return response;
                }
                View::Following(Some(leader)) if leader != me => {
                    return self.forward(&leader, peer, request).await;
                }
                View::Following(_) => {
                    if !self.wait_for_consistent_leadership(&me).await {
                        let message = "Could not determine the current leader";
                        return error_page(StatusCode::SERVICE_UNAVAILABLE, message, request.uri().path());
                    }
                }
            }
        }
    }

    /// Looks every 250 ms, as the original; a leader found in between is not seen earlier.
    async fn wait_for_consistent_leadership(&self, me: &str) -> bool {
        for _ in 0..LOOKS {
            match &*self.view.borrow() {
                View::Leading(_) => return true,
                View::Following(Some(leader)) if leader != me => return true,
                View::Following(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    async fn forward(&self, leader: &str, peer: SocketAddr, request: Request<Body>) -> Response<Body> {
        let via = format!("1.1 {}", self.settings.host_port());
        let path = request.uri().path().to_owned();
        let page = |status, message: &str| error_page(status, message, &path);
        if request
            .headers()
            .get_all(VIA)
            .iter()
            .any(|value| value.as_bytes() == via.as_bytes())
        {
            return page(StatusCode::BAD_GATEWAY, "Detected proxying loop.");
        }
        let stream = match tokio::time::timeout(self.settings.proxy_connect, TcpStream::connect(leader)).await
        {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return page(StatusCode::BAD_GATEWAY, "Connection to leader refused.");
            }
            // Neither an unknown host nor a timeout is a ConnectException: the exception reaches Jetty.
            Ok(Err(error)) => return page(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            Err(_) => return page(StatusCode::INTERNAL_SERVER_ERROR, "connect timed out"),
        };
        let outcome = self.exchange(stream, leader, &via, peer, request).await;
        outcome.unwrap_or_else(|error| page(StatusCode::INTERNAL_SERVER_ERROR, &error))
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        leader: &str,
        via: &str,
        peer: SocketAddr,
        request: Request<Body>,
    ) -> Result<Response<Body>, String> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let has_body = !matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE);
        let mut outgoing = Request::new(if has_body { body } else { Body::empty() });
        *outgoing.method_mut() = parts.method;
        *outgoing.uri_mut() = target.parse().map_err(|_| "bad request target".to_owned())?;
        let headers = outgoing.headers_mut();
        for (name, value) in &parts.headers {
            let own = [
                header::HOST,
                header::CONNECTION,
                header::TRANSFER_ENCODING,
                FORWARDED_FOR,
            ];
            if !own.contains(name) && (has_body || name != header::CONTENT_LENGTH) {
                headers.append(name, value.clone());
            }
        }
        insert(headers, header::HOST, leader);
        if let Ok(value) = HeaderValue::from_str(via) {
            headers.append(VIA, value);
        }
        let before = parts
            .headers
            .get(FORWARDED_FOR)
            .and_then(|value| value.to_str().ok());
        let forwarded = before
            .into_iter()
            .map(str::to_owned)
            .chain([peer.ip().to_string()]);
        insert(headers, FORWARDED_FOR, &forwarded.collect::<Vec<_>>().join(","));

        let read = self.settings.proxy_read;
        let response = tokio::time::timeout(read, sender.send_request(outgoing))
            .await
            .map_err(|_| "Read timed out".to_owned())?
            .map_err(|error| error.to_string())?;
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(header::CONNECTION);
        parts.headers.remove(header::TRANSFER_ENCODING);
        insert(&mut parts.headers, VIA, via);
        let frames = BodyStream::new(body).map(|frame| frame.map_err(std::io::Error::other));
        let data = frames.filter_map(|frame| async { frame.map(|frame| frame.into_data().ok()).transpose() });
        Ok(Response::from_parts(
            parts,
            Body::from_stream(cut_after_silence(data, read)),
        ))
    }
}

/// Ends a stream with an error when nothing comes for `patience`: Java's read timeout, which cuts `/v2/events`.
fn cut_after_silence<T>(
    source: impl Stream<Item = Result<T, std::io::Error>> + Send + 'static,
    patience: Duration,
) -> impl Stream<Item = Result<T, std::io::Error>> + Send + 'static
where
    T: Send + 'static,
{
    stream::unfold(Some(Box::pin(source)), move |source| async move {
        let mut source = source?;
        match tokio::time::timeout(patience, source.next()).await {
            Ok(item) => item.map(|item| (item, Some(source))),
            Err(_) => Some((Err(std::io::Error::other("Read timed out")), None)),
        }
    })
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Jetty's error page; it carries neither of Marathon's headers.
pub fn error_page(status: StatusCode, message: &str, path: &str) -> Response<Body> {
    let code = status.as_u16();
    let path = path.replace('&', "&amp;").replace('<', "&lt;");
    let html = format!(
        "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\"/>\n\
         <title>Error {code} {message}</title>\n</head>\n<body><h2>HTTP ERROR {code}</h2>\n\
         <p>Problem accessing {path}. Reason:\n<pre>    {message}</pre></p><hr>\n</body>\n</html>\n"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    insert(
        response.headers_mut(),
        header::CONTENT_TYPE,
        "text/html; charset=ISO-8859-1",
    );
    insert(
        response.headers_mut(),
        header::CACHE_CONTROL,
        "must-revalidate,no-cache,no-store",
    );
    response
}

/// Reads a whole request body.
pub async fn read_body(body: Body) -> Result<Vec<u8>, String> {
    body.collect()
        .await
        .map(|body| body.to_bytes().to_vec())
        .map_err(|error| error.to_string())
}
