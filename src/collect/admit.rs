//! Is the source known, and may this request use it? (docs/contract.md, sections 3, 8, 9 and 10)

use std::sync::Arc;

use super::{Bots, Collector, Credentials, Disclosure, Incoming, Rejection, event_ids::give_ids};
use crate::model::{AgentKind, ClientFacts, Dnt, Id, KnownAgent, Origin, RegisteredSource, SourceType};

const DISABLED: Rejection = Rejection::Denied("The source is disabled.");

/// A payload that its source admits.
pub struct Admitted {
    pub incoming: Incoming,
    pub source: Arc<RegisteredSource>,
    /// It came with one of the source's secrets, or with the administrator's token.
    pub trusted: bool,
    pub bot: bool,
    /// The visitor asks not to be tracked, and the source hears it: nothing tells whose the events are.
    pub opted_out: bool,
    /// The profile that a link from another domain names.
    pub passed: Option<Id>,
    /// Sessions are stored.
    pub save_session: bool,
    /// Events are stored, unless they say otherwise.
    pub save_events: bool,
    /// The answer tells what really happened.
    pub debugger: bool,
    /// The answer has all of its parts.
    pub full_answer: bool,
}

impl Admitted {
    /// The session that the server made the id of.
    pub fn made_session(&self) -> Option<Id> {
        let payload = &self.incoming.payload;
        payload.session.clone().filter(|_| payload.opens_session)
    }
}

impl Collector {
    pub(super) fn admit(&self, mut incoming: Incoming) -> Result<Admitted, Rejection> {
        let Incoming { endpoint, client, credentials, .. } = &incoming;
        let (source, trusted) = self.check_source(*endpoint, &incoming.payload.source, client, credentials)?;
        let opted_out = incoming.opted_out && source.terms.dnt != Dnt::Ignore;
        if opted_out && source.terms.dnt == Dnt::Refuse {
            let why = "Events of visitors who ask not to be tracked (DNT, Sec-GPC) are not accepted.";
            return Err(Rejection::NotAccepted(why.into()));
        }
        if opted_out {
            incoming.profile_less = true;
            let payload = &mut incoming.payload;
            (payload.session, payload.profile, payload.device) = (None, None, None);
        }
        if let (SourceType::Webhook, Some(place)) = (incoming.endpoint, &source.terms.event_id) {
            give_ids(place, incoming.header.as_ref(), &mut incoming.payload.events);
        }
        let Incoming { endpoint, client, .. } = &incoming;
        let payload = &incoming.payload;
        let passed = self.passed(&incoming).filter(|_| !opted_out);
        let sent_ids = payload.session.iter().chain(&payload.profile).chain(&payload.device).chain(&passed);
        let event_ids = payload.events.iter().filter_map(|event| event.id.as_ref());
        if sent_ids.chain(event_ids).any(Id::is_reserved) {
            return Err(Rejection::Denied("Ids that start with @ are reserved."));
        }
        // Services name themselves as they like: only strangers' visits are judged by that.
        let judged = client.user_agent.as_deref().filter(|_| *endpoint == SourceType::Rest && !trusted);
        let bot = judged.is_some_and(|agent| KnownAgent::of(agent).kind == AgentKind::Bot);
        if bot && self.settings.bots == Bots::Refuse {
            return Err(Rejection::NotAccepted("Bots are not accepted.".into()));
        }
        let debugger =
            payload.options.debugger && (self.settings.debugger != Disclosure::None || incoming.dry_run.is_some());
        Ok(Admitted {
            trusted,
            bot,
            opted_out,
            passed,
            save_session: payload.options.save_session && !source.source.transitional,
            save_events: payload.options.save_events && !source.source.transitional,
            debugger,
            full_answer: debugger || source.terms.full_answer,
            source,
            incoming,
        })
    }

    /// The source, if it takes what comes to this endpoint from the client's web origin with these credentials, and
    /// whether they prove that it is no stranger's.
    ///
    /// # Errors
    /// It does not take it.
    pub fn check_source(
        &self,
        endpoint: SourceType,
        id: &Id,
        client: &ClientFacts,
        credentials: &Credentials,
    ) -> Result<(Arc<RegisteredSource>, bool), Rejection> {
        let source = self.store.source(id).ok_or(Rejection::Denied("Invalid source."))?;
        if matches!(credentials, Credentials::Redirect) {
            // Browsers bring neither when they follow a link.
            return if source.source.enabled { Ok((source, false)) } else { Err(DISABLED) };
        }
        usable(&source, endpoint)?;
        if let (Some(allowed), Some(origin)) = (&source.terms.origins, &client.origin)
            && !Origin::parse(origin).is_ok_and(|origin| allowed.contains(&origin))
        {
            return Err(Rejection::Denied("The source does not take events from this origin."));
        }
        let trusted = is_trusted(&source, credentials)?;
        Ok((source, trusted))
    }
}

/// Whether the credentials are the source's or the administrator's. What a client of a source without secrets says of
/// who it is means something to others on the way.
fn is_trusted(source: &RegisteredSource, credentials: &Credentials) -> Result<bool, Rejection> {
    let trusted = match credentials {
        Credentials::Administrator => true,
        Credentials::Secret(sent) if !source.secrets.is_empty() => {
            if !source.secrets.accept(sent) {
                return Err(Rejection::Denied("This is not the source's secret."));
            }
            true
        }
        Credentials::None | Credentials::Redirect | Credentials::Secret(_) => false,
    };
    if source.terms.requires_secret && !trusted {
        return Err(Rejection::Denied("The source's secret is expected."));
    }
    Ok(trusted)
}

fn usable(source: &RegisteredSource, endpoint: SourceType) -> Result<(), Rejection> {
    if !source.source.enabled {
        return Err(DISABLED);
    }
    if !source.source.types.contains(&endpoint) {
        return Err(Rejection::Denied(match endpoint {
            SourceType::Rest => "The source's type does not allow /track.",
            SourceType::Webhook => "The source's type does not allow /collect.",
        }));
    }
    Ok(())
}
