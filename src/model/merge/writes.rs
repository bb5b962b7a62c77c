//! What was written to a profile, leaf by leaf: laid out in the order of the log, and added up where it was added.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};

use super::super::{Json, Object, Path, Profile, Time, Value, is_within, profile::Field};

/// The parts of a profile whose leaves carry the offset of their last write.
pub const NOTED_PARTS: [&str; 5] = ["traits", "data", "consents", "aux", "primary_id"];

/// A value that lost against a later one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    pub field: Field,
    pub value: Json,
}

impl Conflict {
    pub(super) fn bytes(&self) -> usize {
        self.field.path.len() + 24 + self.value.as_str().len()
    }
}

/// What was written, in the order of the log.
pub(super) type Writes = BTreeMap<(u64, Box<str>), (Field, Value)>;

impl Profile {
    /// Notes that something was set at `path`, in the request at this offset and time, that has these `leaves`; without
    /// any, what stood there was deleted. What was written there, or below, or on the way, is forgotten; where `is_more`,
    /// it is one more entry of an object, and nothing was.
    pub fn note_set(&mut self, path: &str, leaves: &[String], is_more: bool, offset: u64, time: Time) {
        let noted = leaves.iter().map(|leaf| Field { path: leaf.as_str().into(), offset, time, added: None });
        if is_more {
            self.fields.extend(noted);
            return;
        }
        // What a number was made of lost against nobody else's.
        let is_part = |conflict: &Conflict| is_within(&conflict.field.path, path) && self.is_counted(conflict);
        let mut parts = self.conflicts.iter().map(is_part).collect::<Vec<_>>().into_iter();
        self.conflicts.retain(|_| parts.next() != Some(true));
        self.forget_fields(path);
        self.fields.extend(noted);
    }

    fn forget_fields(&mut self, path: &str) {
        // Objects of thousands of leaves are written key by key: a leaf in the place of a leaf is found sooner.
        if let Some(place) = self.fields.iter().position(|field| *field.path == *path) {
            self.fields.swap_remove(place);
        } else {
            self.fields.retain(|field| !is_within(&field.path, path) && !is_within(path, &field.path));
        }
    }

    /// Notes that `amount` was added to the number at `path`, `before`.
    pub fn note_added(&mut self, path: &str, amount: f64, before: Option<&Value>, offset: u64, time: Time) {
        let noted = self.fields.iter().find(|field| *field.path == *path).cloned();
        self.forget_fields(path);
        let added = match (noted, before) {
            (Some(Field { added: Some(before), .. }), _) => Some(before + amount),
            // What it is added to is kept: something else may be added to it in a merge.
            (Some(set), Some(before)) if set.offset != offset && before.as_f64().is_some() => {
                self.conflicts.push(Conflict { field: set, value: before.to_json() });
                Some(amount)
            }
            // What once lost there is none of this.
            (None, None) if self.conflicts.iter().any(|conflict| *conflict.field.path == *path) => None,
            (None, None) => Some(amount),
            _ => None,
        };
        self.fields.push(Field { path: path.into(), offset, time, added });
    }

    fn is_counter(&self, path: &str) -> bool {
        self.fields.iter().any(|field| *field.path == *path && field.added.is_some())
    }

    /// Everything that was ever written to a noted part, by offset and path; of a counter, what was added.
    pub(super) fn writes(&self) -> Writes {
        let facts = Value::from(&self.facts);
        let mut leaves = Vec::new();
        let root: Path = [].into_iter().collect();
        for (name, value) in facts.as_object().into_iter().flat_map(Object::iter) {
            if NOTED_PARTS.contains(&name) {
                value.leaves(&root.below(name), &mut leaves);
            }
        }
        let mut writes = Writes::new();
        for leaf in leaves {
            let path: Box<str> = leaf.to_string().into();
            let noted = self.fields.iter().find(|field| field.path == path).cloned();
            let value = facts.get(leaf.steps());
            if noted.is_none() && value == Some(&Value::object()) {
                continue; // nobody wrote this: what stood in it was deleted
            }
            let field = noted.unwrap_or(Field { path, offset: self.since, time: self.inserted, added: None });
            let value = field.added.map(Value::float).or_else(|| value.cloned());
            if let Some(value) = value {
                note_write(&mut writes, field, value);
            }
        }
        // Where several counters became one, what each added stands here.
        for Conflict { field, value } in &self.conflicts {
            note_write(&mut writes, field.clone(), Value::from(value));
        }
        writes
    }

