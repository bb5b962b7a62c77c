//! Whose events are: what is sought, who is found, and profiles that turn out to be one.

use super::{
    join::{self, Apart, Found, SaidKey},
    keys,
    primary::{self, Decision, PrimaryKeys},
};
use crate::{
    model::{Country, Id, KnownBy, MergeKey, Path, ProfileTerms, Value},
    process::{
        Interrupted, ProcessContext,
        definitions::{
            consent::{self, Consent},
            operation::Operation,
        },
        expression::scope::Scope,
        outcome::Outcome,
        records::{EventDraft, ProfileDraft, Records},
        retry::RetryState,
        rules::Rules,
    },
};

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

/// Why events do not have the profile that is sought, or it is not found by what they say.
#[derive(Debug, thiserror::Error)]
pub enum NotAttached {
    #[error("{0}")]
    Apart(#[from] Apart),
    #[error("{0}")]
    Other(String),
}

impl From<&str> for NotAttached {
    fn from(why: &str) -> Self {
        Self::Other(why.into())
    }
}

/// Gives events the profile that is sought, or a new one.
///
/// Events that have a profile keep it: one that was made for them becomes part of the one that is sought, and with
/// `join` any does, whatever tells them apart, unless they were split.
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
    join: bool,
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
        Found::Other(_) | Found::Stored(_) if is_taken && join => {
            let severed =
                key.filter(|key| records.profile.as_ref().is_some_and(|it| it.profile.history.is_severed(*key)));
            if severed.is_some() {
                return Ok(Err(Apart::Split.into()));
            }
            let joined = join::unite(context, records, found, key).await?;
            return Ok(joined.map_err(|why| Apart::from(why).into()));
        }
        _ if is_taken => return Ok(Err("the event has another profile already (join = true makes them one)".into())),
        Found::Nobody if may_be_made => {
            let known = known_by(consents, records, query);
            if records.profile.is_none() {
                let id = retry.new_id(context.clock);
                records.profile = Some(ProfileDraft::made(id, None, records.part, records.now));
            }
            return Ok(name(context, records, known, key));
        }
        Found::Nobody => return Ok(Err("there is no such profile".into())),
        found if records.profile.is_some() => {
            return Ok(join::become_one(context, records, found, key).await?.map_err(NotAttached::from));
        }
        found => records.profile = found.taken(records),
    }
    Ok(Ok(()))
}

