//! Two profiles become one: when a key tells that they are one person, and what keeps them apart. Which of them goes on is
//! in `records/profile.rs`, what both have together in `model/merge.rs`.

use std::sync::Arc;

use super::{keys::Identity, primary::PrimaryKeys};
use crate::{
    model::{Country, Id, KnownBy, MergeKey, Path, Profile, Value},
    process::{
        Interrupted, ProcessContext,
        outcome::Outcome,
        records::{NoRoom, ProfileDraft, Records},
    },
    store::Key,
};

/// Two profiles that have more leaves than this together take so long to become one that others on the thread are moved
/// to another one.
const LEAVES_AT_ONCE: usize = 1_000;

/// Why two profiles do not become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Apart {
    #[error("{0}")]
    NoRoom(#[from] NoRoom),
    #[error("it leads to somebody with another primary key")]
    PrimaryKeys,
    #[error("they were split, and are joined by this no more (POST /profile/ID/merge joins them)")]
    Split,
    #[error("it joined too many people today, and finds nobody until it is freed (GET /identity/blocked)")]
    Blocked,
}

impl Apart {
    /// Whether it tells that the key leads to somebody else, which is not for everybody to know.
    fn is_about_somebody_else(self) -> bool {
        !matches!(self, Self::NoRoom(_))
    }
}

/// A merge key that was said of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaidKey {
    pub key: MergeKey,
    /// The one under which the store may have the same value from before.
    pub former: Option<MergeKey>,
}

impl SaidKey {
    /// The one that `value` at `place` is.
    pub fn at(identity: &Identity, place: &Path, value: &Value, country: Option<Country>) -> Option<Self> {
        let key = identity.key_at(place, value, country)?;
        Some(Self { key, former: identity.former_at(place, value, country) })
    }

    /// The one that `value` is of a kind.
    pub fn of(identity: &Identity, kind: KnownBy, value: &Value, country: Option<Country>) -> Option<Self> {
        let key = identity.key(kind, value, country)?;
        Some(Self { key, former: identity.former(kind, value, country) })
    }
}

/// Whom a search found.
pub enum Found {
    Nobody,
    /// The profile that the events have.
    Same,
    /// One that other parts of the request are about, by its place among these.
    Other(usize),
    Stored(Arc<Profile>),
}

impl Found {
    /// What the search in the store and in what the request knows comes to.
    pub fn new(records: &Records<'_>, stored: Option<Arc<Profile>>, is_meant: impl Fn(&ProfileDraft) -> bool) -> Self {
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

    /// Whom a merge key leads to, in the store or in what the request knows; or else the key that the store has of the same
    /// value from before, if that is still what the profile says.
    pub async fn by_key(
        context: &ProcessContext<'_>,
        records: &Records<'_>,
        SaidKey { key, former }: SaidKey,
    ) -> Result<Self, Interrupted> {
        let drafts = || records.profile.iter().chain(&records.others);
        let is_let_go = |profile: &Arc<Profile>| {
            drafts().any(|draft| draft.is_or_took_in(&profile.reference()) && draft.lets_go_of(key))
        };
        let mut stored = context.people.by_key(key).await?.filter(|profile| !is_let_go(profile));
        if let Some(former) = former.filter(|_| stored.is_none() && !context.people.is_blocked(key)) {
            let country = records.registered().terms.phone_country;
            let says_so = |profile: &Arc<Profile>| context.identity.says(&profile.facts, key, country);
            stored = context.people.by_key(former).await?.filter(says_so);
        }
        Ok(Self::new(records, stored, |draft| draft.profile.has_key(key)))
    }

    /// Whom an id leads to.
    pub async fn by_id(context: &ProcessContext<'_>, records: &Records<'_>, id: &Id) -> Result<Self, Interrupted> {
        Ok(Self::new(records, context.people.by_id(id).await?, |_| false))
    }

    /// The profile, which is nobody else's in the request from here on.
    pub fn taken(self, records: &mut Records<'_>) -> Option<ProfileDraft> {
        match self {
            Self::Nobody | Self::Same => None,
            Self::Other(place) => Some(records.others.remove(place)),
            Self::Stored(profile) => Some(ProfileDraft::known(profile)),
        }
    }

    pub fn profile<'a>(&'a self, records: &'a Records<'_>) -> Option<&'a Profile> {
        match self {
            Self::Nobody | Self::Same => None,
            Self::Other(place) => records.others.get(*place).map(|draft| &draft.profile),
            Self::Stored(profile) => Some(profile),
        }
    }

    /// Whether it is a stored profile, and not one that the request makes.
    fn is_stored(&self, records: &Records<'_>) -> bool {
        match self {
            Self::Nobody | Self::Same => false,
            Self::Other(place) => records.others.get(*place).is_some_and(|draft| !draft.is_new),
            Self::Stored(_) => true,
        }
    }
}

