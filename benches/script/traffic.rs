//! What goes to where the scripts come from, and when all has come to rest.

use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::Result;

/// Where nothing was asked for so long, nothing will be: scripts wait a tenth of it with what they send.
const REST: Duration = Duration::from_millis(600);
const REST_LIMIT: Duration = Duration::from_secs(30);

/// A request and its answer, heads and bodies.
pub struct Exchange {
    pub path: String,
    pub status: u16,
    pub bytes: usize,
}

pub struct Traffic(Mutex<State>);

struct State {
    under_way: usize,
    changed: Instant,
    /// Pages that were asked for.
    pages: usize,
    exchanges: Vec<Exchange>,
}

impl Traffic {
    pub fn new() -> Self {
        Self(Mutex::new(State { under_way: 0, changed: Instant::now(), pages: 0, exchanges: Vec::new() }))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap();
        state.changed = Instant::now();
        change(&mut state);
    }

    pub fn page(&self) {
        self.change(|state| state.pages += 1);
    }

    pub fn begin(&self) {
        self.change(|state| state.under_way += 1);
    }

    pub fn end(&self, exchange: Exchange) {
        self.change(|state| {
            state.under_way -= 1;
            state.exchanges.push(exchange);
        });
    }

    /// How many pages were asked for so far.
    pub fn pages(&self) -> usize {
        self.0.lock().unwrap().pages
    }

    /// Waits until more than `before` pages were asked for and nothing is asked for any more.
    pub fn wait_for_rest(&self, before: usize) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < REST_LIMIT {
            let state = self.0.lock().unwrap();
            if state.pages > before && state.under_way == 0 && state.changed.elapsed() > REST {
                return Ok(());
            }
            drop(state);
            thread::sleep(Duration::from_millis(10));
        }
        Err("a page does not come to rest".into())
    }

    /// What was exchanged since it was last asked for.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.0.lock().unwrap().exchanges)
    }
}
