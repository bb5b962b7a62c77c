//! Reading a request's body within its limits (contract, section 2).

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{failure::Failure, media::Encoding};
use crate::{model::Fault, settings::ServerSettings};

/// What an encoded body may be longer than the longest decoded one: incompressible bytes grow a little.
const ENCODED_SLACK: usize = 64 * 1024;
/// The largest window of a zstd body: 8 MiB, what its highest usual level takes.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How many bodies are decoded at a time; each takes a thread and its window.
static DECODING: Semaphore = Semaphore::const_new(8);

/// How long a body waits for room among the others.
const ROOM_WAIT: Duration = Duration::from_secs(1);

/// The bytes that all bodies together may take in memory.
pub struct Budget {
    room: Arc<Semaphore>,
    bytes: usize,
}

impl Budget {
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.min(u32::MAX as usize);
        Self { room: Arc::new(Semaphore::new(bytes)), bytes }
    }

    async fn take(&self, bytes: usize, taken: &mut Option<OwnedSemaphorePermit>) -> Result<(), Failure> {
        let share = u32::try_from(bytes.min(self.bytes)).unwrap_or(u32::MAX);
        let more = tokio::time::timeout(ROOM_WAIT, self.room.clone().acquire_many_owned(share)).await;
        let Ok(Ok(more)) = more else {
            return Err(Failure::Unavailable("too many large bodies at a time".into()));
        };
        match taken {
            Some(taken) => taken.merge(more),
            None => *taken = Some(more),
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
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > sent_max(settings, encoding) as u64) {
        return Err(Failure::BodyTooLarge(settings.body_bytes_max));
    }
    Ok(())
}

/// Reads the body as it was sent. What comes in one piece lies where the connection read it, which the number of
/// connections bounds; what is gathered of several counts against the budget.
pub async fn read(
    settings: &ServerSettings,
    budget: &Budget,
    mut body: Incoming,
    encoding: Encoding,
) -> Result<Body, Failure> {
    let most = sent_max(settings, encoding);
    let begun = Instant::now();
    let mut share = None;
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    loop {
        let left = settings.body_time_max.saturating_sub(begun.elapsed()).min(settings.read_time_max);
        let frame = tokio::time::timeout(left, body.frame()).await;
        let frame = frame.map_err(|_| Failure::Timeout("The body took too long."))?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Failure::BadRequest("The body ended early or is not chunked as it says."))?;
        let Ok(data) = frame.into_data() else { continue }; // trailers
        if first.as_ref().map_or(0, Bytes::len) + all.len() + data.len() > most {
            return Err(Failure::BodyTooLarge(settings.body_bytes_max));
        }
        // A body mostly comes in one piece, which is taken as it is.
        match (&first, all.is_empty()) {
            (None, true) => first = Some(data),
            _ => {
                budget.take(first.as_ref().map_or(0, Bytes::len) + data.len(), &mut share).await?;
                if let Some(first) = first.take() {
                    all.extend_from_slice(&first);
                }
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(Body { bytes: first.unwrap_or_else(|| all.freeze()), share })
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
    let Body { bytes: body, mut share } = body;
    let _one_of = DECODING.acquire().await.map_err(|_| Failure::Bug)?;
    let decoded = tokio::task::spawn_blocking(move || match encoding {
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(&body[..])?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            read_up_to(decoder, most)
        }
        _ => read_up_to(flate2::read::MultiGzDecoder::new(&body[..]), most),
    });
    let decoded = decoded.await.map_err(|_| Failure::Bug)?.map_err(|_| {
        Failure::Invalid(
            "body",
            Fault::new("value_error", "the body is not encoded as Content-Encoding says, or it is cut"),
        )
    })?;
    if decoded.len() > most {
        return Err(Failure::BodyTooLarge(most));
    }
    budget.take(decoded.len(), &mut share).await?;
    Ok(Body { bytes: decoded.into(), share })
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
