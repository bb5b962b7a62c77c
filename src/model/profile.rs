//! Profiles as they are stored and shown (docs/contract.md, sections 4 and 10).

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Conflict, DailyCounts, Fields, Id, Json, MergeHistory, Object, Path, Time, Value, is_within, json::free_object,
    path::push_step,
};

/// The most ids of a profile that are shown, its own among them.
pub const NAMES_SHOWN: usize = 100;
/// The most keys that are noted in a profile; older ones lead to it all the same.
pub const KEYS_NOTED: usize = 100;

/// Which profile is meant: an id may be used again after a deletion, and then names somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileRef {
    pub id: Id,
    /// The offset at which this profile was made.
    pub since: u64,
}

/// Another id under which a profile is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    pub id: Id,
    /// The offset from which on the id means this profile.
    pub since: u64,
}

/// A person as far as they are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub id: Id,
    /// The offset at which it was made.
    pub since: u64,
    /// The offset at which this state of it stands.
    pub written: u64,
    /// The newest of its other names, the newest last; each name is a record of its own.
    pub aliases: Vec<Alias>,
    /// How many other names it has.
    pub names: u64,
    /// The name that most of its other names lead to; `None`: they lead to its own id.
    pub gathered: Option<ProfileRef>,
    pub history: MergeHistory,
    /// Sessions of it, or of one that it took in, may have been somebody else's, too.
    pub shares_sessions: bool,
    /// The offset of a state of it, in a block of format 3, that holds the states of those that it took in until then.
    pub held_inside: Option<u64>,
    pub inserted: Time,
    pub updated: Time,
    /// The stored sessions that ever had this profile.
    pub visits: u64,
    /// Its `page-view` events.
    pub views: u64,
    /// The latest visit, and the one before it.
    pub latest_visits: [Option<Visit>; 2],
    /// An object with those of the parts `traits`, `data`, `interests`, `consents`, `segments`, `aux` and `primary_id`
    /// that something was written to.
    pub facts: Json,
    /// When each leaf of traits, data and consents was last written.
    pub fields: Fields,
    /// What it is found by beside its ids, by when it was: the newest, each a record of its own.
    pub keys: Vec<KnownKey>,
    /// What was written to profiles that are one now, and lost against something later; by path and offset.
    pub conflicts: Vec<Conflict>,
    /// Its events of the types that somebody counts.
    pub counts: DailyCounts,
}

/// A session from when on it had a profile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Visit {
    pub begun: Time,
    pub session: Id,
}

/// A leaf that a request changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    pub path: Box<str>,
    /// `null` where nothing stood.
    pub old: Json,
    pub new: Json,
}

impl FieldChange {
    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        48 + self.path.len() + self.old.as_str().len() + self.new.as_str().len()
    }
}

/// An e-mail address, a phone number or another identifier of a person, hashed with this installation's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MergeKey(pub [u8; 16]);

/// A merge key, and the offset from which on it leads to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KnownKey {
    pub since: u64,
    pub key: MergeKey,
}

impl Profile {
    pub fn new(id: Id, since: u64, now: Time) -> Self {
        Self {
            id,
            since,
            written: since,
            aliases: Vec::new(),
            names: 0,
            gathered: None,
            history: MergeHistory::default(),
            shares_sessions: false,
            held_inside: None,
            inserted: now,
            updated: now,
            visits: 0,
            views: 0,
            latest_visits: [None, None],
            facts: Json::empty_object(),
            fields: Fields::default(),
            keys: Vec::new(),
            conflicts: Vec::new(),
            counts: DailyCounts::default(),
        }
    }

    pub fn reference(&self) -> ProfileRef {
        ProfileRef { id: self.id.clone(), since: self.since }
    }

    /// Whether it is noted that `key` leads to it.
    pub fn has_key(&self, key: MergeKey) -> bool {
        self.keys.iter().any(|known| known.key == key)
    }

    /// Notes another name that leads to it.
    pub fn add_alias(&mut self, alias: Alias) {
        self.names += 1;
        self.aliases.push(alias);
        self.keep_newest_aliases();
    }

    /// Lists the newest of these as its other names.
    pub fn list_aliases(&mut self, aliases: Vec<Alias>) {
        self.aliases = aliases;
        self.keep_newest_aliases();
    }

