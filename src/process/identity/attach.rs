//! Whose events are: what is query, who is found, and profiles that turn out to be one.

use std::sync::Arc;

use super::keys;
use crate::{
    model::{Country, Fault, Id, KnownBy, MergeKey, Path, Profile, ProfileTerms, Value},
    process::{
        Interrupted, ProcessContext,
        definitions::{
            consent::{self, Consent},
            operation::Operation,
        },
        expression::scope::Scope,
        outcome::Outcome,
        records::{EventDraft, NoRoom, ProfileDraft, Records},
        retry::RetryState,
        rules::Rules,
    },
    store::Key,
};

/// Two profiles that have more leaves than this together take so long to become one that others on the thread are moved
/// to another one.
const LEAVES_AT_ONCE: usize = 1_000;
/// Why events do not tell whose they are where the source wants that proven.
const NO_SECRET: &str = "only what comes with the source's secret tells whose it is";

/// Who is sought as the person that events are about.
pub enum ProfileQuery {
    /// Somebody new.
    New,
    Known(KnownBy, Value),
    /// The one profile that has this value at this place.
    Field(Path, Value),
}

/// Why events do not have the profile that is query, or it is not found by what they say.
#[derive(Debug, thiserror::Error)]
pub enum NotAttached {
    #[error("{0}")]
    NoRoom(#[from] NoRoom),
    #[error("{0}")]
    Other(String),
}

impl From<&str> for NotAttached {
    fn from(why: &str) -> Self {
        Self::Other(why.into())
    }
}

/// Gives events the profile that is query, or a new one.
///
/// Events that have a profile keep it: one that was made for them becomes part of the one that is query.
///
/// # Errors
/// The inner error says why they do not have it.
pub async fn attach(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    retry: &mut RetryState,
    consents: &[Consent],
    query: ProfileQuery,
    create: bool,
) -> Result<Result<(), NotAttached>, Interrupted> {
    if !records.may_identify && !matches!(query, ProfileQuery::New | ProfileQuery::Known(KnownBy::Id, _)) {
        records.events.iter_mut().for_each(EventDraft::note_unidentified);
        return Ok(Err(NO_SECRET.into()));
    }
    let (found, key) = match find(context, records, &query).await? {
        Ok(found) => found,
        Err(why) => return Ok(Err(NotAttached::Other(why))),
    };
    if found.profile(records).is_some_and(|profile| !consent::admits(consents, records, profile)) {
        return Ok(Err("there is no consent".into()));
    }
    // A forged id must not make a profile.
    let may_be_made =
        create && !matches!(query, ProfileQuery::Known(KnownBy::Id, _)) && consent::may_tell(consents, records);
    let is_taken = records.profile.as_ref().is_some_and(|draft| !draft.is_nameless);
    match found {
        Found::Same => {}
        _ if is_taken => return Ok(Err("the event has another profile already".into())),
        Found::Nobody if may_be_made => {
            let known = known_by(consents, records, query);
            if records.profile.is_none() {
                let id = retry.new_id(context.clock);
                records.profile = Some(ProfileDraft::made(id, None, records.part, records.now));
            }
            return Ok(name(records, known, key));
        }
        Found::Nobody => return Ok(Err("there is no such profile".into())),
        found if records.profile.is_some() => {
            return Ok(become_one(context, records, found).await?.map_err(NotAttached::from));
        }
        found => records.profile = found.taken(records),
    }
    Ok(Ok(()))
}

/// Whom a search found.
enum Found {
    Nobody,
    /// The profile that the events have.
    Same,
    /// One that other parts of the request are about, by its place among these.
    Other(usize),
    Stored(Arc<Profile>),
}

impl Found {
    /// What the search in the store and in what the request knows comes to.
    fn new(records: &Records<'_>, stored: Option<Arc<Profile>>, is_meant: impl Fn(&ProfileDraft) -> bool) -> Self {
        let reference = stored.as_ref().map(|profile| profile.reference());
        let is_it = |draft: &ProfileDraft| {
            is_meant(draft) || reference.as_ref().is_some_and(|reference| draft.is_or_took_in(reference))
        };
        if records.profile.as_ref().is_some_and(is_it) {
            return Self::Same;
        }
        match (records.others.iter().position(is_it), stored) {
            (Some(place), _) => Self::Other(place),
            (None, Some(profile)) => Self::Stored(profile),
            (None, None) => Self::Nobody,
        }
    }

