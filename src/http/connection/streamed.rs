//! The body of an answer that comes in pieces: until the last of them its connection does not rest.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame};

use super::activity::Activity;

/// A body that tells its connection that it is under way, from when it is made until it is dropped: hyper drops it once
/// its last piece is there, before it writes the end.
pub struct Streamed<B> {
    body: B,
    activity: Arc<Activity>,
}

impl<B> Streamed<B> {
    /// `is_endless`: the body would never end by itself.
    pub fn new(body: B, activity: Arc<Activity>, is_endless: bool) -> Self {
        activity.stream_begins(is_endless);
        Self { body, activity }
    }
}

impl<B: Body + Unpin> Body for Streamed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
}

impl<B> Drop for Streamed<B> {
    fn drop(&mut self) {
        self.activity.stream_ends();
    }
}
