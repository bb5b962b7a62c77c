//! A profile while it is processed.

use std::sync::{Arc, OnceLock};

use super::{NotWritten, PreparedProfile, names::NameChanges};
use crate::{
    model::{
        Alias, Decimal, Id, Json, KEYS_NOTED, KnownKey, MergeKey, NOTED_PARTS, Object, Path, Profile, ProfileRef, Time,
        Value, steps_text,
    },
    store::{Merge, MergingRequest},
};

/// The parts that can be written.
pub(super) const PARTS: [&str; 7] = ["traits", "data", "interests", "consents", "segments", "aux", "primary_id"];
/// What the server counts among a profile's `stats`; workflows count under other names.
pub(super) const COUNTED: [&str; 2] = ["visits", "views"];
/// From here on, offsets stand for those of the request that is processed, one for each of its events: later than
/// everything in the log.
pub(super) const THIS_REQUEST: u64 = u64::MAX - 1_000_000;
/// About how many bytes may be written to a profile, and in how many leaves: all of it is written again with each
/// change.
const BYTES_MAX: usize = 1024 * 1024;
const LEAVES_MAX: usize = 5_000;
const SMALL_BYTES: usize = 1_024;
/// The most segments that a profile is in.
const SEGMENTS_MAX: usize = 1_000;

/// Why a profile is not found by what was said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    #[error("the profile is found by {} keys already", KEYS_NOTED)]
    Keys,
    #[error("the profile and the one that is found by it are more together than is kept of one")]
    Together,
}

/// A profile as it will be.
pub struct ProfileDraft {
    /// As it was, with its visits and views counted; a new one does not know yet where it stands in the log.
    pub profile: Profile,
    pub is_new: bool,
    /// An id that leads to it from here on; its own, unless it becomes part of another one.
    pub alias: Option<Id>,
    /// Something about it is to be stored.
    pub changed: bool,
    /// Something about it is another than its segments.
    touched: bool,
    /// It was made for want of another one, and nothing was said of who it is.
    pub is_nameless: bool,
    /// The parts of the request that are about it.
    pub parts: Vec<usize>,
    /// The sessions that it, or one that it took in, had for the first time.
    begun: Vec<Id>,
    facts: OnceLock<Value>,
    facts_changed: bool,
    /// How many bytes longer the facts are by what was written.
    grown: isize,
    stats: OnceLock<Value>,
    shown: OnceLock<Value>,
    /// As it was stored, if it was.
    stored: Option<Arc<Profile>>,
    /// `None`: nothing changed.
    names: Option<Box<NameChanges>>,
}

impl ProfileDraft {
    pub fn known(stored: Arc<Profile>) -> Self {
        Self { stored: Some(stored.clone()), ..Self::with((*stored).clone(), false) }
    }

    /// A profile that a part of the request makes, with an id that is to lead to it from here on.
    pub fn made(id: Id, alias: Option<Id>, part: usize, now: Time) -> Self {
        let is_nameless = alias.as_ref() != Some(&id);
        Self { alias, is_nameless, ..Self::with(Profile::new(id, THIS_REQUEST + part as u64, now), true) }
    }

    fn with(profile: Profile, is_new: bool) -> Self {
        Self {
            profile,
            is_new,
            alias: None,
            changed: is_new,
            touched: is_new,
            is_nameless: is_new,
            parts: Vec::new(),
            begun: Vec::new(),
            facts: OnceLock::new(),
            facts_changed: false,
            grown: 0,
            stats: OnceLock::new(),
            shown: OnceLock::new(),
            stored: None,
            names: None,
        }
    }

    /// Becomes one with another profile, which was found `by` a key while the event at `place` in the request was
    /// processed: the one that was made first goes on.
    pub fn absorb(&mut self, mut other: Self, visits: Visits, by: Option<MergeKey>, place: usize) {
        self.settle();
        other.settle();
        // What the request wrote before that, it wrote to this one: a split leaves it with whoever this becomes.
        let mut merges = THIS_REQUEST + place as u64;
        if (other.profile.since, &other.profile.id) <= (self.profile.since, &self.profile.id) {
            std::mem::swap(self, &mut other);
            merges = THIS_REQUEST;
        }
        if let Some(stored) = &other.stored {
            if self.stored.is_some() {
                let shortcuts = self.profile.gather(&other.profile);
                self.names().shortcuts.extend(shortcuts);
            }
            let before = self.stored.as_ref().map(|before| before.written);
            let (state, shared_visits) = (Some(stored.written), visits.shared);
            let merge = Merge {
                state,
                before,
                shared_visits,
                request: Some(MergingRequest { begins: THIS_REQUEST, merges }),
                key: by,
            };
            self.names().absorbed.push((stored.reference(), merge));
        }
        if let Some(theirs) = other.names.take() {
            self.names().append(*theirs);
        }
        self.profile.absorb(other.profile, other.stored.is_some(), visits.shared);
        self.profile.shares_sessions |= visits.are_shared;
        self.alias = self.alias.take().or(other.alias);
        self.parts.extend(other.parts);
        self.begun = visits.begun;
        self.is_nameless &= other.is_nameless;
        self.mark_changed();
    }