    /// The profile, which is nobody else's in the request from here on.
    fn taken(self, records: &mut Records<'_>) -> Option<ProfileDraft> {
        match self {
            Self::Nobody | Self::Same => None,
            Self::Other(place) => Some(records.others.remove(place)),
            Self::Stored(profile) => Some(ProfileDraft::known(profile)),
        }
    }

    fn profile<'a>(&'a self, records: &'a Records<'_>) -> Option<&'a Profile> {
        match self {
            Self::Nobody | Self::Same => None,
            Self::Other(place) => records.others.get(*place).map(|draft| &draft.profile),
            Self::Stored(profile) => Some(profile),
        }
    }
}

/// Who is query, and the key that leads to them.
///
/// # Errors
/// The inner error says why nobody can be found by this.
async fn find(
    context: &ProcessContext<'_>,
    records: &Records<'_>,
    query: &ProfileQuery,
) -> Result<Result<(Found, Option<MergeKey>), String>, Interrupted> {
    // Values stand in no log.
    let nobody = || Ok(Err("the value tells nobody".to_owned()));
    let people = context.people;
    let (key, former) = match query {
        ProfileQuery::New => return Ok(Ok((Found::Nobody, None))),
        ProfileQuery::Known(KnownBy::Id, value) => {
            let Ok(Some(id)) = Id::parse(&value.to_text()) else { return nobody() };
            return Ok(Ok((Found::new(records, people.by_id(&id).await?, |_| false), None)));
        }
        ProfileQuery::Known(kind, value) => match context.identity.key(*kind, value, country(records)) {
            Some(key) => (key, context.identity.former(*kind, value, country(records))),
            None => return nobody(),
        },
        ProfileQuery::Field(path, value) => {
            let key = context.identity.key_at(path, value, country(records));
            match (key, context.identity.name_of(path, value)) {
                (Some(key), _) => (key, context.identity.former_at(path, value, country(records))),
                (None, Some(name)) => {
                    let text = value.to_text();
                    let has = |draft: &ProfileDraft| {
                        draft.get(&path.steps()[1..]).is_some_and(|found| found.to_text() == text)
                    };
                    let found = people.by_field(name, path, value).await?;
                    return Ok(found.map(|stored| (Found::new(records, stored, has), None)));
                }
                (None, None) => return nobody(),
            }
        }
    };
    Ok(Ok((by_key(context, records, key, former).await?.0, Some(key))))
}

/// Where phone numbers that tell no country are dialled.
fn country(records: &Records<'_>) -> Option<Country> {
    records.registered().terms.phone_country
}

/// Whom a merge key leads to, in the store or in what the request knows; or else the key that the store has of the same
/// value from before, `former`, if that is still what the profile says: `true` then.
async fn by_key(
    context: &ProcessContext<'_>,
    records: &Records<'_>,
    key: MergeKey,
    former: Option<MergeKey>,
) -> Result<(Found, bool), Interrupted> {
    let is_meant = |draft: &ProfileDraft| draft.profile.has_key(key);
    let stored = context.people.by_key(key).await?;
    let Some(former) = former.filter(|_| stored.is_none()) else {
        return Ok((Found::new(records, stored, is_meant), false));
    };
    let says_so = |profile: &Arc<Profile>| context.identity.says(&profile.facts, key, country(records));
    let stored = context.people.by_key(former).await?.filter(says_so);
    let is_found = stored.is_some();
    Ok((Found::new(records, stored, is_meant), is_found))
}

/// What a new profile is known by, and where that belongs, as far as it may be kept.
fn known_by(consents: &[Consent], records: &Records<'_>, query: ProfileQuery) -> Option<(Path, Value)> {
    let (place, value) = match query {
        ProfileQuery::New => return None,
        ProfileQuery::Known(kind, value) => (keys::place_of(kind)?, value),
        ProfileQuery::Field(path, value) => (path, value),
    };
    Some((place, consent::kept(consents, records, &value)?))
}

/// Writes what the profile is known by to where it belongs, so that it is found by its key from here on.
fn name(records: &mut Records<'_>, known: Option<(Path, Value)>, key: Option<MergeKey>) -> Result<(), NotAttached> {
    if let Some((place, value)) = known {
        let written = Operation::SetIfEmpty.apply(records, None, &place, Some(value));
        written.map_err(|error| NotAttached::Other(error.to_string()))?;
    }
    if let Some(draft) = &mut records.profile {
        draft.is_nameless = false;
        key.map_or(Ok(()), |key| draft.add_key(key))?;
    }
    Ok(())
}

