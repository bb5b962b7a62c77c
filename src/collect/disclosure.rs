//! What an answer tells of people, and whom (docs/contract.md, sections 3 and 11).
//!
//! A source's id is public, and an address can be guessed: whoever sends somebody's address is led to their profile. So
//! of people who are known, and of what external systems said, an answer tells strangers nothing but an id.

use std::sync::Arc;

use super::{
    Collector,
    admit::Admitted,
    identify::{Identified, Person},
    parts::Parts,
};
use crate::{
    model::Profile,
    process::{ProfileDraft, Rules},
};

/// Whom an answer tells something about profiles: what the settings `track.profile` and `track.debugger` are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disclosure {
    /// Nobody.
    None,
    /// About people who are known, whoever has the source's secret or the administrator's token; else anyone.
    Anonymous,
    /// Anyone.
    All,
}

/// What an answer keeps to itself of what the payload wants to be told.
#[derive(Clone, Copy, Default)]
pub struct Withheld {
    /// The profile, but for its id.
    pub profile: bool,
    /// What the debugger shows, but for what became of the records that the client speaks of.
    pub debugging: bool,
    /// The events that the server noted beside those that the client sent.
    pub noted: bool,
}

impl Withheld {
    /// What the client is told about it.
    pub fn warnings(self) -> impl Iterator<Item = String> {
        const PROFILE: &str = "The profile is somebody's who is known, or another sender's: it is answered whole only with the source's \
            secret or the administrator's token.";
        const DEBUGGING: &str = "Execution, segmentation, logs and what was noted beside the events that were sent are \
            shown only with the source's secret or the administrator's token: somebody is known or was looked for, or \
            an external system was asked.";
        let said = [(self.profile, PROFILE), (self.debugging, DEBUGGING)];
        said.into_iter().filter(|(withheld, _)| *withheld).map(|(_, warning)| warning.to_owned())
    }
}

impl Collector {
    /// Whether whoever sent the request may learn something of people who are known.
    pub(super) fn may_learn(&self, admitted: &Admitted) -> bool {
        admitted.trusted || self.settings.profile == Disclosure::All
    }

    /// Whether the answer has the whole profile, as the payload wants it.
    pub(super) fn answers_whole(&self, admitted: &Admitted, withheld: Withheld) -> bool {
        admitted.incoming.payload.options.profile && self.settings.profile != Disclosure::None && !withheld.profile
    }

    /// What is withheld from whoever sent a request that is about `parts`. `searched`: it looked for people, or asked
    /// external systems, so that all that was done since speaks of them, whether or not somebody was found.
    pub(super) fn withheld(&self, admitted: &Admitted, parts: &Parts<'_>, rules: &Rules, searched: bool) -> Withheld {
        let keeps = |from: Disclosure| from == Disclosure::Anonymous && !admitted.trusted;
        let profile = admitted.incoming.payload.options.profile && keeps(self.settings.profile);
        let debugging = admitted.debugger && keeps(self.settings.debugger);
        let noted = admitted.full_answer && self.settings.debugger != Disclosure::All && !admitted.trusted;
        if !profile && !debugging && !noted {
            return Withheld::default();
        }
        let known = parts.profiles.iter().any(|draft| rules.is_known(&self.identity, draft));
        let tells = known || searched || has_unread_profile(parts);
        Withheld { profile: profile && known, debugging: debugging && tells, noted: noted && tells }
    }

    /// What is withheld of the answer to repeats, whose first one is of the profile `whose`: whoever guesses an event's id
    /// is not told of its sender.
    pub(super) fn withheld_of_repeats(
        &self,
        admitted: &Admitted,
        identified: &Identified,
        whose: Option<&Arc<Profile>>,
        rules: &Rules,
    ) -> Withheld {
        let mut about = Parts::default();
        about.profiles.extend(whose.cloned().map(ProfileDraft::known));
        let withheld = self.withheld(admitted, &about, rules, false);
        let is_theirs = match (&identified.person, whose) {
            (Person::Known(sender), Some(whose)) => sender.reference() == whose.reference(),
            (_, whose) => whose.is_none(),
        };
        let keeps = self.settings.profile == Disclosure::Anonymous && !admitted.trusted;
        let wants = admitted.incoming.payload.options.profile;
        // Nothing was processed, so the debugger has nothing to show of anybody.
        Withheld { profile: withheld.profile || (wants && keeps && !is_theirs), debugging: false, noted: false }
    }
}

/// Whether one of the sessions has a profile that was not read, so that nobody can tell whose it is.
fn has_unread_profile(parts: &Parts<'_>) -> bool {
    let mut references = parts.sessions.iter().filter_map(|draft| draft.session.profile.as_ref());
    references.any(|reference| !parts.profiles.iter().any(|draft| draft.is_or_took_in(reference)))
}
