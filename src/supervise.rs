//! Work that goes on for ever, also if it panics: a bug must not end what others rely on without a word.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt;

/// The pause after a first failure; it doubles with each further one.
pub const PAUSE: Duration = Duration::from_millis(500);
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What a future leads to; if it panics, what the panic said. What it changed on the way stays as it is: nothing of it
/// must be relied on afterwards.
pub async fn caught<F: Future>(work: F) -> Result<F::Output, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| message(&*panic))
}

/// As [`caught`], for what does not wait.
pub fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| message(&*panic))
}

/// Runs what `start` makes again and again. `ended` is told how each run ended, as [`caught`] says, and answers whether
/// the next one may begin at once or after a pause that grows with each failure.
pub async fn supervise<F: Future>(start: impl Fn() -> F, ended: impl Fn(Result<F::Output, String>) -> Next) {
    let mut pause = PAUSE;
    loop {
        let begun = Instant::now();
        let next = ended(caught(start()).await);
        if next == Next::AtOnce || begun.elapsed() > PAUSE_MAX {
            pause = PAUSE; // it went well for a while
        }
        if next == Next::AfterPause {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// When work goes on that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    AtOnce,
    AfterPause,
}

fn message(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a bug, please report it: {}", said.unwrap_or("it panicked"))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_told_and_goes_on() {
        let (runs, told) = (Cell::new(0), RefCell::new(Vec::new()));
        let work = || async {
            runs.set(runs.get() + 1);
            tokio::task::yield_now().await;
            match runs.get() {
                1 => panic!("run {}", runs.get()),
                2 => "well",
                _ => std::future::pending().await,
            }
        };
        let ended = |run: Result<&str, String>| {
            let next = if run.is_ok() { Next::AtOnce } else { Next::AfterPause };
            told.borrow_mut().push(run.map(str::to_owned));
            next
        };
        let waits = tokio::time::timeout(Duration::from_secs(5), supervise(work, ended));
        assert!(waits.await.is_err() && runs.get() == 3, "{} runs", runs.get());
        let told = told.into_inner();
        assert!(told[0].as_ref().is_err_and(|panic| panic.ends_with("run 1")), "{told:?}");
        assert_eq!(told[1..], [Ok("well".to_owned())]);
    }

    #[test]
    fn a_panic_says_what_it_said() {
        assert_eq!(caught_now(|| 1), Ok(1));
        assert!(caught_now(|| panic!("no {}", 1)).unwrap_err().ends_with("no 1"));
        assert!(caught_now(|| std::panic::panic_any(1)).unwrap_err().ends_with("it panicked"));
    }
}
