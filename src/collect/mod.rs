//! One request's way, from its payload to its answer.
//!
//! ```text
//! admit      is the source known, and may this request use it?
//! identify   whose visit is it? session and profile, under locks by name
//! repeats    events that their source sent before are left out
//! process    what happens to the others (the room of that name does it)
//! commit     everything is queued as one, durable before the answer goes out
//! ```
//!
//! What is due by itself takes the same way (`due`).
//!
//! Knows no HTTP: what it needs of the request's head comes as [`Incoming`], what may go wrong leaves as [`Rejection`].

mod admit;
mod commit;
mod disclosure;
mod due;
mod event_ids;
mod identify;
mod parts;
mod pass;
mod process;
mod repeats;

use std::sync::Arc;

pub use disclosure::Disclosure;
pub use due::{Due, NotDone, Performed};
pub use event_ids::SentHeader;

use commit::{Finalized, to_json};

use crate::{
    clock::Clock,
    model::{ClientFacts, EventIdPlace, Fault, Id, Payload, SourceType},
    process::{Identity, Interrupted, Lookups, LoopBound, Redirect, RetryState, Rules, RulesInForce, Searches},
    store::{Refused, Store},
};

/// How often a request starts again at identify because what it read was taken back, or what is set up changed.
const ATTEMPTS_MAX: usize = 5;
/// How often it starts again because more names turned up.
const MORE_NAMES_MAX: usize = 20;

/// What the settings' section `track` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectSettings {
    /// What `options.debugger` shows whom.
    pub debugger: Disclosure,
    /// Whom `options.profile` shows whole profiles.
    pub profile: Disclosure,
    pub bots: Bots,
    /// Whether what the server itself notes is stored as events.
    pub internal_events: bool,
    /// Whether who came with a link from another domain is who they were there.
    pub pass: bool,
    /// The most bytes that a session gathers as its context and properties.
    pub session_bytes_max: usize,
    /// How often a workflow that follows from itself by delayed events runs for one person in a day; 0: as often as it does.
    pub runs_per_day: u64,
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
    pub client: Arc<ClientFacts>,
    /// The one that its source takes the ids of its events from; it is not stored.
    pub header: Option<SentHeader>,
    pub credentials: Credentials,
    /// The visitor asks not to be tracked, and does not say here what they allow.
    pub opted_out: bool,
    /// The length of the body, for the queue's sake.
    pub bytes: usize,
    /// Process it and answer, and store nothing.
    pub dry_run: Option<DryRun>,
}

/// What a request brings to show that it is not a stranger's. It has no `Debug`, so that secrets stand in no log.
pub enum Credentials {
    None,
    /// What may be a secret of the source.
    Secret(String),
    /// The administrator's token.
    Administrator,
    /// None: the administrator set it up that such requests come, by a redirect.
    Redirect,
}

/// How a payload is tried out.
#[derive(Clone)]
pub struct DryRun {
    /// Whether external systems are asked.
    pub lookups: bool,
    /// By which rules, if not by those in force.
    pub rules: Option<Arc<Rules>>,
}

