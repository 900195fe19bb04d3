//! Marathon's REST API, as the leader answers it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::app::App;
use super::deployment::Deployment;
use super::events;
use super::filter::{error_page, read_body};
use super::leader::Leader;
use super::operations::{Change, Refusal, absolute, invalid_json, unknown};
use super::task::Task;
use super::views::{info, plain_tasks, show};

type Answer = Result<Response<Body>, Refusal>;

/// The page of the user interface; the original's is an application in JavaScript.
const PAGE: &str = "<!DOCTYPE html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n<title>Marathon</title>\n</head>\n\
                    <body>\n<h1>Marathon</h1>\n<p>A stand-in for Marathon 1.1.1.</p>\n</body>\n</html>\n";

/// Answers one request.
pub async fn answer(leader: Arc<Leader>, peer: SocketAddr, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let call = Call {
        // JAX-RS answers HEAD as GET; the server leaves the body out.
        method: if request.method() == Method::HEAD {
            Method::GET
        } else {
            request.method().clone()
        },
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request.headers().clone(),
        peer,
        body: match read_body(request.into_body()).await {
            Ok(body) => body,
            Err(error) => return error_page(StatusCode::BAD_REQUEST, &error, &path),
        },
    };
    let answer = match path.as_str() {
        "/ping" => Ok(text("text/html;charset=ISO-8859-1", "pong\n")),
        // Relative, so that it holds through proxies (marathon PR 2306, 2318).
        "/" => Ok(redirect("ui/")),
        "/ui" => Ok(redirect("/ui/")),
        "/ui/" | "/ui/index.html" => Ok(text("text/html", PAGE)),
        _ => match path.strip_prefix("/v2/").map(|rest| rest.trim_end_matches('/')) {
            Some(rest) => call.v2(&leader, rest).await,
            None => Ok(error_page(StatusCode::NOT_FOUND, "Not Found", &path)),
        },
    };
    answer.unwrap_or_else(|(status, body)| json_response(status, &body))
}

/// One request.
struct Call {
    method: Method,
    query: String,
    headers: HeaderMap,
    peer: SocketAddr,
    body: Vec<u8>,
}

impl Call {
    async fn v2(&self, leader: &Arc<Leader>, path: &str) -> Answer {
        let parts: Vec<&str> = path.split('/').collect();
        match (&self.method, parts.as_slice()) {
            (&Method::GET, ["info"]) => Ok(ok(&info(leader).await)),
            (&Method::GET, ["leader"]) => Ok(ok(&json!({"leader": leader.settings.host_port()}))),
            (&Method::DELETE, ["leader"]) => {
                leader.abdicated.notify_one();
                Ok(ok(&json!({"message": "Leadership abdicated"})))
            }
            (&Method::GET, ["events"]) => Ok(self.events(leader)),
            (&Method::GET, ["tasks"]) => Ok(self.all_tasks(leader).await),
            (&Method::GET, ["deployments"]) => {
                let state = leader.state.lock().await;
                Ok(ok(&state.deployments.iter().map(Deployment::to_json).collect()))
            }
            (&Method::DELETE, ["deployments", id]) => {
                // Only `force`, which leaves things as they are, is stood in for.
                let status = match (self.flag("force"), leader.cancel_deployment(id).await) {
                    (true, true) => StatusCode::ACCEPTED,
                    (false, true) => StatusCode::NOT_IMPLEMENTED,
                    (_, false) => StatusCode::NOT_FOUND,
                };
                Ok(json_response(status, &json!({})))
            }
            (&Method::GET, ["apps"]) => {
                let state = leader.state.lock().await;
                let tasks = self.query.contains("embed=apps.tasks");
                let apps: Vec<Value> = state.apps.values().map(|app| show(&state, app, tasks)).collect();
                Ok(ok(&json!({"apps": apps})))
            }
            (&Method::POST, ["apps"]) => self.create(leader).await,
            (&Method::PUT, ["apps"]) => self.update_many(leader).await,
            (method, ["apps", id @ .., "tasks"]) => {
                self.tasks(leader, method, &absolute(&id.join("/"))).await
            }
            (&Method::DELETE, ["apps", id @ .., "tasks", task]) => {
                let (id, task) = (absolute(&id.join("/")), *task);
                exists(leader, &id).await?;
                let killed = leader
                    .kill_tasks(self.flag("scale"), |candidate| {
                        candidate.app == id && candidate.id == task
                    })
                    .await?;
                match killed.first() {
                    Some(killed) => Ok(ok(&json!({"task": killed}))),
                    None => Err((
                        StatusCode::NOT_FOUND,
                        json!({"message": format!("Task '{task}' does not exist")}),
                    )),
                }
            }
            (&Method::POST, ["apps", id @ .., "restart"]) => {
                let id = absolute(&id.join("/"));
                let app = exists(leader, &id).await?;
                self.deploy(
                    leader,
                    vec![Change {
                        id,
                        app: Some(app),
                        restart: true,
                    }],
                )
                .await
            }
            (&Method::GET, ["apps", id @ ..]) => {
                let id = absolute(&id.join("/"));
                let state = leader.state.lock().await;
                let app = state.apps.get(&id).ok_or_else(|| unknown(&id))?;
                Ok(ok(&json!({"app": show(&state, app, true)})))
            }
            (&Method::PUT, ["apps", id @ ..]) => self.put(leader, &absolute(&id.join("/"))).await,
            (&Method::DELETE, ["apps", id @ ..]) => {
                let id = absolute(&id.join("/"));
                exists(leader, &id).await?;
                self.deploy(
                    leader,
                    vec![Change {
                        id,
                        app: None,
                        restart: false,
                    }],
                )
                .await
            }
            (
                _,
                [
                    "info" | "leader" | "events" | "tasks" | "deployments" | "apps",
                    ..,
                ],
            ) => Ok(error_page(
                StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed",
                path,
            )),
            _ => Ok(error_page(StatusCode::NOT_FOUND, "Not Found", path)),
        }
    }

