//! Accepting connections, and ending in good order (docs/contract.md, sections 2 and 11).

use std::{future::Future, io, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    App,
    connection::{Peer, Place, Refused, SHORT_LINGER, Socket, Wire, linger_if_unread, linger_on_wire},
    http1, http2,
    listen::{Accept, Encryption, HTTP2, Listeners, Redirecting},
    to_https,
};

/// What a connection over the limit is told.
const CROWDED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/json\r\ncontent-length: 34\r\n\r\n{\"detail\":\"Too many connections.\"}";
/// How many connections over the limit are read on, so that they can read why, at a time; more are just closed.
const REFUSED_MAX: usize = 64;
/// How often the log tells that connections are refused.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long requests that run may still take when the server ends.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);
/// How long to wait after the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What TLS keeps of an answer that the client does not take, and as much again encrypted.
const TLS_BUFFER_BYTES: usize = 16 * 1024;

/// Serves until `end` is done; then stops accepting, finishes what runs and closes idle connections.
pub async fn serve(app: Arc<App>, listeners: Listeners, end: impl Future<Output = ()>) {
    let mut accepting = accept_all(&app, listeners);
    end.await;
    accepting.shutdown().await; // nothing is listened at any more
    if let Some(services) = app.services.get() {
        services.queries.end_live();
    }
    if timeout(FINISH_TIME_MAX, app.admission.finish_all()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

/// Accepts connections wherever they come from, each listener's on a task of its own.
fn accept_all(app: &Arc<App>, listeners: Listeners) -> JoinSet<()> {
    let mut accepting = JoinSet::new();
    let door = Arc::new(Door::new());
    let Listeners { plain, tls, unix, redirecting, encryption, .. } = listeners;
    for listener in plain {
        accepting.spawn(let_in(app.clone(), door.clone(), listener, serve_plain));
    }
    for listener in unix {
        accepting.spawn(let_in(app.clone(), door.clone(), listener, serve_plain));
    }
    if let Some(Encryption { acceptor, certificate }) = encryption {
        accepting.spawn(certificate.follow());
        for listener in tls {
            let acceptor = acceptor.clone();
            accepting.spawn(let_in(app.clone(), door.clone(), listener, move |app, wire, peer, place| {
                serve_encrypted(app, acceptor.clone(), wire, peer, place)
            }));
        }
    }
    if let Some(Redirecting { listener, tls_port, .. }) = redirecting {
        accepting.spawn(let_in(app.clone(), door, listener, move |app, wire, peer, place| {
            to_https::serve(app, wire, peer, place, tls_port)
        }));
    }
    accepting
}

/// Lets in whoever comes, and has each served by a task.
async fn let_in<A: Accept, S: Future<Output = ()> + Send + 'static>(
    app: Arc<App>,
    door: Arc<Door>,
    listener: A,
    serve: impl Fn(Arc<App>, A::Wire, Peer, Place) -> S,
) {
    loop {
        match listener.accept().await {
            Ok((wire, peer)) => match app.admission.admit(peer.ip) {
                Ok(place) => _ = tokio::spawn(serve(app.clone(), wire, peer, place)),
                Err(refused) => door.refuse(wire, peer, refused),
            },
            // The client went away before it was let in.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_plain(app: Arc<App>, wire: impl Wire, peer: Peer, place: Place) {
    let socket = Socket::new(wire, app.settings.idle_time_max);
    http1::serve(app, socket, peer, place).await;
}

/// Answers over TLS, once client and server have agreed on it; until then the connection rests.
async fn serve_encrypted(app: Arc<App>, acceptor: TlsAcceptor, wire: TcpStream, peer: Peer, place: Place) {
    let socket = Socket::new(wire, app.settings.idle_time_max);
    let agreed = acceptor.accept_with(socket, |session| session.set_buffer_limit(Some(TLS_BUFFER_BYTES)));
    let agreed = tokio::select! {
        biased; // who has agreed already may have sent a request, too
        agreed = timeout(app.settings.head_time_max, agreed.into_fallible()) => agreed,
        () = place.activity().asked_to_leave() => return,
    };
    match agreed {
        Ok(Ok(transport)) if transport.get_ref().1.alpn_protocol() == Some(HTTP2) => {
            http2::serve(app, transport, peer, place).await;
        }
        Ok(Ok(transport)) => http1::serve(app, transport, peer, place).await,
        Ok(Err((error, socket))) => {
            tracing::debug!(%error, %peer, "a client and the server do not agree on TLS");
            linger_if_unread(socket, SHORT_LINGER).await; // so that it can read why
        }
        Err(_) => tracing::debug!(%peer, "a client took too long to agree on TLS"),
    }
}

/// Where connections are refused.
struct Door {
    lingering: Arc<Semaphore>,
    told: Mutex<Option<Instant>>,
}

impl Door {
    fn new() -> Self {
        Self { lingering: Arc::new(Semaphore::new(REFUSED_MAX)), told: Mutex::new(None) }
    }

    fn refuse(&self, wire: impl Wire, peer: Peer, refused: Refused) {
        self.tell(peer, refused);
        if !peer.speaks_tls {
            _ = wire.try_write(CROWDED); // the other one would not understand it
        }
        if let Ok(one_of) = self.lingering.clone().try_acquire_owned() {
            tokio::spawn(async move {
                linger_on_wire(wire, SHORT_LINGER).await;
                drop(one_of);
            });
        }
    }

    fn tell(&self, peer: Peer, refused: Refused) {
        let mut told = self.told.lock();
        if told.is_some_and(|told| told.elapsed() < TOLD_EVERY) {
            return;
        }
        *told = Some(Instant::now());
        drop(told);
        let setting = match refused {
            Refused::All => "server.max_connections",
            Refused::Address => "server.max_connections_per_address",
        };
        tracing::warn!(%peer, "connections are refused: there are as many as {setting} allows");
    }
}