    /// Puts what was written to the profile, apart from what stood there before.
    fn settle(&mut self) {
        self.write_facts();
        if let Some(stored) = &self.stored {
            self.profile.part_counters(stored);
        }
        self.facts = OnceLock::new();
        self.grown = 0;
    }

    fn write_facts(&mut self) {
        if std::mem::take(&mut self.facts_changed) {
            self.profile.facts = self.facts().to_json();
        }
    }

    /// Whether this is the stored profile that is meant, or one that took it in in this request.
    pub fn is_or_took_in(&self, reference: &ProfileRef) -> bool {
        self.profile.reference() == *reference || self.names.as_ref().is_some_and(|names| names.took_in(reference))
    }

    fn names(&mut self) -> &mut NameChanges {
        self.names.get_or_insert_default()
    }

    fn touch(&mut self) {
        self.changed = true;
        self.touched = true;
    }

    /// What is shown of it is made anew.
    fn mark_changed(&mut self) {
        self.touch();
        self.stats = OnceLock::new();
        self.shown = OnceLock::new();
    }

    pub fn count_view(&mut self) {
        self.profile.views += 1;
        self.mark_changed();
    }

    /// Counts an event of a type, to be known for so many days: those of the clocks that show `now`.
    pub fn count_event(&mut self, kind: &str, now: Time, days: u64) {
        self.profile.counts.add(kind, now, days);
        self.touch();
    }

    pub fn begin_visit(&mut self, session: Id, now: Time) {
        self.profile.begin_visit(session.clone(), now);
        self.begun.push(session);
        self.mark_changed();
    }

    /// It is found by `key` from here on.
    ///
    /// # Errors
    /// It is found by as many as are noted in one.
    pub fn add_key(&mut self, key: MergeKey) -> Result<(), NoRoom> {
        self.is_nameless = false;
        if self.profile.has_key(key) {
            return Ok(());
        }
        if self.profile.keys.len() >= KEYS_NOTED {
            return Err(NoRoom::Keys);
        }
        self.profile.keys.push(KnownKey { since: THIS_REQUEST, key });
        self.names().former_keys.retain(|former| *former != key);
        self.names().new_keys.push(key);
        self.profile.history.heal(key);
        self.touch();
        Ok(())
    }

    /// The key leads to it no more, if it did.
    pub fn let_go_of(&mut self, key: MergeKey) {
        if self.profile.has_key(key) {
            self.profile.keys.retain(|known| known.key != key);
            self.names().new_keys.retain(|new| *new != key);
            self.names().former_keys.push(key);
            self.touch();
        }
    }

    /// Whether the key leads to it no more.
    pub fn lets_go_of(&self, key: MergeKey) -> bool {
        self.names.as_ref().is_some_and(|names| names.former_keys.contains(&key))
    }

    /// The key, which stands at `place`, finds nobody from here on.
    pub fn block_key(&mut self, place: &Path, key: MergeKey) {
        if !self.names().blocked_keys.iter().any(|(_, blocked)| *blocked == key) {
            self.names().blocked_keys.push((place.clone(), key));
            self.touch();
        }
    }

    pub fn get(&self, steps: &[Box<str>]) -> Option<&Value> {
        match steps {
            [part, rest @ ..] if PARTS.contains(&&**part) => {
                let empty = || rest.is_empty().then(|| empty_part(part)).flatten();
                self.facts().get(steps).or_else(empty)
            }
            [part, rest @ ..] if **part == *"stats" => self.stats().get(rest),
            _ => self.shown().get(steps),
        }
    }

    /// All of it, with what was written.
    pub fn whole(&self) -> Value {
        let mut profile = self.profile.clone();
        if self.facts_changed {
            profile.facts = self.facts().to_json();
        }
        Value::shown(&profile.shown())
    }