/// The profile in the records and `other`, who was found `by` a key, are one from here on.
///
/// # Errors
/// The inner error says what keeps them apart.
pub async fn become_one(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    other: Found,
    by: Option<MergeKey>,
) -> Result<Result<(), Apart>, Interrupted> {
    let (Some(draft), Some(profile)) = (&records.profile, other.profile(records)) else { return Ok(Ok(())) };
    let (own, theirs) = (PrimaryKeys::of_draft(context.identity, draft), PrimaryKeys::of(context.identity, profile));
    // Whoever a primary key leads to has it, though another one stands there since two were joined by call.
    if by.map_or(own.clone(), |key| own.without(key)).contradict(&theirs) {
        return Ok(Err(Apart::PrimaryKeys));
    }
    if by.is_some_and(|key| draft.profile.history.is_severed(key)) {
        return Ok(Err(Apart::Split));
    }
    let counted = by.filter(|_| !draft.is_new && other.is_stored(records));
    if counted.is_some_and(|key| is_one_too_many(context, profile.history.joined_by(key, records.now))) {
        return Ok(Err(Apart::Blocked));
    }
    let joined = unite(context, records, other, by).await?;
    if let (Ok(()), Some(key), Some(draft)) = (joined, counted, &mut records.profile) {
        draft.profile.history.count_join(key, records.now);
    }
    Ok(joined.map_err(Apart::from))
}

fn is_one_too_many(context: &ProcessContext<'_>, joined: u32) -> bool {
    let most = context.identity.people_per_key();
    most > 0 && joined >= most
}

/// The profile in the records and `other` are one from here on, whatever tells them apart but their size.
///
/// # Errors
/// The inner error: together they are more than is kept of one.
pub async fn unite(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    other: Found,
    by: Option<MergeKey>,
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
    let place = records.place();
    let leaves = draft.profile.fields.len() + with.profile.fields.len();
    if let Some(other) = other.taken(records)
        && let Some(draft) = &mut records.profile
    {
        if leaves > LEAVES_AT_ONCE {
            tokio::task::block_in_place(|| draft.absorb(other, visits, by, place));
        } else {
            draft.absorb(other, visits, by, place);
        }
    }
    Ok(Ok(()))
}

/// The keys that an event said of its profile, each with its place, tell whose it is: one that another profile has makes
/// them one. Primary keys stand first among them.
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
        let stands = SaidKey::at(context.identity, &place, value, records.registered().terms.phone_country);
        if let Some(said) = stands.filter(|stands| stands.key == key)
            && let Err(why) = identify_by(context, records, said).await?
        {
            block(context, records, &place, key, why);
            outcome.logs.warn(format!("{place}: {why}"));
            not_found_by(records, outcome, &place, why);
        }
    }
    Ok(())
}

/// The key finds nobody from here on, if that is why it did not join two.
pub fn block(context: &ProcessContext<'_>, records: &mut Records<'_>, place: &Path, key: MergeKey, why: Apart) {
    if why == Apart::Blocked
        && !context.people.is_blocked(key)
        && let Some(draft) = &mut records.profile
    {
        draft.block_key(place, key);
    }
}

/// Tells whoever sent the events, and the administrator, that what stands at `place` does not lead to their profile.
pub fn not_found_by(records: &Records<'_>, outcome: &mut Outcome, place: &Path, why: Apart) {
    let profile = records.profile.as_ref().map(|draft| draft.profile.id.text());
    tracing::warn!(%place, profile = profile.as_deref(), %why, "an event does not identify its profile");
    match why {
        Apart::NoRoom(why) => outcome.warn_not_found_by(place, why, records.may_learn),
        why if why.is_about_somebody_else() && !records.may_learn => {}
        why => outcome.warn(format!("{place}: the profile is not found by this: {why}")),
    }
}

/// The profile in the records is found by `key` from here on; one that was found by it before is the same person.
///
/// # Errors
/// The inner error says why it is not.
async fn identify_by(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    said: SaidKey,
) -> Result<Result<(), Apart>, Interrupted> {
    let key = said.key;
    let Some(draft) = &records.profile else { return Ok(Ok(())) };
    if draft.profile.has_key(key) {
        return Ok(Ok(()));
    }
    if context.people.is_blocked(key) {
        return Ok(Err(Apart::Blocked));
    }
    let other = Found::by_key(context, records, said).await?;
    if matches!(other, Found::Same) && said.former.is_none() {
        return Ok(Ok(())); // it leads there, though it is not among the newest
    }
    if let Err(why) = become_one(context, records, other, Some(key)).await? {
        return Ok(Err(why));
    }
    Ok(records.profile.as_mut().map_or(Ok(()), |draft| draft.add_key(key).map_err(Apart::from)))
}
