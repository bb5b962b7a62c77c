//! One request's way, from its payload to its answer.
//!
//! ```text
//! admit      is the source known, and may this request use it?
//! identify   whose visit is it? session and profile, under locks by name
//! process    what happens to each event
//! commit     everything is queued as one, durable before the answer goes out
//! ```
//!
//! Knows no HTTP: what it needs of the request's head comes as [`Incoming`], what may go wrong leaves as [`Rejection`].

mod admit;
mod commit;
mod identify;
mod process;

pub use identify::{find_profile, referred_profile};

use std::sync::Arc;

use crate::{
    clock::Clock,
    model::{Answer, ClientFacts, Fault, Origin, Payload, SourceType},
    store::{Refused, Store},
};

/// How often a request starts again at identify because what it read was taken back.
const ATTEMPTS_MAX: usize = 5;

/// What the settings' section `track` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectSettings {
    /// Whether `options.debugger` is heard.
    pub debugger: bool,
    /// Whether `options.profile` is heard.
    pub profile: bool,
    pub bots: Bots,
    /// The most bytes that a session gathers as its context and properties.
    pub session_bytes_max: usize,
}

/// What becomes of events that a known bot sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bots {
    Mark,
    Refuse,
}

/// A payload with what is known of the request that brought it.
pub struct Incoming {
    pub endpoint: SourceType,
    pub payload: Payload,
    pub profile_less: bool,
    pub client: ClientFacts,
    /// The web origin that the browser named; `Some(None)` when it cannot be read.
    pub origin: Option<Option<Origin>>,
    /// The length of the body, for the queue's sake.
    pub bytes: usize,
}

/// Why a payload was not taken: nothing of it is stored (but see [`Refused::OutcomeUnknown`]).
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The source does not admit it.
    #[error("Access denied. {0}")]
    Denied(&'static str),
    /// An event is not accepted.
    #[error("{0}")]
    NotAccepted(&'static str),
    #[error("{0}")]
    Invalid(Fault),
    #[error("{0}")]
    Refused(#[from] Refused),
}

/// Takes payloads.
pub struct Collector {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<Clock>,
    settings: CollectSettings,
    bots: isbot::Bots,
}

impl Collector {
    pub fn new(store: Arc<Store>, clock: Arc<Clock>, settings: CollectSettings) -> Self {
        Self { store, clock, settings, bots: isbot::Bots::default() }
    }

    /// Takes a payload; returns the answer as JSON once everything that it speaks of is durable.
    pub async fn collect(&self, incoming: Incoming) -> Result<Vec<u8>, Rejection> {
        let admitted = self.admit(incoming)?;
        for _ in 0..ATTEMPTS_MAX {
            match self.attempt(&admitted).await {
                Err(Rejection::Refused(Refused::Stale)) => {}
                done => return done,
            }
        }
        Err(Refused::Unavailable("the store is recovering from a failed write".into()).into())
    }

    async fn attempt(&self, admitted: &admit::Admitted) -> Result<Vec<u8>, Rejection> {
        let identified = self.identify(admitted).await?;
        let processed = process::process(admitted, &identified);
        if processed.only_repeats {
            return self.answer_repeats(admitted, &identified, processed).await;
        }
        let prepared = self.prepare(admitted, &identified, processed).await?;
        let room = self.store.room(admitted.incoming.bytes + prepared.session_bytes()).await?;
        let (answer, pending) =
            self.store.push(identified.generation, room, |moment| prepared.fix(admitted, moment))?;
        drop(identified); // the next request of this session sees it already; only the answer waits for the disk
        pending.durable().await?;
        Ok(answer)
    }
}

/// The answer as it goes out.
fn to_json(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer is made of texts, numbers and JSON that was read")
}
