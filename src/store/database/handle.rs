//! Handles of a database: it syncs its file when the last one goes, and panics where the disk does not let it.

use std::ops::Deref;

use super::caught;

/// A database or a tree of one. Where it goes without having been closed, as one that failed does, nothing is lost that
/// counts, so that a panic then is told and ends there: several may go together, one of them while another one panics.
pub struct Handle<T>(Option<T>);

/// Why there is something in a handle.
const TAKEN: &str = "it is taken by who takes the handle as a whole";

impl<T> Handle<T> {
    pub fn new(handle: T) -> Self {
        Self(Some(handle))
    }

    /// What it holds, for whoever closes it.
    pub fn into_inner(mut self) -> T {
        self.0.take().expect(TAKEN)
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect(TAKEN)
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        let handle = self.0.take();
        if let Err(said) = caught(|| drop(handle)) {
            tracing::warn!(said, "a database that was not closed could not be synced");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails;

    impl Drop for Fails {
        fn drop(&mut self) {
            panic!("no sync");
        }
    }

    #[test]
    fn several_fail_together_and_do_no_harm() {
        drop([Handle::new(Fails), Handle::new(Fails)]);
        let unwound = caught(|| {
            let _dropped_while_unwinding = [Handle::new(Fails), Handle::new(Fails)];
            panic!("a bug");
        });
        assert_eq!(unwound, Err("a bug".to_owned()));
    }
}
