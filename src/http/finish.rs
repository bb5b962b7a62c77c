//! A request that was sent whole is finished, even if its client goes away.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use super::{failure::Failure, reply::Reply};

type Answering = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// The answer to a request. hyper drops what it asked for, even unlooked at, when the client goes away: what is left of
/// it is done by a task of its own then.
pub struct ToItsEnd(Option<Answering>);

impl ToItsEnd {
    pub fn new(answering: impl Future<Output = Result<Reply, Failure>> + Send + 'static) -> Self {
        Self(Some(Box::pin(answering)))
    }
}

impl Future for ToItsEnd {
    type Output = Result<Reply, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answering) = &mut self.0 else { return Poll::Pending }; // nobody asks again once it was answered
        // A request that panics is answered, and others of its connection go on. It is dropped and never looked at again.
        let polled = catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context)));
        let answered = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answered)) => answered,
            Err(_) => {
                tracing::error!("a request failed"); // how, the panic said itself
                Err(Failure::Bug)
            }
        };
        self.0 = None;
        Poll::Ready(answered)
    }
}

impl Drop for ToItsEnd {
    fn drop(&mut self) {
        if let (Some(answering), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(answering);
        }
    }
}