    /// Whether every other name and key of it is listed in it.
    pub fn lists_all(&self) -> bool {
        self.names <= self.aliases.len() as u64 && self.keys.len() < KEYS_NOTED
    }

    pub(super) fn keep_newest_aliases(&mut self) {
        self.aliases.sort_unstable_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        self.aliases.dedup();
        self.aliases.drain(..self.aliases.len().saturating_sub(NAMES_SHOWN - 1));
    }

    /// The same without what identifies somebody: what it counts, what was allowed and what it is a member of stay.
    pub fn stripped(&self) -> Self {
        const KEPT: [&str; 4] = ["consents", "interests", "segments", "stats"];
        let mut kept = Object::default();
        if let Some(facts) = Value::from(&self.facts).as_object() {
            let parts = facts.iter().filter(|(part, _)| KEPT.contains(part));
            parts.for_each(|(part, value)| kept.insert(part, value.clone()));
        }
        let is_kept = |path: &str| is_within(path, "consents") || is_within(path, "stats");
        let fields = self.fields.iter().filter(|(path, _)| is_kept(path));
        Self {
            facts: Value::Object(kept).to_json(),
            fields: fields.map(|(path, field)| (path.into(), field.clone())).collect(),
            aliases: Vec::new(),
            names: 0,
            gathered: None,
            history: MergeHistory::default(),
            held_inside: None,
            keys: Vec::new(),
            conflicts: Vec::new(),
            ..self.clone()
        }
    }

    /// About how many bytes it takes in memory.
    pub fn bytes(&self) -> usize {
        const RECORD: usize = 512;
        const NAME: usize = 48;
        let conflicts: usize = self.conflicts.iter().map(Conflict::bytes).sum();
        let names = NAME * (self.aliases.len() + self.keys.len());
        RECORD + self.facts.as_str().len() + self.fields.bytes() + conflicts + names + self.counts.bytes()
    }

    /// Counts a session that has this profile for the first time.
    pub fn begin_visit(&mut self, session: Id, now: Time) {
        self.visits += 1;
        let before = self.latest_visits[0].replace(Visit { begun: now, session });
        self.latest_visits[1] = before;
    }

    /// What is another than in `before`: the leaves of the parts that can be written, and the ids.
    pub fn changes_since(&self, before: Option<&Self>) -> Vec<FieldChange> {
        let mut changes = Vec::new();
        if before.is_none_or(|before| before.facts != self.facts) {
            let old = before.map(|before| Value::from(&before.facts));
            compare(&mut String::new(), old.as_ref(), Some(&Value::from(&self.facts)), &mut changes);
        }
        let ids = |profile: &Self| Value::List(profile.ids().map(|id| Value::text(&id.text())).collect());
        if let Some(before) = before.filter(|before| before.aliases != self.aliases || before.id != self.id) {
            changes.push(FieldChange { path: "ids".into(), old: ids(before).to_json(), new: ids(self).to_json() });
        }
        changes
    }

    /// Whether it is somebody's who is known: a merge key leads to it, or an id that a client chose. Both can be guessed;
    /// the ids that the server makes cannot.
    pub fn is_known(&self) -> bool {
        !self.keys.is_empty() || self.ids().any(|id| !id.is_uuid())
    }