/// Why a payload was not taken: nothing of it is stored (but see [`Refused::OutcomeUnknown`]).
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// The source does not admit it.
    #[error("Access denied. {0}")]
    Denied(&'static str),
    /// An event is not accepted.
    #[error("{0}")]
    NotAccepted(String),
    #[error("{0}")]
    Invalid(Fault),
    #[error("{0}")]
    Refused(#[from] Refused),
}

impl From<Interrupted> for Rejection {
    fn from(why: Interrupted) -> Self {
        match why {
            Interrupted::NotAccepted(why) => Self::NotAccepted(format!("Validation failed with error: {why}")),
            Interrupted::Invalid(fault) => Self::Invalid(fault),
            Interrupted::Refused(refused) => Self::Refused(refused),
            Interrupted::Names(_) | Interrupted::Session(_) | Interrupted::Again => Self::Refused(too_fast()),
        }
    }
}

/// How often a request started again.
#[derive(Default)]
struct RetryBudget {
    stale: usize,
    more: usize,
}

impl RetryBudget {
    /// Whether it is to start again, with what it remembers.
    ///
    /// # Errors
    /// It is not: why.
    fn again(&mut self, why: Interrupted, retry: &mut RetryState) -> Result<(), Interrupted> {
        if let Interrupted::Refused(Refused::Stale) = why {
            self.stale += 1;
            return if self.stale < ATTEMPTS_MAX { Ok(()) } else { Err(too_fast().into()) };
        }
        retry.note(why, 0)?;
        self.more += 1;
        if self.more < MORE_NAMES_MAX { Ok(()) } else { Err(too_fast().into()) }
    }
}

fn too_fast() -> Refused {
    Refused::Unavailable("what the request is about changes too fast".into())
}

/// Takes payloads.
pub struct Collector {
    store: Arc<Store>,
    clock: Arc<Clock>,
    settings: CollectSettings,
    rules: Arc<RulesInForce>,
    identity: Identity,
    lookups: Arc<Lookups>,
    searches: Searches,
    loops: LoopBound,
}

impl Collector {
    pub fn new(
        store: Arc<Store>,
        clock: Arc<Clock>,
        settings: CollectSettings,
        rules: Arc<RulesInForce>,
        identity: Identity,
        lookups: Arc<Lookups>,
    ) -> Self {
        Self {
            store,
            clock,
            settings,
            rules,
            identity,
            lookups,
            searches: Searches::default(),
            loops: LoopBound::new(settings.runs_per_day),
        }
    }

    /// What is set up for visitors who come by this address.
    pub fn redirect(&self, id: &Id) -> Option<Arc<Redirect>> {
        self.rules.get().redirect(id)
    }

    /// The header that a source takes the ids of a webhook's events from, in lower case.
    pub fn event_id_header(&self, source: &Id) -> Option<Box<str>> {
        match &self.store.source(source)?.terms.event_id {
            Some(EventIdPlace::Header(name)) => Some(name.clone()),
            _ => None,
        }
    }

    /// Takes a payload; returns the answer as JSON once everything that it speaks of is durable.
    pub async fn collect(&self, mut incoming: Incoming) -> Result<Vec<u8>, Rejection> {
        if incoming.payload.opens_session {
            incoming.payload.session = Some(self.clock.make_id());
        }
        let admitted = self.admit(incoming)?;
        let (mut retry, mut budget) = (RetryState::default(), RetryBudget::default());
        loop {
            let tried = admitted.incoming.dry_run.as_ref().and_then(|dry_run| dry_run.rules.clone());
            let rules = tried.unwrap_or_else(|| self.rules.get());
            match self.attempt(&admitted, &rules, &mut retry).await {
                Ok(answer) => return Ok(answer),
                Err(why) => budget.again(why, &mut retry)?,
            }
        }
    }

    async fn attempt(
        &self,
        admitted: &admit::Admitted,
        rules: &Arc<Rules>,
        retry: &mut RetryState,
    ) -> Result<Vec<u8>, Interrupted> {
        retry.begin();
        let identified = self.identify(admitted, retry).await?;
        let sifted = repeats::sift(admitted, &identified);
        if sifted.only_repeats {
            return self.answer_repeats(admitted, &identified, sifted, rules).await;
        }
        // On the heap, as what follows: while it waits for the disk, a request does not carry the room that this took.
        let processed = Box::pin(self.process(admitted, &identified, sifted, rules, retry)).await?;
        let view = &identified.view;
        if admitted.incoming.dry_run.is_some() {
            return Ok(Box::pin(processed.answer_trial(admitted, view, self.clock.now())).await?);
        }
        self.check_in_force(rules, retry)?;
        let outcomes = processed.outcome.outcomes();
        let (prepared, mut answer) = Box::pin(processed.prepare(admitted, view)).await?;
        let permit = self.store.permit(admitted.incoming.bytes + prepared.bytes()).await?;
        let (profile, pending) = view.push(permit, |moment| {
            let Finalized { entries, profile } = prepared.finalize(moment);
            (entries, profile)
        })?;
        drop(identified); // the next request of this session sees it already; only the answer waits for the disk
        self.rules.tallies.note_all(outcomes, &self.clock);
        answer.profile = profile;
        let answer = to_json(&answer);
        pending.durable().await?; // from here on it is stored, whatever happens
        Ok(answer)
    }

    /// What was set up meanwhile counts for a request that took long, too: whoever looks through all profiles for it comes
    /// by before the request is stored.
    fn check_in_force(&self, rules: &Arc<Rules>, retry: &mut RetryState) -> Result<(), Interrupted> {
        if Arc::ptr_eq(&self.rules.get(), rules) || retry.outdated == ATTEMPTS_MAX {
            return Ok(());
        }
        retry.outdated += 1;
        Err(Interrupted::Again)
    }
}
