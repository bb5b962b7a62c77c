//! A connection of HTTP/1: one request after another.

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use http_body_util::Either;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, time::Instant};

use super::{
    App,
    answer::answer,
    connection::{Activity, LINGER, Peer, Phased, Place, SHORT_LINGER, Streamed, Transport, linger, linger_if_unread},
    reply::{Endless, Reply},
};

/// How long a client may take, when the server ends, for what it was sent of an answer that has no end.
pub const ENDLESS_FINISH_TIME_MAX: Duration = Duration::from_millis(500);

/// Answers the requests of a connection, whose place is free once everything that was taken is done.
pub async fn serve(app: Arc<App>, transport: impl Transport, peer: Peer, place: Place) {
    let activity = place.activity();
    answer_all(&app, transport, peer, activity, |request| answer(app.clone(), request, peer, activity)).await;
}

/// Answers the requests of a connection with what `answer` makes of each.
pub async fn answer_all<T: Transport, A: Future<Output = Reply>>(
    app: &App,
    transport: T,
    peer: Peer,
    activity: &Arc<Activity>,
    answer: impl Fn(hyper::Request<Incoming>) -> A,
) {
    let limits = &app.settings;
    let io = Phased::new(transport, activity.clone(), limits.head_time_max, limits.idle_time_max);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let answered = answer(request);
        async move {
            let reply = answered.await;
            activity.answer_begins();
            let is_endless = reply.extensions().get::<Endless>().is_some();
            Ok::<_, Infallible>(reply.map(|body| match body {
                Either::Left(whole) => Either::Left(whole),
                Either::Right(pieces) => Either::Right(Streamed::new(pieces, activity.clone(), is_endless)),
            }))
        }
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(limits.head_bytes_max)
        .header_read_timeout(None)
        .half_close(true) // a request is answered also to who says that it is the last
        .serve_connection(TokioIo::new(io), service);
    let mut cut_at = None;
    loop {
        tokio::select! {
            biased; // a request that is there already is taken before the connection leaves
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, %peer, "a connection ended early");
                }
                break;
            }
            () = activity.asked_to_leave() => {
                if activity.rests() {
                    return leave(connection.into_parts().io.into_inner().into_transport()).await;
                }
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                cut_at = activity.is_endless().then(|| Instant::now() + ENDLESS_FINISH_TIME_MAX);
            }
            () = tokio::time::sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() => return,
        }
    }
    end(connection.into_parts().io.into_inner().into_transport(), activity).await;
}

/// Ends a connection that rests: over TLS its client is told that nothing was cut off, if that can be said at once.
async fn leave(mut transport: impl Transport) {
    tokio::select! {
        biased;
        _ = transport.shutdown() => {}
        () = std::future::ready(()) => {}
    }
}

/// Finishes what a connection's client did not wait for, or waits until it has read the last answer.
async fn end(transport: impl Transport, activity: &Activity) {
    if let Some(rest) = activity.take_unfinished() {
        drop(transport);
        rest.await;
    } else if transport.socket().has_stalled() {
        drop(transport); // it would not read why
    } else if activity.leaves_unread() {
        tokio::select! {
            () = linger(transport, LINGER) => {}
            () = activity.asked_to_leave() => {}
        }
    } else {
        linger_if_unread(transport, SHORT_LINGER).await;
    }
}
