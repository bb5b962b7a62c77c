//! A body of any length, piece by piece.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{ZSTD_WINDOW_LOG_MAX, mislabelled};
use crate::{
    http::{connection::Activity, failure::Failure, media::Encoding},
    settings::ServerSettings,
};

/// How much is decoded at a time, and to how much at most: five hundredfold and more is no text.
const ENCODED_BYTES: usize = 8 * 1024;
const DECODED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A body that is read while it comes; only its next piece is in memory.
pub struct Pieces {
    body: Incoming,
    /// How long a piece may take to come.
    read_time_max: Duration,
    activity: Arc<Activity>,
    /// Elsewhere only while it decodes.
    decoder: Option<Decoder>,
    /// What came and is not decoded yet.
    encoded: Bytes,
}

enum Decoder {
    Gzip(flate2::write::MultiGzDecoder<Decoded>),
    Zstd(zstd::stream::write::Decoder<'static, Decoded>),
}

/// What was decoded, up to a limit.
#[derive(Default)]
struct Decoded(Vec<u8>);

impl Write for Decoded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > DECODED_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// What `bytes` come to; none of them: the end.
    fn decode(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let decoded = match self {
            Self::Gzip(decoder) if bytes.is_empty() => {
                decoder.try_finish()?;
                decoder.get_mut()
            }
            Self::Gzip(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                decoder.get_mut()
            }
            Self::Zstd(decoder) => {
                decoder.write_all(bytes)?;
                decoder.flush()?;
                decoder.get_mut()
            }
        };
        Ok(std::mem::take(&mut decoded.0))
    }
}

impl Pieces {
    pub fn new(
        settings: &ServerSettings,
        body: Incoming,
        encoding: Encoding,
        activity: Arc<Activity>,
    ) -> Result<Self, Failure> {
        let decoder = match encoding {
            Encoding::Plain => None,
            Encoding::Gzip => Some(Decoder::Gzip(flate2::write::MultiGzDecoder::new(Decoded::default()))),
            Encoding::Zstd => {
                let decoder = zstd::stream::write::Decoder::new(Decoded::default());
                let mut decoder = decoder.map_err(|_| Failure::Bug)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| Failure::Bug)?;
                Some(Decoder::Zstd(decoder))
            }
        };
        Ok(Self { body, read_time_max: settings.read_time_max, activity, decoder, encoded: Bytes::new() })
    }

    /// The next piece; `None`: that was all.
    ///
    /// # Errors
    /// It took too long, ended early, or is not encoded as it says.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if !self.encoded.is_empty() {
                let part = self.encoded.split_to(ENCODED_BYTES.min(self.encoded.remaining()));
                return self.decoded(part).await.map(Some);
            }
            let frame = timeout(self.read_time_max, self.body.frame()).await;
            let frame = frame.map_err(|_| Failure::Timeout("The body took too long."))?;
            let Some(frame) = frame else {
                self.activity.body_was_read();
                if self.decoder.is_none() {
                    return Ok(None);
                }
                let rest = self.decoded(Bytes::new()).await?;
                self.decoder = None;
                return Ok((!rest.is_empty()).then_some(rest));
            };
            let frame = frame.map_err(|_| Failure::BadRequest("The body ended early or is not chunked as it says."))?;
            let Ok(data) = frame.into_data() else { continue }; // trailers
            if self.decoder.is_none() {
                return Ok(Some(data));
            }
            self.encoded = data;
        }
    }

    async fn decoded(&mut self, bytes: Bytes) -> Result<Bytes, Failure> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(bytes) };
        let decoded = tokio::task::spawn_blocking(move || decoder.decode(&bytes).map(|decoded| (decoded, decoder)));
        let (decoded, decoder) = decoded.await.map_err(|_| Failure::Bug)?.map_err(|_| mislabelled())?;
        self.decoder = Some(decoder);
        Ok(decoded.into())
    }
}
