//! What is received, stored and answered.
//!
//! Plain values and the rules that make them valid (docs/contract.md, sections 1, 3, 9 and 10). This module knows
//! nothing of the others: no store, no HTTP, no clock.

mod agent;
mod answer;
mod aside;
mod boolean;
mod country;
mod counts;
mod debugging;
mod decimal;
mod definition;
mod derived;
mod document;
mod erasure;
mod event;
mod event_id;
mod facets;
mod fault;
mod fields;
mod form;
mod id;
mod json;
mod members;
mod merge;
mod object;
mod origin;
mod path;
mod payload;
mod place;
mod printable;
mod profile;
mod reader;
mod said_number;
mod schedule;
mod session;
mod source;
mod source_secret;
mod terms;
mod time;
mod value;
mod zone;

pub use agent::{AgentKind, KnownAgent};
pub use answer::{Answer, FullAnswer};
pub use aside::Aside;
pub use boolean::boolean_word;
pub use country::Country;
pub use counts::{DailyCounts, kind_in};
pub use debugging::{Debugging, Execution, Logs, SavedRecords, StepExecution};
pub use decimal::{Decimal, compare_numbers};
pub use definition::{Definition, DefinitionKind};
pub use derived::{Derived, landing};
pub use document::{Document, EventDocument, Person, ProfileDocument, RecordKind, SessionDocument};
pub use erasure::{Erasure, ErasureKind, IdHash, Left, Named};
pub use event::{ClientFacts, Event, EventParts, EventRequest, EventStatus, IDENTIFIED, Outcome, ShownEvent};
pub use event_id::{EventIdPlace, said_id};
pub use facets::{ContextSections, FACET_BYTES_MAX, Facets};
pub use fault::{Fault, Loc, cut, short};
pub use fields::{Field, Fields, Written};
pub use form::Form;
pub use id::{EventType, Id, ShortId};
pub use json::{Json, value_in};
pub use members::value_at;
pub use merge::{Conflict, MergeHistory, MergingWrites, NOTED_PARTS, Regained, Theirs};
pub use object::Object;
pub use origin::Origin;
pub use path::{Path, begins_with, is_within, steps_text};
pub use payload::{EVENTS_MAX, EventPayload, Options, Payload, PayloadError, WebhookProperties, check_tag};
pub use place::Place;
pub use printable::is_escaped;
pub use profile::{
    Alias, FieldChange, KEYS_NOTED, KnownKey, MergeKey, NAMES_SHOWN, Profile, ProfileRef, ShownProfile, Visit,
};
pub use reader::{LEVELS_MAX, Reader};
pub use schedule::{Chain, DelayedEvent, Pass, Runs};
pub use session::{Session, ShownSession};
pub use source::{Bridge, RegisteredSource, Source, SourceType};
pub use source_secret::{PlainSecret, SourceSecret, SourceSecrets};
pub use terms::{Dnt, Identify, KnownBy, ProfileTerms, Terms};
pub use time::Time;
pub use value::{Misplaced, Value};
pub use zone::Zone;
