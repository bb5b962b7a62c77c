//! Profiles as they are stored and shown (contract, sections 4 and 10).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Absorbed, Conflict, DailyCounts, Id, Json, Object, Path, Time, Value};

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
    pub aliases: Vec<Alias>,
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
    pub fields: Vec<Field>,
    /// What it is found by beside its ids.
    pub keys: Vec<MergeKey>,
    /// What was written to profiles that are one now, and lost against something later; by path and offset.
    pub conflicts: Vec<Conflict>,
    /// The profiles that it took in.
    pub absorbed: Vec<Absorbed>,
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

/// When a leaf was last written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub path: Box<str>,
    pub offset: u64,
    pub time: Time,
    /// What was added there, if it is a number that was only ever added to: a counter.
    pub added: Option<f64>,
}

/// An e-mail address, a phone number or another identifier of a person, hashed with this installation's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MergeKey(pub [u8; 16]);

impl Profile {
    pub fn new(id: Id, since: u64, now: Time) -> Self {
        Self {
            id,
            since,
            aliases: Vec::new(),
            inserted: now,
            updated: now,
            visits: 0,
            views: 0,
            latest_visits: [None, None],
            facts: Json::empty_object(),
            fields: Vec::new(),
            keys: Vec::new(),
            conflicts: Vec::new(),
            absorbed: Vec::new(),
            counts: DailyCounts::default(),
        }
    }

    pub fn reference(&self) -> ProfileRef {
        ProfileRef { id: self.id.clone(), since: self.since }
    }

    /// Counts a session that has this profile for the first time.
    pub fn begin_visit(&mut self, session: Id, now: Time) {
        self.visits += 1;
        let before = self.latest_visits[0].replace(Visit { begun: now, session });
        self.latest_visits[1] = before;
    }

    /// What is another than in `before`: the leaves of the parts that can be written, and the ids.
    pub fn changes_since(&self, before: Option<&Self>) -> Vec<FieldChange> {
        let facts = |profile: Option<&Self>| profile.map_or(Value::object(), |profile| Value::from(&profile.facts));
        let (old, new) = (facts(before), facts(Some(self)));
        let root: Path = [].into_iter().collect();
        let mut leaves = Vec::new();
        old.leaves(&root, &mut leaves);
        new.leaves(&root, &mut leaves);
        leaves.sort_unstable();
        leaves.dedup();
        let change = |path: &str, old: Option<&Value>, new: Option<&Value>| {
            let json = |value: Option<&Value>| value.unwrap_or(&Value::Null).to_json();
            (old != new).then(|| FieldChange { path: path.into(), old: json(old), new: json(new) })
        };
        let leaves = leaves.iter().filter(|leaf| !leaf.steps().is_empty());
        let mut changes: Vec<FieldChange> =
            leaves.filter_map(|leaf| change(&leaf.to_string(), old.get(leaf.steps()), new.get(leaf.steps()))).collect();
        let ids = |profile: &Self| Value::List(profile.ids().map(|id| Value::text(id.as_str())).collect());
        changes.extend(before.and_then(|before| change("ids", Some(&ids(before)), Some(&ids(self)))));
        changes
    }

    /// Whether it is somebody's who is known: a merge key leads to it, or an id that a client chose. Both can be guessed;
    /// the ids that the server makes cannot.
    pub fn is_known(&self) -> bool {
        !self.keys.is_empty() || self.ids().any(|id| !id.is_uuid())
    }

    /// Every id that it is found by.
    pub fn ids(&self) -> impl Iterator<Item = &Id> {
        std::iter::once(&self.id).chain(self.aliases.iter().map(|alias| &alias.id))
    }

    /// `aux` with the values that lost in a merge, where they are not what stands there anyway.
    fn shown_aux(&self, aux: Value, facts: &Value) -> Value {
        let mut aux = aux;
        let conflicts = self.conflicts.iter().filter_map(|lost| {
            let (field, value) = (&lost.field, Value::from(&lost.value));
            let path = Path::read(&field.path).ok()?;
            if facts.get(path.steps()) == Some(&value) || self.is_counted(lost) {
                return None;
            }
            let mut conflict = Object::default();
            conflict.insert("path", Value::text(&field.path));
            conflict.insert("value", value);
            conflict.insert("time", Value::text(&field.time.to_string()));
            Some(Value::Object(conflict))
        });
        let conflicts: Vec<Value> = conflicts.collect();
        if let (false, Some(aux)) = (conflicts.is_empty(), aux.as_object_mut()) {
            aux.insert("conflicts", Value::List(conflicts));
        }
        aux
    }

    /// The profile as it is shown.
    pub fn shown(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Visits {
            count: u64,
            current: Option<Time>,
            last: Option<Time>,
        }
        #[derive(Serialize)]
        struct Times {
            insert: Time,
            update: Time,
            visit: Visits,
        }
        #[derive(Serialize)]
        struct Metadata {
            time: Times,
            fields: BTreeMap<Box<str>, Time>,
        }
        #[derive(Serialize)]
        struct Stats {
            visits: u64,
            views: u64,
        }
        #[derive(Serialize)]
        struct Shown<'a> {
            id: &'a Id,
            ids: Vec<&'a Id>,
            #[serde(skip_serializing_if = "Option::is_none")]
            primary_id: Option<Value>,
            metadata: Metadata,
            stats: Stats,
            traits: Value,
            data: Value,
            segments: Value,
            interests: Value,
            consents: Value,
            aux: Value,
            active: bool,
        }
        let facts = Value::from(&self.facts);
        let part = |name: &str| facts.as_object().and_then(|facts| facts.get(name)).cloned();
        let begun = |visit: usize| self.latest_visits[visit].as_ref().map(|visit| visit.begun);
        let object = |name: &str| part(name).unwrap_or_else(Value::object);
        Shown {
            id: &self.id,
            ids: self.ids().collect(),
            primary_id: part("primary_id"),
            metadata: Metadata {
                time: Times {
                    insert: self.inserted,
                    update: self.updated,
                    visit: Visits { count: self.visits, current: begun(0), last: begun(1) },
                },
                fields: self.fields.iter().map(|field| (field.path.clone(), field.time)).collect(),
            },
            stats: Stats { visits: self.visits, views: self.views },
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