/// The profile in the records and `other` are one from here on.
///
/// # Errors
/// The inner error: together they are more than is kept of one.
async fn become_one(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    other: Found,
) -> Result<Result<(), NoRoom>, Interrupted> {
    let (Some(draft), Some(profile)) = (&records.profile, other.profile(records)) else { return Ok(Ok(())) };
    if let Err(why) = draft.check_room_for(profile) {
        return Ok(Err(why));
    }
    let stored;
    let with = match &other {
        Found::Other(place) => &records.others[*place],
        Found::Stored(profile) => {
            stored = ProfileDraft::known(profile.clone());
            &stored
        }
        Found::Nobody | Found::Same => return Ok(Ok(())),
    };
    let visits = context.people.visits_of_both(draft, with).await?;
    let leaves = draft.profile.fields.len() + with.profile.fields.len();
    if let Some(other) = other.taken(records)
        && let Some(draft) = &mut records.profile
    {
        if leaves > LEAVES_AT_ONCE {
            tokio::task::block_in_place(|| draft.absorb(other, visits));
        } else {
            draft.absorb(other, visits);
        }
    }
    Ok(Ok(()))
}

/// Gives events the profile that their source's configuration finds in them; a session's profile becomes one with it,
/// as if its owner signed in.
pub async fn attach_by_source(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    retry: &mut RetryState,
    consents: &[Consent],
    outcome: &mut Outcome,
) -> Result<(), Interrupted> {
    let Some(ProfileTerms { path, is, create }) = &records.registered().terms.profile else { return Ok(()) };
    let (path, is, create) = (path.clone(), *is, *create);
    let valid = (0..records.events.len()).filter(|event| records.events[*event].valid);
    let named = valid.filter_map(|event| {
        Scope::new(records, Some(event)).get(&path).map(|value| value.into_owned()).filter(|value| !value.is_empty())
    });
    let named: Vec<Value> = named.filter(|value| context.identity.key(is, value, country(records)).is_some()).collect();
    let Some(value) = named.first().cloned() else { return Ok(()) };
    let key = context.identity.key(is, &value, country(records));
    if is != KnownBy::Id && !records.may_identify {
        records.events.iter_mut().for_each(EventDraft::note_unidentified);
        outcome.logs.warn(format!("source {}: {NO_SECRET}", records.request.source));
        return Ok(());
    }
    if !are_one(context, records, is, &named).await? {
        // One session has one profile: what another person did must not become this one's.
        let msg = format!("{path}: the events of one session are about one person, and these name several");
        return Err(Interrupted::Invalid(Fault::new("value_error", msg)));
    }
    let query = ProfileQuery::Known(is, value);
    let attached = match key.filter(|_| is != KnownBy::Id && records.profile.is_some()) {
        Some(key) => identify_as(context, records, consents, query, key).await?,
        None => attach(context, records, retry, consents, query, create).await?,
    };
    if let Err(why) = attached {
        outcome.logs.warn(format!("source {}: {why}", records.request.source));
        if let NotAttached::NoRoom(why) = why {
            not_found_by(records, outcome, &path, why);
        }
    }
    Ok(())
}

/// The profile that a visitor has becomes one with the one that they had where they came from, if nobody is known by it:
/// a link may have been handed on to somebody else.
pub async fn join_passed(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    rules: &Rules,
    outcome: &mut Outcome,
) -> Result<(), Interrupted> {
    let Some(id) = records.passed.take().filter(|_| records.profile.is_some()) else { return Ok(()) };
    let found = Found::new(records, context.people.by_id(&id).await?, |_| false);
    let Some(profile) = found.profile(records) else { return Ok(()) };
    let is_known = records.profile.as_ref().is_some_and(|draft| rules.is_known(context.identity, draft));
    if is_known {
        outcome.warnings.push("context.tracardi.pass: the visitor is known already and stays who they are".into());
    } else if consent::admits(&rules.consents, records, profile)
        && let Err(why) = become_one(context, records, found).await?
    {
        outcome.warnings.push(format!("context.tracardi.pass: {why}"));
    }
    Ok(())
}

