//! A request that was sent whole is finished, even if its client goes away.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use super::{connection::Activity, failure::Failure, reply::Reply};

type Answering = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// The answer to a request. hyper drops what it asked for, even unlooked at, when the connection fails: what is left of
/// it is done by the connection's task then, which keeps its place among the connections until it is.
pub struct ToItsEnd<'a> {
    answering: Option<Unwinding>,
    activity: &'a Activity,
    /// It only reads, and is given up when nobody waits for it any more.
    is_query: bool,
}

impl<'a> ToItsEnd<'a> {
    pub fn new(
        activity: &'a Activity,
        is_query: bool,
        answering: impl Future<Output = Result<Reply, Failure>> + Send + 'static,
    ) -> Self {
        Self { answering: Some(Unwinding(Box::pin(answering))), activity, is_query }
    }
}

impl Future for ToItsEnd<'_> {
    type Output = Result<Reply, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answering) = &mut self.answering else { return Poll::Pending }; // nobody asks again once it was answered
        let answered = std::task::ready!(Pin::new(answering).poll(context));
        self.answering = None;
        Poll::Ready(answered)
    }
}

impl Drop for ToItsEnd<'_> {
    fn drop(&mut self) {
        if let Some(answering) = self.answering.take().filter(|_| !self.is_query) {
            self.activity.leave_unfinished(Box::pin(async move { _ = answering.await }));
        }
    }
}

/// A request that panics is answered, and others of its connection go on.
struct Unwinding(Answering);

impl Future for Unwinding {
    type Output = Result<Reply, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // What panicked is dropped and never looked at again.
        catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))).unwrap_or_else(|_| {
            tracing::error!("a request failed"); // how, the panic said itself
            Poll::Ready(Err(Failure::Bug))
        })
    }
}