    /// What conditions look at most; a tree of its own is made in a moment.
    fn stats(&self) -> &Value {
        self.stats.get_or_init(|| {
            let mut stats = Object::default();
            stats.insert("visits", Value::number(self.profile.visits));
            stats.insert("views", Value::number(self.profile.views));
            let counted = self.facts().as_object().and_then(|facts| facts.get("stats")?.as_object());
            counted.into_iter().flat_map(Object::iter).for_each(|(name, count)| stats.insert(name, count.clone()));
            Value::Object(stats)
        })
    }

    fn facts(&self) -> &Value {
        self.facts.get_or_init(|| Value::from(&self.profile.facts))
    }

    /// Everything but the parts that can be written.
    fn shown(&self) -> &Value {
        self.shown.get_or_init(|| {
            let mut profile = self.profile.clone();
            profile.facts = Json::empty_object();
            Value::shown(&profile.shown())
        })
    }

    pub(super) fn write(
        &mut self,
        place: usize,
        path: &Path,
        steps: &[Box<str>],
        value: Option<Value>,
    ) -> Result<(), NotWritten> {
        self.put(place, path, steps, value, None)
    }

    /// Writes `sum`, which is what stood there and `amount`.
    pub(super) fn add(
        &mut self,
        place: usize,
        path: &Path,
        steps: &[Box<str>],
        sum: Value,
        amount: Decimal,
    ) -> Result<(), NotWritten> {
        self.put(place, path, steps, Some(sum), Some(amount))
    }

    fn put(
        &mut self,
        place: usize,
        path: &Path,
        steps: &[Box<str>],
        value: Option<Value>,
        amount: Option<Decimal>,
    ) -> Result<(), NotWritten> {
        check_profile_part(path, steps, value.as_ref())?;
        self.facts();
        let Some(facts) = self.facts.get_mut() else { return Ok(()) };
        let before = facts.get(steps);
        let is_noted = NOTED_PARTS.contains(&&*steps[0]);
        // Whoever writes again what stands there says so later than before.
        if before == value.as_ref() && !(is_noted && value.is_some() && !amount.as_ref().is_some_and(Decimal::is_zero))
        {
            return Ok(());
        }
        let before_number = amount.as_ref().and(before).cloned();
        let object = facts.get(&steps[..steps.len() - 1]).and_then(Value::as_object);
        let is_more = before.is_none() && object.is_some_and(|object| !object.is_empty());
        let leaves = value.as_ref().map(|value| leaves(steps, value));
        let (more, less) = (value.as_ref().map_or(0, Value::size), before.map_or(0, Value::size));
        let grows = self.grown.saturating_add_unsigned(more).saturating_sub_unsigned(less);
        // There is room for a few more bytes where there is none for many, and for a word on consent where there is
        // none.
        let times = match &*steps[0] {
            "consents" => 3,
            _ if more < SMALL_BYTES => 2,
            _ => 1,
        };
        let bytes = self.profile.facts.as_str().len().saturating_add_signed(grows);
        let count = self.profile.fields.len() + leaves.as_ref().map_or(0, Vec::len);
        if more > less && (bytes > times * BYTES_MAX || (count > times * LEAVES_MAX && before.is_none())) {
            return Err(NotWritten::TooLarge(path.clone()));
        }
        match value {
            Some(value) => _ = facts.set(steps, value).map_err(|why| NotWritten::Misplaced(path.clone(), why))?,
            None => _ = facts.remove(steps),
        }
        if is_noted {
            let (leaf, offset, now) = (steps_text(steps), THIS_REQUEST + place as u64, self.profile.updated);
            match amount {
                Some(amount) => self.profile.note_added(&leaf, amount, before_number.as_ref(), offset, now),
                None => self.profile.note_set(&leaf, &leaves.unwrap_or_default(), is_more, offset, now),
            }
        }
        if *steps[0] == *"stats" {
            self.stats = OnceLock::new();
        }
        self.facts_changed = true;
        self.grown = grows;
        self.changed = true;
        // Or else segments that ask for the time of the last change would be entered and left without end.
        self.touched |= *steps[0] != *"segments";
        Ok(())
    }

    /// Whether it can become one with `other`.
    ///
    /// # Errors
    /// Together they are more than is kept of one.
    pub fn check_room_for(&self, other: &Profile) -> Result<(), NoRoom> {
        let bytes = self.profile.facts.as_str().len().saturating_add_signed(self.grown) + other.facts.as_str().len();
        let is_room = bytes <= 2 * BYTES_MAX && self.profile.fields.len() + other.fields.len() <= 2 * LEAVES_MAX;
        if is_room { Ok(()) } else { Err(NoRoom::Together) }
    }

