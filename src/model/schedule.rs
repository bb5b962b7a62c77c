//! What is to happen later: events with a delay, and how far a schedule is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Id, Json, ProfileRef, Time};

/// An event that is to happen at its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DelayedEvent {
    pub due: Time,
    pub source: Id,
    pub session: Option<Id>,
    pub profile: Option<ProfileRef>,
    /// Its type.
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub properties: Json,
    /// The workflows that led to it.
    pub chain: Chain,
    /// It is stored when it happens.
    pub saved: bool,
}

/// The workflows that led to a delayed event, the one by delayed events of the other. It goes from event to event, so that a
/// loop is known as one wherever it goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Chain {
    #[default]
    None,
    /// Until format 7 the events were counted that emitted each other without a delay. Nothing follows from it.
    OneBefore,
    TwoBefore,
    ThreeBefore,
    /// In the order in which they came, each once.
    Workflows(Vec<Runs>),
}

/// How often a workflow ran on a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    pub workflow: Id,
    /// Days since 1970, of UTC.
    pub day: i64,
    pub count: u64,
}

/// How many workflows a chain has at most; of more, the last.
const CHAIN_MAX: usize = 100;

impl Chain {
    /// How often the workflow ran when it led to this; `None`: it did not.
    pub fn of(&self, workflow: &Id) -> Option<&Runs> {
        self.workflows().iter().find(|runs| runs.workflow == *workflow)
    }

    /// The chain of what the workflow leads to from here.
    pub fn through(&self, runs: Runs) -> Self {
        let before = self.workflows().iter().filter(|before| before.workflow != runs.workflow);
        let mut workflows: Vec<Runs> = before.cloned().collect();
        workflows.push(runs);
        workflows.drain(..workflows.len().saturating_sub(CHAIN_MAX));
        Self::Workflows(workflows)
    }

    fn workflows(&self) -> &[Runs] {
        if let Self::Workflows(workflows) = self { workflows } else { &[] }
    }
}

impl DelayedEvent {
    /// What the server itself notes of a profile, to be processed as soon as may be.
    pub fn internal(source: Id, profile: ProfileRef, kind: &str, now: Time) -> Self {
        Self {
            due: now,
            source,
            session: None,
            profile: Some(profile),
            kind: kind.into(),
            name: kind.into(),
            properties: Json::empty_object(),
            chain: Chain::None,
            saved: false,
        }
    }
}

/// How far something that is scheduled is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// When it last began.
    pub begun: Time,
    /// The profile that it dealt with last, unless it came to its end.
    pub under_way: Option<Id>,
}