/// The profile that events have is known by what is sought from here on, as if its owner signed in.
///
/// # Errors
/// The inner error says why it is not.
async fn identify_as(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    consents: &[Consent],
    query: ProfileQuery,
    key: MergeKey,
) -> Result<Result<(), NotAttached>, Interrupted> {
    let former = match &query {
        ProfileQuery::Known(kind, value) => context.identity.former(*kind, value, country(records)),
        ProfileQuery::New | ProfileQuery::Field(..) => None,
    };
    let (found, by_former) = by_key(context, records, key, former).await?;
    let may_be = match found.profile(records) {
        Some(profile) => consent::admits(consents, records, profile),
        None => consent::may_tell(consents, records),
    };
    if !may_be {
        return Ok(Err("there is no consent".into()));
    }
    // Where it leads there, it is one of its keys, though it may not be among the newest.
    let key = Some(key).filter(|_| by_former || !matches!(found, Found::Same));
    if let Err(why) = become_one(context, records, found).await? {
        return Ok(Err(why.into()));
    }
    let known = known_by(consents, records, query);
    Ok(name(records, known, key))
}

/// Whether everything that is named is the same person's. Who may not learn of people names them in one way.
async fn are_one(
    context: &ProcessContext<'_>,
    records: &Records<'_>,
    is: KnownBy,
    named: &[Value],
) -> Result<bool, Interrupted> {
    let key = |value: &Value| context.identity.key(is, value, country(records));
    if named.iter().all(|value| key(value) == key(&named[0])) {
        return Ok(true); // somebody, known or not
    }
    if !records.may_learn {
        return Ok(false); // whether several addresses are one person's is nothing that a stranger is told
    }
    let mut people = Vec::new();
    for value in named {
        let Ok((found, _)) = find(context, records, &ProfileQuery::Known(is, value.clone())).await? else { continue };
        people.push(match found {
            Found::Same => records.profile.as_ref().map(|draft| draft.profile.reference()),
            found => found.profile(records).map(Profile::reference),
        });
    }
    Ok(people.iter().all(|person| person.is_some() && *person == people[0]))
}

/// The keys that an event said of its profile, each with its place, tell whose it is: one that another profile has makes
/// them one.
pub async fn identify(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    keys: Vec<(Path, MergeKey)>,
    outcome: &mut Outcome,
) -> Result<(), Interrupted> {
    context.people.hold(keys.iter().map(|(_, key)| Key::MergeKey(*key)).collect())?;
    for (place, key) in keys {
        let Some(draft) = &records.profile else { return Ok(()) };
        // It may not have been written, because something stands there.
        let Some(value) = draft.get(&place.steps()[1..]) else { continue };
        let former = context.identity.former_at(&place, value, country(records));
        if context.identity.key_at(&place, value, country(records)) == Some(key)
            && let Err(why) = identify_by(context, records, key, former).await?
        {
            outcome.logs.warn(format!("{place}: {why}"));
            not_found_by(records, outcome, &place, why);
        }
    }
    Ok(())
}

/// Tells whoever sent the events, and the administrator, that what stands at `place` does not lead to their profile.
fn not_found_by(records: &Records<'_>, outcome: &mut Outcome, place: &Path, why: NoRoom) {
    let profile = records.profile.as_ref().map(|draft| draft.profile.id.text());
    tracing::warn!(%place, profile = profile.as_deref(), %why, "an event does not identify its profile");
    outcome.warn_not_found_by(place, why, records.may_learn);
}

/// The profile in the records is found by `key` from here on; one that was found by it before is the same person.
///
/// # Errors
/// The inner error says why it is not.
async fn identify_by(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    key: MergeKey,
    former: Option<MergeKey>,
) -> Result<Result<(), NoRoom>, Interrupted> {
    let Some(draft) = &records.profile else { return Ok(Ok(())) };
    if draft.profile.has_key(key) {
        return Ok(Ok(()));
    }
    let (other, by_former) = by_key(context, records, key, former).await?;
    if matches!(other, Found::Same) && !by_former {
        return Ok(Ok(())); // it leads there, though it is not among the newest
    }
    if let Err(why) = become_one(context, records, other).await? {
        return Ok(Err(why));
    }
    Ok(records.profile.as_mut().map_or(Ok(()), |draft| draft.add_key(key)))
}