/// Who is sought, and the key that leads to them.
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
    let said = match query {
        ProfileQuery::New => return Ok(Ok((Found::Nobody, None))),
        ProfileQuery::Known(KnownBy::Id, value) => {
            let Ok(Some(id)) = Id::parse(&value.to_text()) else { return nobody() };
            return Ok(Ok((Found::by_id(context, records, &id).await?, None)));
        }
        ProfileQuery::Known(kind, value) => match SaidKey::of(context.identity, *kind, value, country(records)) {
            Some(said) => said,
            None => return nobody(),
        },
        ProfileQuery::Field(path, value) => {
            let said = SaidKey::at(context.identity, path, value, country(records));
            match (said, context.identity.name_of(path, value)) {
                (Some(said), _) => said,
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
    Ok(Ok((Found::by_key(context, records, said).await?, Some(said.key))))
}

/// Where phone numbers that tell no country are dialled.
fn country(records: &Records<'_>) -> Option<Country> {
    records.registered().terms.phone_country
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
///
/// # Errors
/// It is found by as many keys as are noted in one, or the key finds nobody.
fn name(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    known: Option<(Path, Value)>,
    key: Option<MergeKey>,
) -> Result<(), NotAttached> {
    if let Some((place, value)) = known {
        let written = Operation::SetIfEmpty.apply(records, None, &place, Some(value));
        written.map_err(|error| NotAttached::Other(error.to_string()))?;
    }
    if let Some(draft) = &mut records.profile {
        draft.is_nameless = false;
        match key {
            Some(key) if context.people.is_blocked(key) => return Err(Apart::Blocked.into()),
            Some(key) => draft.add_key(key).map_err(Apart::from)?,
            None => {}
        }
    }
    Ok(())
}

/// The value by which the source's configuration says whose an event is, with its key.
fn named_by_source(context: &ProcessContext<'_>, records: &Records<'_>, event: usize) -> Option<(Value, SaidKey)> {
    let ProfileTerms { path, is, .. } = records.registered().terms.profile.as_ref()?;
    let value = Scope::new(records, Some(event)).get(path)?.into_owned();
    let said = SaidKey::of(context.identity, *is, &value, country(records)).filter(|_| records.events[event].valid)?;
    Some((value, said))
}

/// The first event that is somebody else's than those before it, as their source's configuration says.
pub fn first_of_others(context: &ProcessContext<'_>, records: &Records<'_>) -> Option<usize> {
    let mut named = (0..records.events.len()).filter_map(|it| Some((it, named_by_source(context, records, it)?.1.key)));
    let (_, first) = named.next()?;
    named.find(|(_, key)| *key != first).map(|(event, _)| event)
}

/// Gives events the profile that their source's configuration finds in them; a session's profile becomes one with it,
/// as if its owner signed in, or is left to whom it is if that is somebody else.
pub async fn attach_by_source(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    retry: &mut RetryState,
    consents: &[Consent],
    outcome: &mut Outcome,
) -> Result<(), Interrupted> {
    let Some(ProfileTerms { path, is, create }) = &records.registered().terms.profile else { return Ok(()) };
    let (path, is, create) = (path.clone(), *is, *create);
    let named = (0..records.events.len()).find_map(|event| named_by_source(context, records, event));
    let Some((value, said)) = named else { return Ok(()) };
    if is != KnownBy::Id && !records.may_identify {
        records.events.iter_mut().for_each(EventDraft::note_unidentified);
        outcome.logs.warn(format!("source {}: {NO_SECRET}", records.request.source));
        return Ok(());
    }
    if let Some(place) = keys::place_of(is) {
        let named = PrimaryKeys::said(context.identity, &[(place, value.clone())], country(records));
        if let Decision::Goes(draft) = primary::decide(context, records, retry, &named).await? {
            records.change_profile(Some(*draft).filter(|draft| !draft.is_new));
        }
    }
    let query = ProfileQuery::Known(is, value);
    let attached = if is != KnownBy::Id && records.profile.is_some() {
        identify_as(context, records, consents, query, said).await?
    } else {
        attach(context, records, retry, consents, query, create, false).await?
    };
    if let Err(why) = attached {
        outcome.logs.warn(format!("source {}: {why}", records.request.source));
        if let NotAttached::Apart(why) = why {
            join::block(context, records, &path, said.key, why);
            join::not_found_by(records, outcome, &path, why);
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
    let found = Found::by_id(context, records, &id).await?;
    let Some(profile) = found.profile(records) else { return Ok(()) };
    let is_known = records.profile.as_ref().is_some_and(|draft| rules.is_known(context.identity, draft));
    if is_known {
        outcome.warnings.push("context.tracardi.pass: the visitor is known already and stays who they are".into());
    } else if consent::admits(&rules.consents, records, profile)
        && let Err(why) = join::become_one(context, records, found, None).await?
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
    said: SaidKey,
) -> Result<Result<(), NotAttached>, Interrupted> {
    let found = Found::by_key(context, records, said).await?;
    let may_be = match found.profile(records) {
        Some(profile) => consent::admits(consents, records, profile),
        None => consent::may_tell(consents, records),
    };
    if !may_be {
        return Ok(Err("there is no consent".into()));
    }
    // Where it leads there, it is one of its keys, though it may not be among the newest.
    let key = Some(said.key).filter(|_| said.former.is_some() || !matches!(found, Found::Same));
    if let Err(why) = join::become_one(context, records, found, key).await? {
        return Ok(Err(why.into()));
    }
    let known = known_by(consents, records, query);
    Ok(name(context, records, known, key))
}
