//! How requests went, counted by the pattern of their path: what a client makes up is no path of its own.

use std::{collections::BTreeMap, time::Instant};

use hyper::StatusCode;

use super::{
    failure::Reason,
    route::{self, Audience, Route},
};
use crate::{
    count::{Counter, Histogram},
    metrics::RequestFigures,
};

/// The statuses that are counted each by itself.
const STATUSES: [(u16, &str); 22] = [
    (200, "200"),
    (204, "204"),
    (302, "302"),
    (303, "303"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (414, "414"),
    (415, "415"),
    (417, "417"),
    (422, "422"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (503, "503"),
];
/// What another path, or another status, is called.
const OTHER: &str = "other";

/// The counters of every path, by its place in the table of paths, and those of all other paths at the end.
pub struct Requests {
    paths: Box<[PathCounts]>,
    refused: [Counter; Reason::ALL.len()],
}

#[derive(Default)]
struct PathCounts {
    by_status: [Counter; STATUSES.len() + 1],
    time: Histogram,
}

/// A request under way. It is counted when it is dropped: one that panicked is, too.
pub struct UnderWay<'a> {
    requests: &'a Requests,
    path: &'a PathCounts,
    collects: bool,
    begun: Instant,
    status: StatusCode,
    refused: Option<Reason>,
}

impl Requests {
    pub fn new() -> Self {
        let paths = 0..=route::patterns().len();
        Self { paths: paths.map(|_| PathCounts::default()).collect(), refused: Default::default() }
    }

    /// A request begins; `route` is what its path leads to, if anything.
    pub fn begin(&self, route: Option<&Route>) -> UnderWay<'_> {
        let path = route.map_or(self.paths.len() - 1, |route| route.place);
        UnderWay {
            requests: self,
            path: &self.paths[path],
            collects: route.is_some_and(|route| route.audience == Audience::Clients),
            begun: Instant::now(),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            refused: Some(Reason::Bug),
        }
    }

    /// How many requests were answered.
    pub fn count(&self) -> u64 {
        self.paths.iter().flat_map(|path| &path.by_status).map(Counter::get).sum()
    }

    /// The paths that were asked for.
    pub fn by_path(&self) -> BTreeMap<&'static str, RequestFigures> {
        let patterns = route::patterns().chain([OTHER]);
        let figures = patterns.zip(&self.paths).map(|(pattern, path)| {
            let words = STATUSES.iter().map(|(_, word)| *word).chain([OTHER]);
            let by_status = words.zip(path.by_status.iter().map(Counter::get)).filter(|(_, count)| *count > 0);
            (pattern, RequestFigures { by_status: by_status.collect(), time: path.time.get() })
        });
        figures.filter(|(_, requests)| !requests.by_status.is_empty()).collect()
    }

    /// Requests to the paths that collect which were not taken, by the reason.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        Reason::ALL.iter().map(|reason| reason.word()).zip(self.refused.iter().map(Counter::get)).collect()
    }
}

impl UnderWay<'_> {
    /// It is answered; `refused` tells why it was not taken, if so.
    pub fn answered(mut self, status: StatusCode, refused: Option<Reason>) {
        (self.status, self.refused) = (status, refused);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let status = STATUSES.iter().position(|(status, _)| *status == self.status).unwrap_or(STATUSES.len());
        self.path.by_status[status].increment();
        self.path.time.observe(self.begun.elapsed());
        if let Some(reason) = self.refused.filter(|_| self.collects) {
            self.requests.refused[reason as usize].increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_nowhere_and_statuses_that_nobody_knows_are_one_each() {
        let requests = Requests::new();
        let find = |path: &str| Route::find(&path.parse().unwrap()).ok();
        for path in ["/a", "/b", "/session/x", "/session/y/"] {
            requests.begin(find(path).as_ref()).answered(StatusCode::NOT_FOUND, None);
        }
        requests.begin(find("/track").as_ref()).answered(StatusCode::IM_A_TEAPOT, None);
        drop(requests.begin(find("/track").as_ref()));
        let counted: Vec<_> = requests
            .by_path()
            .into_iter()
            .map(|(path, requests)| (path, requests.by_status.into_iter().collect::<Vec<_>>(), requests.time.count()))
            .collect();
        assert_eq!(
            counted,
            [
                ("/session/{id}", vec![("404", 2)], 2),
                ("/track", vec![("500", 1), (OTHER, 1)], 2),
                (OTHER, vec![("404", 2)], 2)
            ]
        );
        assert_eq!(requests.refused()["bug"], 1, "what was never answered panicked");
    }

    #[test]
    fn each_reason_has_a_place_of_its_own() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