    /// When a leaf was last written; `None` if it was by this request, or never.
    pub fn written_at(&self, steps: &[&str]) -> Option<Time> {
        let path = steps.iter().copied().collect::<Path>().to_string();
        let written = self.profile.fields.within(&path);
        written
            .map(|field| (field.offset, field.time))
            .max()
            .filter(|(offset, _)| *offset < THIS_REQUEST)
            .map(|it| it.1)
    }

    /// The sessions that it has for the first time.
    pub fn begun(&self) -> &[Id] {
        &self.begun
    }

    /// Whether it has this session for the first time.
    pub fn has_begun(&self, session: &Id) -> bool {
        self.begun.contains(session)
    }

    /// The profile as it will be stored, but for the moment. `tells_changes`: somebody wants to know what is another.
    pub fn prepare(mut self, tells_changes: bool) -> PreparedProfile {
        self.write_facts();
        let mut profile = self.profile;
        let alias = self.alias.filter(|id| *id != profile.id);
        if let Some(id) = &alias {
            profile.add_alias(Alias { id: id.clone(), since: THIS_REQUEST });
        }
        let changes =
            if tells_changes && self.changed { profile.changes_since(self.stored.as_deref()) } else { Vec::new() };
        let is_of_this = |offset: u64| offset >= THIS_REQUEST;
        let fields = profile.fields.iter();
        let written = fields
            .filter(|(_, field)| is_of_this(field.offset) || field.parts.iter().any(|part| is_of_this(part.offset)));
        let written = written.map(|(path, _)| path.into()).collect::<Vec<Box<str>>>();
        if let Some(path) = written.first() {
            // The fields are shared with the stored profile until they are changed (copy on write): copied here, they are
            // not copied under the queue's lock.
            profile.fields.change(path, |_| ());
        }
        PreparedProfile {
            profile,
            is_new: self.is_new,
            alias,
            changed: self.changed,
            touched: self.touched,
            begun: self.begun,
            parts: self.parts,
            names: self.names,
            changes,
            written,
        }
    }
}

/// The visits of two profiles that become one.
pub struct Visits {
    /// How many sessions had both.
    pub shared: u64,
    /// There may be sessions that one of them and somebody else had.
    pub are_shared: bool,
    /// The sessions that had neither of them before this request.
    pub begun: Vec<Id>,
}

/// The paths of the leaves of what is written at `steps`.
fn leaves(steps: &[Box<str>], value: &Value) -> Vec<String> {
    if value.as_object().is_none() {
        return vec![steps_text(steps)];
    }
    let mut found = Vec::new();
    value.leaves(&steps.iter().map(|step| &**step).collect(), &mut found);
    found.iter().map(Path::to_string).collect()
}

/// A part of a profile that nothing was written to.
fn empty_part(part: &str) -> Option<&'static Value> {
    static OBJECT: Value = Value::Object(Object::new());
    static LIST: Value = Value::List(Vec::new());
    match part {
        "segments" => Some(&LIST),
        "primary_id" => None,
        _ => Some(&OBJECT),
    }
}

/// Parts of a profile have a form that everything relies on.
fn check_profile_part(path: &Path, steps: &[Box<str>], value: Option<&Value>) -> Result<(), NotWritten> {
    let wrong = |what| Err(NotWritten::WrongType(path.clone(), what));
    match (&*steps[0], steps.len(), value) {
        (_, _, None) => Ok(()),
        ("primary_id", 1, Some(Value::Text(_) | Value::Number(_) | Value::Null)) => Ok(()),
        ("primary_id", ..) => wrong("it is a text"),
        ("segments", 1, Some(Value::List(list))) if are_ids(list) => Ok(()),
        ("segments", ..) => wrong("it is a list of segments' ids, each once"),
        ("stats", 2, Some(Value::Number(_))) => Ok(()),
        ("stats", ..) => wrong("it is a number under its name"),
        ("interests", 2, Some(Value::Number(_))) => Ok(()),
        ("interests", 1, Some(Value::Object(all))) if all.iter().all(|(_, value)| value.as_f64().is_some()) => Ok(()),
        ("interests", ..) => wrong("an interest is a number under its name"),
        (_, 1, Some(Value::Object(_))) => Ok(()),
        (_, 1, _) => wrong("it is an object"),
        _ => Ok(()),
    }
}

fn are_ids(list: &[Value]) -> bool {
    list.len() <= SEGMENTS_MAX
        && list.iter().enumerate().all(|(index, id)| id.as_str().is_some() && !list[..index].contains(id))
}