    fn flag(&self, name: &str) -> bool {
        self.query.split('&').any(|pair| pair == format!("{name}=true"))
    }

    fn accepts(&self, kind: &str) -> bool {
        let accepted = self.headers.get_all(header::ACCEPT).iter();
        accepted
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.starts_with(kind))
    }

    fn json(&self) -> Result<Value, Refusal> {
        serde_json::from_slice(&self.body).map_err(|error| invalid_json(&error))
    }

    fn posted(&self, leader: &Leader, app: &App) {
        let uri = "/v2/apps";
        let event = json!({"clientIp": self.peer.ip(), "uri": uri, "appDefinition": app.to_json()});
        leader.bus.publish("api_post_event", event);
    }

    async fn create(&self, leader: &Leader) -> Answer {
        let app = leader.read_app(None, &self.json()?, true).await?;
        self.posted(leader, &app);
        let id = app.id.clone();
        let change = Change {
            id: id.clone(),
            app: Some(app),
            restart: false,
        };
        let deployment = leader.change(vec![change], self.flag("force")).await?;
        let state = leader.state.lock().await;
        let body = state
            .apps
            .get(&id)
            .map(|app| show(&state, app, true))
            .unwrap_or_default();
        Ok(deployed(json_response(StatusCode::CREATED, &body), &deployment))
    }

    async fn put(&self, leader: &Leader, id: &str) -> Answer {
        let is_new = !leader.state.lock().await.apps.contains_key(id);
        let app = leader.read_app(Some(id), &self.json()?, false).await?;
        self.posted(leader, &app);
        let change = Change {
            id: id.to_owned(),
            app: Some(app),
            restart: false,
        };
        let deployment = leader.change(vec![change], self.flag("force")).await?;
        let status = if is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(deployed(json_response(status, &result(&deployment)), &deployment))
    }

    async fn update_many(&self, leader: &Leader) -> Answer {
        let Value::Array(updates) = self.json()? else {
            return Err((StatusCode::BAD_REQUEST, json!({"message": "Invalid JSON"})));
        };
        let mut changes = Vec::new();
        for update in updates {
            let app = leader.read_app(None, &update, false).await?;
            self.posted(leader, &app);
            changes.push(Change {
                id: app.id.clone(),
                app: Some(app),
                restart: false,
            });
        }
        self.deploy(leader, changes).await
    }

    async fn deploy(&self, leader: &Leader, changes: Vec<Change>) -> Answer {
        let deployment = leader.change(changes, self.flag("force")).await?;
        Ok(deployed(ok(&result(&deployment)), &deployment))
    }

    async fn tasks(&self, leader: &Leader, method: &Method, id: &str) -> Answer {
        exists(leader, id).await?;
        match *method {
            Method::GET => {
                let state = leader.state.lock().await;
                let tasks: Vec<Value> = state.tasks_of(id).into_iter().map(Task::to_json).collect();
                Ok(ok(&json!({"tasks": tasks})))
            }
            Method::DELETE => {
                let tasks = leader
                    .kill_tasks(self.flag("scale"), |task| task.app == id)
                    .await?;
                Ok(ok(&json!({"tasks": tasks})))
            }
            _ => Ok(error_page(
                StatusCode::METHOD_NOT_ALLOWED,
                "Method Not Allowed",
                id,
            )),
        }
    }

    async fn all_tasks(&self, leader: &Leader) -> Response<Body> {
        let state = leader.state.lock().await;
        if self.accepts("text/plain") {
            return text("text/plain", &plain_tasks(&state));
        }
        let tasks: Vec<Value> = state
            .tasks
            .values()
            .map(|task| {
                let mut shown = task.to_json();
                if let Some(app) = state.apps.get(&task.app) {
                    shown["servicePorts"] = json!(app.ports);
                }
                shown
            })
            .collect();
        ok(&json!({"tasks": tasks}))
    }

    /// The event stream; Jetty's servlet insists on the Accept header.
    fn events(&self, leader: &Arc<Leader>) -> Response<Body> {
        if !self.accepts("text/event-stream") {
            let message = "HTTP method GET is not supported by this URL";
            return error_page(StatusCode::METHOD_NOT_ALLOWED, message, "/v2/events");
        }
        let about = json!({"remoteAddress": self.peer.ip()});
        leader.bus.publish("event_stream_attached", about.clone());
        let first = Some(events::event("event_stream_attached", about));
        let source = (leader.bus.subscribe(), leader.stopped(), first);
        let seen = stream::unfold(source, |(mut bus, mut stopped, mut first)| async move {
            let event = loop {
                if let Some(first) = first.take() {
                    break first;
                }
                let received = tokio::select! {
                    received = bus.recv() => received,
                    _ = stopped.wait_for(|stopped| *stopped) => return None,
                };
                match received {
                    Ok(event) => break event,
                    // A slow reader has lost events.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            };
            Some((events::server_sent(&event), (bus, stopped, first)))
        });
        let chunks = futures::StreamExt::map(seen, Ok::<_, std::convert::Infallible>);
        let mut response = Response::new(Body::from_stream(chunks));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("text/event-stream;charset=UTF-8"),
        );
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-cache, no-store, must-revalidate"),
        );
        response
    }
}

async fn exists(leader: &Leader, id: &str) -> Result<App, Refusal> {
    leader
        .state
        .lock()
        .await
        .apps
        .get(id)
        .cloned()
        .ok_or_else(|| unknown(id))
}

fn result(deployment: &Deployment) -> Value {
    json!({"version": deployment.version, "deploymentId": deployment.id})
}

fn deployed(mut response: Response<Body>, deployment: &Deployment) -> Response<Body> {
    if let Ok(id) = header::HeaderValue::from_str(&deployment.id) {
        response.headers_mut().insert("marathon-deployment-id", id);
    }
    response
}

fn ok(body: &Value) -> Response<Body> {
    json_response(StatusCode::OK, body)
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = text("application/json;charset=utf-8", &body.to_string());
    *response.status_mut() = status;
    response
}

fn text(kind: &'static str, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    let uncached = header::HeaderValue::from_static("no-cache, no-store, must-revalidate");
    headers.insert(header::CACHE_CONTROL, uncached);
    response
}

fn redirect(location: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response
        .headers_mut()
        .insert(header::LOCATION, header::HeaderValue::from_static(location));
    response
}
