//! Passing over entries that nobody wants: a walk over their bytes that makes nothing of them.
//!
//! Nearly all that stands in a log is one of the first four kinds, whose forms are spelled out here; others are read and
//! dropped. That these forms are those of the records is checked by the tests below.

use super::{Entry, decode, encoded_length};

/// What kind of entry stands at the beginning of some bytes, as far as who looks for events must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped<'a> {
    Request,
    Event {
        /// As JSON.
        properties: &'a [u8],
    },
    Other,
}

/// The places of the first four variants of [`Entry`].
const REQUEST: u64 = 0;
const EVENT: u64 = 1;
const SESSION: u64 = 2;
const PROFILE: u64 = 3;
/// Those of imported events, which are of the same form as the first two.
const IMPORTED_REQUEST: u64 = 31;
const IMPORTED_EVENT: u64 = 32;

/// Passes over the entry at the beginning of `bytes`; `None`: there is none.
pub fn skip<'a>(bytes: &mut &'a [u8]) -> Option<Skipped<'a>> {
    let mut walk = Walk(bytes);
    let skipped = match walk.number()? {
        REQUEST | IMPORTED_REQUEST => walk.request().map(|()| Skipped::Request),
        EVENT | IMPORTED_EVENT => walk.event().map(|properties| Skipped::Event { properties }),
        SESSION => walk.session().map(|()| Skipped::Other),
        PROFILE => walk.profile().map(|()| Skipped::Other),
        _ => {
            let entry: Entry = decode(bytes)?;
            walk = Walk(bytes);
            walk.bytes(encoded_length(&entry)).map(|()| Skipped::Other)
        }
    };
    *bytes = walk.0;
    skipped
}