    /// The ids that it is found by and that are shown: its own, and the newest of the others.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        std::iter::once(&self.id).chain(self.aliases.iter().map(|alias| &alias.id))
    }

    /// `aux` with the values that lost in a merge, where they are not what stands there anyway.
    fn shown_aux(&self, aux: Value, facts: &Value) -> Value {
        let mut aux = aux;
        let conflicts = self.conflicts.iter().filter_map(|lost| {
            let value = Value::from(&lost.written.value);
            let path = Path::read(&lost.path).ok()?;
            if facts.get(path.steps()) == Some(&value) {
                return None;
            }
            let mut conflict = Object::default();
            conflict.insert("path", Value::text(&lost.path));
            conflict.insert("value", value);
            conflict.insert("time", Value::text(&lost.written.time.to_string()));
            Some(Value::Object(conflict))
        });
        let conflicts: Vec<Value> = conflicts.collect();
        if let (false, Some(aux)) = (conflicts.is_empty(), aux.as_object_mut()) {
            aux.insert("conflicts", Value::List(conflicts));
        }
        aux
    }

    /// The profile as it is shown.
    pub fn shown(&self) -> ShownProfile<'_> {
        self.shown_if_imported(false)
    }

    /// As [`Profile::shown`]; whether it was `imported` stands elsewhere.
    pub fn shown_if_imported(&self, imported: bool) -> ShownProfile<'_> {
        let facts = Value::from(&self.facts);
        let part = |name: &str| facts.as_object().and_then(|facts| facts.get(name)).cloned();
        let begun = |visit: usize| self.latest_visits[visit].as_ref().map(|visit| visit.begun);
        let object = |name: &str| part(name).unwrap_or_else(Value::object);
        let mut stats = Object::default();
        stats.insert("visits", Value::number(self.visits));
        stats.insert("views", Value::number(self.views));
        let counted = facts.as_object().and_then(|facts| facts.get("stats")?.as_object());
        counted.into_iter().flat_map(Object::iter).for_each(|(name, count)| stats.insert(name, count.clone()));
        ShownProfile {
            id: &self.id,
            ids: self.ids().collect(),
            primary_id: part("primary_id"),
            metadata: Metadata {
                time: Times {
                    insert: self.inserted,
                    update: self.updated,
                    visit: Visits { count: self.visits, current: begun(0), last: begun(1) },
                },
                ids: 1 + self.names,
                fields: self.fields.iter().map(|(path, field)| (path, field.time)).collect(),
                imported,
            },
            stats: Value::Object(stats),
            traits: object("traits"),
            data: object("data"),
            segments: part("segments").unwrap_or_else(|| Value::List(Vec::new())),
            interests: object("interests"),
            consents: object("consents"),
            aux: self.shown_aux(object("aux"), &facts),
            active: true,
        }
    }
}

/// A profile as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Profile")]
pub struct ShownProfile<'a> {
    id: &'a Id,
    /// Its own and the newest of the others that lead to it.
    ids: Vec<&'a Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Json")]
    primary_id: Option<Value>,
    metadata: Metadata<'a>,
    /// `visits`, `views`, and what workflows count.
    #[schemars(with = "Stats")]
    stats: Value,
    #[schemars(schema_with = "free_object")]
    traits: Value,
    #[schemars(schema_with = "free_object")]
    data: Value,
    #[schemars(with = "Vec<&'a str>")]
    segments: Value,
    #[schemars(schema_with = "free_object")]
    interests: Value,
    #[schemars(schema_with = "free_object")]
    consents: Value,
    /// `conflicts`: what was written to profiles that are one now, and lost against something later.
    #[schemars(schema_with = "free_object")]
    aux: Value,
    active: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Metadata<'a> {
    time: Times,
    /// How many ids lead to it, its own among them.
    ids: u64,
    /// When each leaf was last written, by its path.
    fields: BTreeMap<&'a str, Time>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    imported: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Times {
    insert: Time,
    update: Time,
    visit: Visits,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Visits {
    count: u64,
    current: Option<Time>,
    last: Option<Time>,
}

/// The schema of a profile's `stats`; they are written by name.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is asked for: what is shown is written field by field")]
struct Stats {
    visits: u64,
    views: u64,
    #[schemars(flatten)]
    counted: BTreeMap<String, f64>,
}

/// Notes each leaf of either value that is not the same in the other one, in the order of keys.
fn compare(path: &mut String, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<FieldChange>) {
    let inner = |value: Option<&Value>| value.and_then(Value::as_object).is_some_and(|object| !object.is_empty());
    if old == new {
        return;
    }
    // What is no object on one side is a leaf there, whatever stands below it on the other.
    let is_leaf = [old, new].into_iter().any(|value| value.is_some() && !inner(value));
    if is_leaf && !path.is_empty() {
        let json = |value: Option<&Value>| value.unwrap_or(&Value::Null).to_json();
        changes.push(FieldChange { path: path.as_str().into(), old: json(old), new: json(new) });
    }
    let keys = |value| by_key(value);
    let (old, new) = (keys(old), keys(new));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let end = path.len();
        push_step(path, name);
        compare(path, old.get(name).copied(), new.get(name).copied(), changes);
        path.truncate(end);
    }
}

fn by_key(value: Option<&Value>) -> BTreeMap<&str, &Value> {
    value.and_then(Value::as_object).into_iter().flat_map(Object::iter).collect()
}
