//! Is the source known, and may this request use it? (contract, sections 3, 8 and 10)

use std::sync::Arc;

use super::{Bots, Collector, Incoming, Rejection};
use crate::model::{ClientFacts, Id, Origin, RegisteredSource, SourceType};

/// A payload that its source admits.
pub struct Admitted {
    pub incoming: Incoming,
    pub source: Arc<RegisteredSource>,
    pub bot: bool,
    /// Sessions are stored.
    pub save_session: bool,
    /// Events are stored, unless they say otherwise.
    pub save_events: bool,
    /// The answer tells what really happened.
    pub debugger: bool,
}

impl Collector {
    pub(super) fn admit(&self, incoming: Incoming) -> Result<Admitted, Rejection> {
        let source = self.check_source(incoming.endpoint, &incoming.payload.source, &incoming.client)?;
        let payload = &incoming.payload;
        let sent_ids = payload.session.iter().chain(&payload.profile).chain(&payload.device);
        let event_ids = payload.events.iter().filter_map(|event| event.id.as_ref());
        if sent_ids.chain(event_ids).any(Id::is_reserved) {
            return Err(Rejection::Denied("Ids that start with @ are reserved."));
        }
        let bot = incoming.client.user_agent.as_deref().is_some_and(|agent| self.bots.is_bot(agent));
        if bot && self.settings.bots == Bots::Refuse {
            return Err(Rejection::NotAccepted("Bots are not accepted.".into()));
        }
        Ok(Admitted {
            bot,
            save_session: payload.options.save_session && !source.source.transitional,
            save_events: payload.options.save_events && !source.source.transitional,
            debugger: payload.options.debugger && (self.settings.debugger || incoming.trial.is_some()),
            source,
            incoming,
        })
    }

    /// The source, if it takes what comes to this endpoint from the client's web origin.
    ///
    /// # Errors
    /// It does not.
    pub fn check_source(
        &self,
        endpoint: SourceType,
        id: &Id,
        client: &ClientFacts,
    ) -> Result<Arc<RegisteredSource>, Rejection> {
        let source = self.store.source(id).ok_or(Rejection::Denied("Invalid source."))?;
        usable(&source, endpoint)?;
        if let (Some(allowed), Some(origin)) = (&source.terms.origins, &client.origin)
            && !Origin::parse(origin).is_ok_and(|origin| allowed.contains(&origin))
        {
            return Err(Rejection::Denied("The source does not take events from this origin."));
        }
        Ok(source)
    }
}

fn usable(source: &RegisteredSource, endpoint: SourceType) -> Result<(), Rejection> {
    if !source.source.enabled {
        return Err(Rejection::Denied("The source is disabled."));
    }
    if !source.source.types.contains(&endpoint) {
        return Err(Rejection::Denied(match endpoint {
            SourceType::Rest => "The source's type does not allow /track.",
            SourceType::Webhook => "The source's type does not allow /collect.",
        }));
    }
    Ok(())
}