/// The bytes that were not walked over yet. Each step is `None` where they are not what they should be.
struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn bytes(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// An integer of any width, or a variant: small ones are a byte, the others stand behind one that tells their width.
    fn number(&mut self) -> Option<u64> {
        let width = match self.byte()? {
            251 => 2,
            252 => 4,
            253 => 8,
            254.. => return None, // no record has integers of 16 bytes
            small => return Some(small.into()),
        };
        let (bytes, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn numbers(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.number().map(|_| ()))
    }

    /// A text, or JSON.
    fn text(&mut self) -> Option<()> {
        self.seen_text().map(|_| ())
    }

    fn seen_text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(text)
    }

    fn texts(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.text())
    }

    fn optional(&mut self, part: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        match self.byte()? {
            0 => Some(()),
            1 => part(self),
            _ => None,
        }
    }

    fn list(&mut self, item: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        let length = self.number()?;
        (0..length).try_for_each(|_| item(self))
    }

    fn id(&mut self) -> Option<()> {
        match self.number()? {
            0 => self.bytes(16),
            1 => self.text(),
            _ => None,
        }
    }

    fn optional_number(&mut self) -> Option<()> {
        self.optional(|it| it.numbers(1))
    }

    fn optional_text(&mut self) -> Option<()> {
        self.optional(Self::text)
    }

    /// An id with a number behind it: a profile that is meant, or a name and since when it is one.
    fn reference(&mut self) -> Option<()> {
        self.id()?;
        self.numbers(1)
    }

    fn request(&mut self) -> Option<()> {
        self.numbers(1)?;
        self.id()?;
        self.optional(Self::id)?;
        self.optional(Self::reference)?;
        self.bytes(1)?;
        self.text()?;
        (0..5).try_for_each(|_| self.optional_text())?;
        match self.byte()? {
            0 | 1 => Some(()),
            2 | 3 => self.numbers(1),
            _ => None,
        }
    }

    /// Its properties.
    fn event(&mut self) -> Option<&'a [u8]> {
        self.id()?;
        self.bytes(1)?;
        self.texts(2)?;
        self.optional_number()?;
        let properties = self.seen_text()?;
        self.text()?;
        self.list(Self::text)?;
        self.optional_text()?;
        self.bytes(1)?;
        self.numbers(1)?;
        self.text()?;
        Some(properties)
    }

    fn session(&mut self) -> Option<()> {
        self.reference()?;
        self.optional(Self::reference)?;
        self.texts(2)?;
        self.optional(Self::id)?;
        self.optional_text()?;
        self.optional_text()?;
        self.text()?;
        self.optional_text()?;
        self.numbers(2)?;
        self.optional_number()?;
        self.optional_number()
    }

    fn profile(&mut self) -> Option<()> {
        self.reference()?;
        self.numbers(1)?;
        self.list(Self::reference)?;
        self.numbers(1)?;
        self.optional(Self::reference)?;
        self.history()?;
        self.bytes(1)?;
        self.optional_number()?;
        self.numbers(4)?;
        (0..2).try_for_each(|_| {
            self.optional(|visit| {
                visit.numbers(1)?;
                visit.id()
            })
        })?;
        self.text()?;
        self.list(|field| {
            field.text()?;
            field.numbers(2)?;
            match field.number()? {
                0 => {}
                1 => field.bytes(8)?,
                2 => field.text()?,
                _ => return None,
            }
            field.list(Self::written)
        })?;
        self.list(|key| {
            key.numbers(1)?;
            key.bytes(16)
        })?;
        self.list(|conflict| {
            conflict.text()?;
            conflict.written()
        })?;
        self.list(|count| {
            count.text()?;
            count.numbers(2)
        })
    }

    /// How a profile came to be one with others.
    fn history(&mut self) -> Option<()> {
        match self.number()? {
            0 | 1 => Some(()),
            2 => {
                self.bytes(1)?;
                self.list(|severed| severed.bytes(16))?;
                self.list(|joins| {
                    joins.bytes(16)?;
                    joins.numbers(2)
                })
            }
            _ => None,
        }
    }

    fn written(&mut self) -> Option<()> {
        self.numbers(2)?;
        self.bytes(1)?;
        self.text()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::{super::encode_into, *};
    use crate::model::{
        Alias, ClientFacts, Conflict, DailyCounts, Decimal, Event, EventRequest, EventStatus, Field, Id, Json,
        KnownKey, MergeHistory, MergeKey, Outcome, Profile, ProfileRef, Session, Time, Visit, Written,
    };

    fn history() -> impl Strategy<Value = MergeHistory> {
        let key = || any::<[u8; 16]>().prop_map(MergeKey);
        (any::<bool>(), prop::collection::vec(key(), 0..3), prop::collection::vec((key(), time()), 0..3)).prop_map(
            |(was_split, severed, joins)| {
                let mut history = MergeHistory::default();
                history.was_split = was_split;
                severed.into_iter().for_each(|key| history.sever(key));
                joins.into_iter().for_each(|(key, now)| history.count_join(key, now));
                history
            },
        )
    }

    fn id() -> impl Strategy<Value = Id> {
        prop_oneof![
            any::<u128>().prop_map(|number| uuid::Uuid::from_u128(number).into()),
            "[a-z]{1,128}".prop_filter_map("a word for nothing", |text| Id::parse(&text).ok().flatten()),
        ]
    }

    fn reference() -> impl Strategy<Value = ProfileRef> {
        (id(), any::<u64>()).prop_map(|(id, since)| ProfileRef { id, since })
    }

    fn time() -> impl Strategy<Value = Time> {
        any::<i64>().prop_map(Time::from_micros)
    }

    fn json() -> impl Strategy<Value = Json> {
        "[a-zé\"]{0,300}".prop_map(|text| crate::model::Value::text(&text).to_json())
    }

    fn text() -> impl Strategy<Value = Box<str>> {
        "[a-zé]{0,300}".prop_map(Into::into)
    }

    fn optional_text() -> impl Strategy<Value = Option<Box<str>>> {
        prop::option::of(text())
    }

    fn request() -> impl Strategy<Value = Entry> {
        let client = prop::array::uniform5(optional_text()).prop_map(|[ip, user_agent, referer, origin, language]| {
            Arc::new(ClientFacts { ip, user_agent, referer, origin, accept_language: language })
        });
        let parts = (time(), id(), prop::option::of(id()), prop::option::of(reference()), json(), client);
        (parts, any::<[bool; 2]>(), any::<Option<u64>>()).prop_map(|(parts, flags, profile_state)| {
            let (inserted, source, session, profile, context, client) = parts;
            let [profile_less, bot] = flags;
            let request = EventRequest {
                inserted,
                source,
                session,
                profile,
                profile_less,
                context,
                client,
                bot,
                profile_state,
                imported: false,
            };
            let request = Arc::new(request);
            if bot { Entry::ImportedRequest(request) } else { Entry::Request(request) }
        })
    }

    fn event() -> impl Strategy<Value = Entry> {
        let outcome = (optional_text(), any::<bool>(), 0..3, json()).prop_map(|(journey, valid, status, written)| {
            let status = [EventStatus::Collected, EventStatus::Processed, EventStatus::Error][status as usize];
            Outcome { journey: journey.map(Into::into), valid, status, written }
        });
        let parts = (id(), any::<bool>(), text(), text(), prop::option::of(time()), json(), json());
        let tags = prop::collection::vec(text(), 0..300);
        (parts, tags, outcome).prop_map(|((id, given, kind, name, created, properties, context), tags, outcome)| {
            let (kind, name, tags) = (kind.into(), name.into(), tags.into());
            let event = Arc::new(Event { id, given, kind, name, created, properties, context, tags, outcome });
            if given { Entry::ImportedEvent(event) } else { Entry::Event(event) }
        })
    }

    fn session() -> impl Strategy<Value = Entry> {
        let parts = (reference(), prop::option::of(reference()), json(), json(), prop::option::of(id()), json());
        let times = (time(), time(), prop::option::of(time()), prop::option::of(time()));
        (parts, times, prop::array::uniform3(optional_text())).prop_map(
            |(parts, times, [user_agent, landing, channel])| {
                let (ProfileRef { id, since: number }, profile, context, properties, device, traits) = parts;
                let (inserted, updated, first_event, last_event) = times;
                Entry::Session(Arc::new(Session {
                    profile,
                    context,
                    properties,
                    device,
                    user_agent,
                    landing,
                    traits,
                    updated,
                    first_event,
                    last_event,
                    ..Session::new(id, number, channel, inserted)
                }))
            },
        )
    }

    fn written() -> impl Strategy<Value = Written> {
        let parts = (any::<u64>(), time(), any::<bool>(), json());
        parts.prop_map(|(offset, time, is_added, value)| Written { offset, time, is_added, value })
    }

    fn profile() -> impl Strategy<Value = Entry> {
        let visit = || prop::option::of((time(), id()).prop_map(|(begun, session)| Visit { begun, session }));
        let added = prop::option::of(any::<i64>().prop_map(|added| Decimal::parse(&added.to_string()).unwrap()));
        let field = (any::<u64>(), time(), added, prop::collection::vec(written(), 0..3));
        let field = field.prop_map(|(offset, time, added, parts)| Field { offset, time, added, parts });
        let conflict = (text(), written()).prop_map(|(path, written)| Conflict { path, written });
        let key = any::<(u64, [u8; 16])>().prop_map(|(since, key)| KnownKey { since, key: MergeKey(key) });
        let numbers = any::<[u64; 4]>();
        let lists = (
            prop::collection::vec(reference(), 0..300),
            prop::collection::vec((text(), field), 0..4),
            prop::collection::vec(key, 0..4),
            prop::collection::vec(conflict, 0..4),
            prop::collection::vec((text(), time()), 0..4),
        );
        let parts =
            (reference(), numbers, prop::option::of(reference()), any::<Option<u64>>(), any::<bool>(), history());
        (parts, lists, (time(), visit(), visit(), json())).prop_map(|(parts, lists, (updated, last, before, facts))| {
            let (
                ProfileRef { id, since },
                [written, names, visits, views],
                gathered,
                held_inside,
                shares_sessions,
                history,
            ) = parts;
            let (aliases, fields, keys, conflicts, counted) = lists;
            let mut counts = DailyCounts::default();
            counted.iter().for_each(|(kind, time)| counts.add(kind, *time, 1));
            Entry::Profile(Arc::new(Profile {
                written,
                aliases: aliases.into_iter().map(|ProfileRef { id, since }| Alias { id, since }).collect(),
                names,
                gathered,
                history,
                shares_sessions,
                held_inside,
                updated,
                visits,
                views,
                latest_visits: [last, before],
                facts,
                fields: fields.into_iter().collect(),
                keys,
                conflicts,
                counts,
                ..Profile::new(id, since, updated)
            }))
        })
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let other = prop_oneof![
            any::<u64>().prop_map(Entry::EventDeleted),
            (id(), reference()).prop_map(|(name, profile)| Entry::Name { name, since: profile.since, profile }),
        ];
        prop_oneof![request(), event(), session(), profile(), other]
    }

    #[test]
    fn a_request_of_an_earlier_version_is_read_without_what_it_did_not_note() {
        for bot in [false, true] {
            let parts = (0_u32, Time::from_micros(7), Id::required("shop").unwrap(), None::<Id>, None::<ProfileRef>);
            let behind = (true, Json::empty_object(), ClientFacts::default(), bot);
            let mut bytes = Vec::new();
            encode_into(&mut bytes, &(parts, behind));
            let Some(Entry::Request(request)) = decode(&bytes) else { panic!("it is a request") };
            assert_eq!((request.bot, request.profile_state, request.profile_less), (bot, None, true));
            let mut again = Vec::new();
            encode_into(&mut again, &Entry::Request(request));
            assert_eq!(again, bytes);
            assert_eq!(skip(&mut bytes.as_slice()), Some(Skipped::Request));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_entry_is_passed_over_to_its_end(entries in prop::collection::vec(entry(), 1..8)) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for entry in &entries {
                encode_into(&mut bytes, entry);
                ends.push(bytes.len());
            }
            let mut rest = bytes.as_slice();
            for (entry, end) in entries.iter().zip(ends) {
                let kind = match entry {
                    Entry::Request(_) | Entry::ImportedRequest(_) => Skipped::Request,
                    Entry::Event(event) | Entry::ImportedEvent(event) => {
                        Skipped::Event { properties: event.properties.as_str().as_bytes() }
                    }
                    _ => Skipped::Other,
                };
                prop_assert_eq!((skip(&mut rest), bytes.len() - rest.len()), (Some(kind), end));
            }
        }

        #[test]
        fn arbitrary_bytes_are_passed_over_or_refused(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while skip(&mut rest).is_some() && !rest.is_empty() {}
        }
    }
}
