//! Reading a request's body within its limits (docs/contract.md, section 2).

mod pieces;

use std::{
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    header::{CONTENT_LENGTH, EXPECT, HeaderMap, TRANSFER_ENCODING},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{failure::Failure, media::Encoding};
use crate::{model::Fault, settings::ServerSettings};

pub use pieces::Pieces;

/// What an encoded body may be longer than the longest decoded one: incompressible bytes grow a little.
const ENCODED_SLACK: usize = 64 * 1024;
/// The largest window of a zstd body: 8 MiB, what its highest usual level takes.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How many bodies are decoded at a time; each takes a thread and its window.
static DECODING: Semaphore = Semaphore::const_new(8);

/// The largest body that counts as a small one.
const SMALL_BYTES_MAX: usize = 64 * 1024;
/// The largest head that counts as a small one.
const SMALL_HEAD_BYTES_MAX: usize = 4 * 1024;
/// How long a body waits for room among the others.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// The bytes that all bodies together may take in memory, in two parts: large bodies that come slowly must not keep out
/// small ones, which come in one piece and are soon done.
pub struct Budget {
    large: Pool,
    small: Pool,
}

struct Pool {
    room: Arc<Semaphore>,
    bytes: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self { large: Pool::new(bytes - bytes / 4), small: Pool::new(bytes / 4) }
    }

    /// The share of a request's head where a connection may have many at a time; a small one needs none.
    pub async fn for_head(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let mut share = None;
        if bytes > SMALL_HEAD_BYTES_MAX {
            self.large.take(bytes, &mut share).await?;
        }
        Ok(share)
    }

    /// Where a body counts of which `bytes` are there, and no more come.
    fn for_whole(&self, bytes: usize) -> &Pool {
        if bytes > SMALL_BYTES_MAX { &self.large } else { &self.small }
    }
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let bytes = bytes.min(u32::MAX as usize);
        Self { room: Arc::new(Semaphore::new(bytes)), bytes }
    }

    /// Makes `share` one for `bytes` in all.
    async fn take(&self, bytes: usize, share: &mut Option<OwnedSemaphorePermit>) -> Result<(), Failure> {
        let taken = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(bytes.min(self.bytes).saturating_sub(taken)).unwrap_or(u32::MAX);
        let more = match self.room.clone().try_acquire_many_owned(more) {
            Ok(more) => more,
            Err(_) => match timeout(ROOM_WAIT, self.room.clone().acquire_many_owned(more)).await {
                Ok(Ok(more)) => more,
                _ => return Err(Failure::Unavailable("too many bodies at a time".into())),
            },
        };
        match share {
            Some(share) => share.merge(more),
            None => *share = Some(more),
        }
        Ok(())
    }
}

/// A request's body, with its share of the budget as long as it is kept.
#[derive(Default)]
pub struct Body {
    pub bytes: Bytes,
    share: Option<OwnedSemaphorePermit>,
}

/// Whether the request has no body, as its head says.
pub fn is_empty(body: &Incoming) -> bool {
    hyper::body::Body::is_end_stream(body)
}

/// Checks what the head says of the body's length and transfer, before a byte of it is asked for.
pub fn check_head(settings: &ServerSettings, headers: &HeaderMap, encoding: Encoding) -> Result<(), Failure> {
    check_transfer(headers)?;
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > sent_max(settings, encoding) as u64) {
        return Err(Failure::BodyTooLarge(settings.body_bytes_max));
    }
    Ok(())
}

/// Checks what the head says of the body's transfer.
pub fn check_transfer(headers: &HeaderMap) -> Result<(), Failure> {
    if let Some(expected) = headers.get(EXPECT)
        && !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Failure::ExpectationFailed);
    }
    for value in headers.get_all(TRANSFER_ENCODING) {
        if !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
            return Err(Failure::BadRequest("Only the transfer encoding chunked is supported."));
        }
    }
    Ok(())
}

/// Reads the body as it was sent. While it comes, what is gathered of several pieces counts against the budget; the first
/// piece lies where the connection read it, which the number of connections bounds, and counts once it is all; where the
/// request `is_one_of_many` of its connection, it counts at once.
pub async fn read(
    settings: &ServerSettings,
    budget: &Budget,
    body: &mut Incoming,
    is_one_of_many: bool,
    encoding: Encoding,
) -> Result<Body, Failure> {
    let most = sent_max(settings, encoding);
    let begun = Instant::now();
    let mut share = None;
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    loop {
        let left = settings.body_time_max.saturating_sub(begun.elapsed()).min(settings.read_time_max);
        let frame = timeout(left, body.frame()).await;
        let frame = frame.map_err(|_| Failure::Timeout("The body took too long."))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Failure::BadRequest("The body ended early or is not chunked as it says."))?;
        let Ok(data) = frame.into_data() else { continue }; // trailers
        let len = first.as_ref().map_or(0, Bytes::len) + all.len() + data.len();
        if len > most {
            return Err(Failure::BodyTooLarge(settings.body_bytes_max));
        }
        // A body mostly comes in one piece, which is taken as it is.
        if first.is_none() && all.is_empty() {
            if is_one_of_many && !is_empty(body) {
                budget.large.take(data.len(), &mut share).await?;
            }
            first = Some(data);
            continue;
        }
        if len > all.capacity() {
            // Room for as much again: a body of many small pieces is not moved, nor the budget asked, for each.
            let room = (2 * len).min(most);
            budget.large.take(room, &mut share).await?;
            all.reserve(room - all.len());
        }
        if let Some(first) = first.take() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    let bytes = match first {
        Some(whole) => {
            share = None;
            budget.for_whole(whole.len()).take(whole.len(), &mut share).await?;
            whole
        }
        None => all.freeze(),
    };
    Ok(Body { bytes, share })
}

/// Decompresses a body.
pub async fn decode(
    settings: &ServerSettings,
    budget: &Budget,
    body: Body,
    encoding: Encoding,
) -> Result<Body, Failure> {
    if encoding == Encoding::Plain {
        return Ok(body);
    }
    let most = settings.body_bytes_max;
    let Body { bytes: body, share: encoded_share } = body;
    let _one_of = DECODING.acquire().await.map_err(|_| Failure::Bug)?;
    let decoded = tokio::task::spawn_blocking(move || match encoding {
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(&body[..])?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            read_up_to(decoder, most)
        }
        _ => read_up_to(flate2::read::MultiGzDecoder::new(&body[..]), most),
    });
    let decoded = decoded.await.map_err(|_| Failure::Bug)?.map_err(|_| mislabelled())?;
    if decoded.len() > most {
        return Err(Failure::BodyTooLarge(most));
    }
    drop(encoded_share);
    let mut share = None;
    budget.for_whole(decoded.len()).take(decoded.len(), &mut share).await?;
    Ok(Body { bytes: decoded.into(), share })
}

fn mislabelled() -> Failure {
    Failure::Invalid(
        "body",
        Fault::new("value_error", "the body is not encoded as Content-Encoding says, or it is cut"),
    )
}

/// Reads one byte more than `most` at most.
fn read_up_to(reader: impl Read, most: usize) -> std::io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    reader.take(most as u64 + 1).read_to_end(&mut decoded)?;
    Ok(decoded)
}

fn sent_max(settings: &ServerSettings, encoding: Encoding) -> usize {
    settings.body_bytes_max + if encoding == Encoding::Plain { 0 } else { ENCODED_SLACK }
}