    /// Writes everything in the order of the log: what a later write covers is a conflict, what was added is added up.
    pub(super) fn lay_out(&mut self, writes: Writes, rest: Object) {
        self.fields.clear();
        self.conflicts.clear();
        let mut placed: Vec<Placed> = Vec::new();
        for (field, value) in writes.into_values() {
            let (covered, kept): (Vec<_>, Vec<_>) =
                placed.into_iter().partition(|placed| overlap(placed.path(), &field.path));
            placed = kept;
            let mut next = Placed { value: value.clone(), writes: vec![(field, value)] };
            for before in covered {
                match before.added_to(&next) {
                    Some(sum) => {
                        next.value = sum;
                        next.writes.splice(0..0, before.writes);
                    }
                    None => self.note_conflicts(before.writes),
                }
            }
            placed.push(next);
        }
        let mut facts = Value::Object(rest);
        for Placed { value, mut writes } in placed {
            let Some((field, _)) = writes.last() else { continue };
            let Ok(path) = Path::read(&field.path) else { continue };
            if facts.set(path.steps(), value).is_err() {
                continue; // deeper than a record can be, which nothing that was stored is
            }
            if writes.len() == 1 {
                self.fields.extend(writes.pop().map(|(field, _)| field));
            } else {
                self.fields.push(Field { added: Some(0.0), ..field.clone() });
                self.note_conflicts(writes);
            }
        }
        self.fields.sort_by(|a, b| a.path.cmp(&b.path));
        self.conflicts.sort_by(|a, b| (&a.field.path, a.field.offset).cmp(&(&b.field.path, b.field.offset)));
        self.facts = sorted(facts).to_json();
    }

    fn note_conflicts(&mut self, writes: Vec<(Field, Value)>) {
        self.conflicts.extend(writes.into_iter().map(|(field, value)| Conflict { field, value: value.to_json() }));
    }

    /// Tells what was added since this profile was `before` from what was added until then, so that a split finds it.
    pub fn part_counters(&mut self, before: &Self) {
        for field in &mut self.fields {
            let until_then = before.fields.iter().find(|known| known.path == field.path && known.offset < field.offset);
            if let (Some(added), Some(known)) = (&mut field.added, until_then)
                && let Some(earlier) = known.added.filter(|earlier| *earlier != 0.0)
            {
                *added -= earlier;
                self.conflicts.push(Conflict { field: known.clone(), value: Value::float(earlier).to_json() });
            }
        }
    }

    /// Whether what once stood there is part of the number that stands there now: nothing that was set covers it.
    pub(in crate::model) fn is_counted(&self, part: &Conflict) -> bool {
        let covers = |field: &Field| field.added.is_none() && overlap(&field.path, &part.field.path);
        self.is_counter(&part.field.path)
            && Value::from(&part.value).as_f64().is_some()
            && !self.conflicts.iter().any(|it| it.field.offset > part.field.offset && covers(&it.field))
    }
}

/// What was added at one place in one request adds up; of what was set there, what is noted first stands.
pub(super) fn note_write(writes: &mut Writes, field: Field, value: Value) {
    match writes.entry((field.offset, field.path.clone())) {
        Entry::Vacant(free) => _ = free.insert((field, value)),
        Entry::Occupied(mut taken) => {
            let (noted, sum) = taken.get_mut();
            if let (Some(added), Some(more)) = (&mut noted.added, field.added) {
                *added += more;
                *sum = Value::float(*added);
            }
        }
    }
}

/// A value that stands, and the writes that it is made of: one, or several that were added up.
struct Placed {
    value: Value,
    writes: Vec<(Field, Value)>,
}

impl Placed {
    fn path(&self) -> &str {
        self.writes.first().map_or("", |(field, _)| &field.path)
    }

    /// The sum, if `next` was added to this number.
    fn added_to(&self, next: &Self) -> Option<Value> {
        let added = next.writes.last().and_then(|(field, _)| field.added)?;
        let number = self.value.as_f64().filter(|_| self.path() == next.path())?;
        Some(Value::float(number + added))
    }
}

/// Whether one path is the other one, or leads through it.
fn overlap(a: &str, b: &str) -> bool {
    is_within(a, b) || is_within(b, a)
}

/// The same with the keys of every object in order, so that the order of merges leaves no trace.
fn sorted(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let mut entries: Vec<(Box<str>, Value)> =
        object.iter().map(|(key, value)| (key.into(), sorted(value.clone()))).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let mut object = Object::default();
    entries.into_iter().for_each(|(key, value)| object.push(key, value));
    Value::Object(object)
}
