//! A visit of five pages in a real browser, by somebody who was never there.

use std::cell::Cell;

use serde_json::{Value, json};

use super::stage::{PAGES, Stage};
use crate::{Result, support::browser::Browser};

/// What a script leaves behind, in characters of names and values.
const LEFT: &str = "[localStorage, sessionStorage].flatMap(Object.entries).flat().join('').length \
     + document.cookie.length";

#[derive(Debug)]
pub struct Visit {
    /// Milliseconds of processor time that the main thread took for each page, from its beginning until it rests.
    pub page_ms: Vec<f64>,
    pub requests: usize,
    /// Of requests and answers, the script among them.
    pub bytes: usize,
    pub left_bytes: u64,
}

pub struct Visitor<'a> {
    browser: Browser,
    stage: &'a Stage,
    visits: Cell<usize>,
}

impl<'a> Visitor<'a> {
    pub fn new(stage: &'a Stage) -> Self {
        let browser = Browser::start();
        // ChromeDriver listens to what pages log, which makes logging dearer than it is for people.
        for domain in ["Runtime", "Log", "Network"] {
            browser.devtools(&format!("{domain}.disable"), json!({}));
        }
        // Processor time: other work on the machine does not count.
        browser.devtools("Performance.enable", json!({ "timeDomain": "threadTicks" }));
        Self { browser, stage, visits: Cell::new(0) }
    }

    /// Visits the pages of the candidate at `place`; `sends` is whether they must send something.
    pub fn visit(&self, place: usize, sends: bool) -> Result<Visit> {
        self.visits.set(self.visits.get() + 1);
        let door = self.stage.door(self.visits.get(), place);
        self.until_rest(|| _ = self.browser.devtools("Page.navigate", json!({ "url": door })))?;
        self.stage.traffic.take();
        let mut page_ms = Vec::new();
        for _ in 0..PAGES {
            self.until_rest(|| _ = self.evaluate("document.querySelector('a').click()"))?;
            page_ms.push(self.task_ms()?);
        }
        let left_bytes = self.evaluate(LEFT).as_u64().ok_or("what is left cannot be counted")?;
        // What is sent as the last page goes belongs to the visit.
        let away = self.stage.door(0, 0);
        self.until_rest(|| _ = self.browser.devtools("Page.navigate", json!({ "url": away })))?;
        let exchanges = self.stage.traffic.take();
        if let Some(refused) = exchanges.iter().find(|exchange| !(200..300).contains(&exchange.status)) {
            return Err(format!("{} was answered {}", refused.path, refused.status).into());
        }
        // The script, and something for each page.
        if sends && exchanges.len() <= PAGES {
            return Err(format!("only {} requests for {PAGES} pages", exchanges.len()).into());
        }
        let bytes = exchanges.iter().map(|exchange| exchange.bytes).sum();
        Ok(Visit { page_ms, requests: exchanges.len(), bytes, left_bytes })
    }

    /// Does what leads to another page, and waits until that rests.
    fn until_rest(&self, lead: impl FnOnce()) -> Result<()> {
        let before = self.stage.traffic.pages();
        lead();
        self.stage.traffic.wait_for_rest(before)
    }

    fn evaluate(&self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "userGesture": true, "returnByValue": true });
        self.browser.devtools("Runtime.evaluate", asked)["result"]["value"].clone()
    }

    /// What the tasks of the page's main thread took since the page began.
    fn task_ms(&self) -> Result<f64> {
        let said = self.browser.devtools("Performance.getMetrics", json!({}));
        let metrics = said["metrics"].as_array().ok_or("no metrics")?;
        let seconds = metrics.iter().find(|metric| metric["name"] == "TaskDuration");
        Ok(seconds.and_then(|metric| metric["value"].as_f64()).ok_or("no duration of tasks")? * 1e3)
    }
}
