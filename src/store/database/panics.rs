//! Panics of the embedded database, which may meet a damaged file: an error like any other, and told as one.

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// `Some` while this thread runs what may panic: what a panic said.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs what may panic in the embedded database.
///
/// # Errors
/// It did; what it said.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let otherwise = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let payload = info.payload();
            let said = payload.downcast_ref::<&str>().copied();
            let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic");
            let is_caught = CAUGHT.with_borrow_mut(|caught| match caught {
                Some(caught) => {
                    said.clone_into(caught);
                    true
                }
                None => false,
            });
            if !is_caught {
                otherwise(info);
            }
        }));
    });
    let outer = CAUGHT.replace(Some(String::new()));
    let ran = panic::catch_unwind(AssertUnwindSafe(run));
    let said = CAUGHT.replace(outer).unwrap_or_default();
    // One line of it is enough for people.
    ran.map_err(|_| said.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_tells_what_it_said() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| -> u8 { panic!("first {}\nsecond", "line") }), Err("first line".to_owned()));
        let nested = caught(|| caught(|| -> u8 { panic!("inner") }));
        assert_eq!(nested, Ok(Err("inner".to_owned())));
    }
}
