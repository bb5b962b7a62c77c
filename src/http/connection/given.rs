//! The body of an answer over HTTP/2: it is given in small pieces, so that it is known what its client has taken.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::streams::{Answering, Stream};

/// How much is given at a time. HTTP/2 asks for the next piece once it could send of the one before.
const PIECE: usize = 16 * 1024;

/// A body whose request counts as under way until its last piece was given.
pub struct Given<B> {
    body: B,
    /// What is there of it and was not given yet.
    left: Bytes,
    /// How much was given, and not taken yet.
    given: usize,
    stream: Option<Arc<Stream>>,
    _answering: Arc<Answering>,
}

impl<B> Given<B> {
    /// `is_endless`: the body would never end by itself.
    pub fn new(body: B, is_endless: bool, answering: Arc<Answering>) -> Self {
        let stream = Stream::current();
        if let Some(stream) = stream.as_ref().filter(|_| is_endless) {
            stream.never_ends();
        }
        Self { body, left: Bytes::new(), given: 0, stream, _answering: answering }
    }

    fn note(&mut self, given: usize) {
        let Some(stream) = &self.stream else { return };
        stream.take(std::mem::replace(&mut self.given, given));
        if given > 0 { stream.give() } else { stream.rest() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Given<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.left.is_empty() {
            let next = Pin::new(&mut self.body).poll_frame(context);
            match next {
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                    self.left = frame.into_data().unwrap_or_default();
                }
                other => {
                    self.note(0);
                    return other;
                }
            }
        }
        let piece = PIECE.min(self.left.len());
        let piece = self.left.split_to(piece);
        self.note(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, left) = (self.body.size_hint(), self.left.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + left);
        }
        hint.set_lower(rest.lower() + left);
        hint
    }
}

impl<B> Drop for Given<B> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            stream.rest();
        }
    }
}
