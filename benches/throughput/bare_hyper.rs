//! The first floor: what HTTP and JSON cost by themselves.
//!
//! A hyper server with the daemon's runtime that parses the payload into types, answers like the daemon and keeps
//! nothing. The benchmark runs itself with `--floor-server` for it, so that it is a process of its own as the daemon
//! is.

use super::Result;
use super::payload::Random;
use super::server::Server;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::hint::black_box;
use std::process::Command;
use tokio::net::TcpListener;

pub const ARGUMENT: &str = "--floor-server";

/// This very program as the floor's server.
pub fn start() -> Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ARGUMENT);
    Server::start(command)
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed because the daemon has to, then dropped")]
struct Payload {
    source: Reference,
    session: Reference,
    profile: Option<Reference>,
    device: Option<Reference>,
    context: Option<Box<RawValue>>,
    properties: Option<Box<RawValue>>,
    options: Option<Box<RawValue>>,
    events: Vec<Event>,
}

#[derive(Deserialize, Serialize)]
struct Reference {
    id: String,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed because the daemon has to, then dropped")]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    time: Option<Time>,
    properties: Option<Box<RawValue>>,
    context: Option<Box<RawValue>>,
    options: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "parsed because the daemon has to, then dropped")]
struct Time {
    create: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    profile: Reference,
    source: SourceState,
}

#[derive(Serialize)]
struct SourceState {
    consent: bool,
}

/// Serves until it is killed.
pub fn serve() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(track)));
        }
    })
}

async fn track(request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let (status, text) = match serde_json::from_slice::<Payload>(&body) {
        Ok(payload) => (StatusCode::OK, answer(black_box(payload))),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error.to_string().into_bytes()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn answer(payload: Payload) -> Vec<u8> {
    thread_local! {
        static RANDOM: RefCell<Random> = RefCell::new(Random::new(0));
    }
    let profile = payload.profile.unwrap_or_else(|| {
        let id = RANDOM.with_borrow_mut(|random| random.uuid());
        Reference { id: String::from_utf8_lossy(&id).into_owned() }
    });
    serde_json::to_vec(&Answer { profile, source: SourceState { consent: false } }).expect("strings become JSON")
}
