//! What was written to a profile, leaf by leaf: laid out in the order of the log, and added up where it was added.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map::Entry};

use serde::{Deserialize, Serialize};

use super::super::{
    Decimal, Field, Object, Path, Profile, Time, Value, Written,
    fields::{Fields, overlapping},
};

/// The parts of a profile whose leaves carry the offset of their last write.
pub const NOTED_PARTS: [&str; 6] = ["traits", "data", "consents", "aux", "primary_id", "stats"];
/// The most values that lost, of each place and value the latest, that a profile keeps: the latest ones.
const CONFLICTS_MAX: usize = 100;
/// How many bytes they may take together, the latest first; one that is longer than a part of that is not kept. All of
/// them are written again with each change of the profile.
const CONFLICTS_BYTES_MAX: usize = 64 * 1024;
const CONFLICT_BYTES_MAX: usize = CONFLICTS_BYTES_MAX / 16;
/// How many bytes the counters may take together that lost, the latest first: what each is made of is kept whole or not at
/// all, beside the other values that lost, so that their number takes nothing from a sum.
const COUNTERS_BYTES_MAX: usize = 128 * 1024;
/// The most parts of a counter that are told apart: older ones are one, as if they had been added with the last of them.
const PARTS_MAX: usize = 16;

/// A value that lost against a later one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    pub path: Box<str>,
    pub written: Written,
}

impl Conflict {
    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        64 + self.path.len() + self.written.value.as_str().len()
    }
}

/// What was written, in the order of the log.
pub(super) type Writes = BTreeMap<(u64, Box<str>), Write>;

/// A value that was written, or added to what stood there.
#[derive(Clone, Debug)]
pub(super) struct Write {
    time: Time,
    is_added: bool,
    value: Value,
}

impl Write {
    fn amount(&self) -> Decimal {
        self.value.as_decimal().unwrap_or_default()
    }

    /// The value, if it was set and not added to another.
    pub(super) fn set(&self) -> Option<&Value> {
        (!self.is_added).then_some(&self.value)
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    /// Takes the entries of an earlier list out of this one, if it was made of that by appending, which is told.
    pub(super) fn take_from_list(&mut self, earlier: &Self) -> bool {
        if let (Value::List(list), Value::List(earlier)) = (&mut self.value, &earlier.value)
            && list.len() > earlier.len()
            && list.starts_with(earlier)
        {
            list.drain(..earlier.len());
            return true;
        }
        false
    }

    /// Makes of a list what it is appended to another one.
    pub(super) fn append_to(&mut self, standing: &Value) {
        if let (Value::List(list), Value::List(standing)) = (&mut self.value, standing) {
            list.retain(|item| !standing.contains(item));
            list.splice(..0, standing.iter().cloned());
        }
    }

    fn noted(&self, offset: u64) -> Written {
        Written { offset, time: self.time, is_added: self.is_added, value: self.value.to_json() }
    }
}

impl From<&Written> for Write {
    fn from(written: &Written) -> Self {
        Self { time: written.time, is_added: written.is_added, value: Value::from(&written.value) }
    }
}

impl Profile {
    /// Notes that something was set at `path`, in the request at this offset and time, that has these `leaves`; without
    /// any, what stood there was deleted. What was written there, or below, or on the way, is forgotten; where `is_more`,
    /// it is one more entry of an object, and nothing was.
    pub fn note_set(&mut self, path: &str, leaves: &[String], is_more: bool, offset: u64, time: Time) {
        if !is_more {
            self.fields.forget_around(path);
        }
        if leaves.is_empty() && !self.conflicts.is_empty() {
            // What was deleted does not come back with what lost there before.
            self.conflicts.retain(|lost| !is_at_or_below(path, &lost.path));
        }
        leaves.iter().for_each(|leaf| self.fields.insert(leaf.as_str().into(), Field::set(offset, time)));
    }

    /// Notes that `amount` was added to the number at `path`, `before`.
    pub fn note_added(&mut self, path: &str, amount: Decimal, before: Option<&Value>, offset: u64, time: Time) {
        let noted = self.fields.get(path).cloned();
        self.fields.forget_around(path);
        let (added, parts) = match (noted, before) {
            (Some(Field { added: Some(before), parts, .. }), _) => (Some(before + &amount), parts),
            // What it is added to is kept: something else may be added to it in a merge.
            (Some(set), Some(before)) if set.offset != offset && before.as_decimal().is_some() => {
                let (offset, time, value) = (set.offset, set.time, before.to_json());
                (Some(amount), vec![Written { offset, time, is_added: false, value }])
            }
            // What once lost there is none of this.
            (None, None) if self.conflicts.iter().any(|conflict| *conflict.path == *path) => (None, Vec::new()),
            (None, None) => (Some(amount), Vec::new()),
            _ => (None, Vec::new()),
        };
        self.fields.insert(path.into(), Field { offset, time, added, parts });
    }

    /// Everything that was written to a noted part and stands or lost, by offset and path; of a counter, what was added.
    pub(super) fn writes(&self) -> Writes {
        let facts = Value::from(&self.facts);
        let mut writes = Writes::new();
        for (name, value) in facts.as_object().into_iter().flat_map(Object::iter) {
            if NOTED_PARTS.contains(&name) {
                value.each_leaf(&mut name.to_owned(), &mut |path, value| self.note_leaf(&mut writes, path, value));
            }
        }
        for Conflict { path, written } in &self.conflicts {
            note_write(&mut writes, written.offset, path, written.into());
        }
        writes
    }

    fn note_leaf(&self, writes: &mut Writes, path: &str, value: &Value) {
        let Some(field) = self.fields.get(path) else {
            // Nobody wrote an object that is empty: what stood in it was deleted.
            if *value != Value::object() {
                let write = Write { time: self.inserted, is_added: false, value: value.clone() };
                note_write(writes, self.since, path, write);
            }
            return;
        };
        let (is_added, value) = match &field.added {
            Some(added) => (true, Value::number(added)),
            None => (false, value.clone()),
        };
        note_write(writes, field.offset, path, Write { time: field.time, is_added, value });
        // Where several counters became one, what each added stands here.
        field.parts.iter().for_each(|part| note_write(writes, part.offset, path, part.into()));
    }

    /// Whether it is noted that something was written to it at this offset and path.
    pub fn notes_write(&self, offset: u64, path: &str) -> bool {
        let field = self.fields.get(path);
        field.is_some_and(|field| field.offset == offset || field.parts.iter().any(|part| part.offset == offset))
            || self.conflicts.iter().any(|lost| lost.written.offset == offset && *lost.path == *path)
    }

    /// What of the state `before` the merge comes back once what is theirs is split off: what had lost against what of theirs
    /// stands here, or is not noted because they said the same later.
    pub fn regained(&self, Theirs(theirs): &Theirs, before: &Self) -> Regained {
        let conflicts = self.conflicts.iter();
        let lost: BTreeSet<(u64, &str)> = conflicts.map(|lost| (lost.written.offset, &*lost.path)).collect();
        let (mut stood, mut said) = (BTreeMap::new(), HashSet::new());
        let in_words = |path: &str, write: &Write| -> (Box<str>, Box<str>) {
            (path.into(), write.value.to_json().as_str().into())
        };
        for ((offset, path), write) in theirs {
            let is_last = self.fields.get(path).is_some_and(|field| field.offset == *offset && field.added.is_none());
            if is_last || self.appended_to(path, write) {
                stood.insert(path.clone(), ());
            } else if lost.contains(&(*offset, path)) {
                said.insert(in_words(path, write));
            }
        }
        let mut writes = before.writes();
        writes.retain(|key, write| {
            let was_covered = || !overlapping(&stood, &key.1).is_empty();
            let was_same = || !said.is_empty() && said.contains(&in_words(&key.1, write));
            !theirs.contains_key(key) && (was_covered() || was_same())
        });
        Regained(writes)
    }

    /// Whether the list that stands at `path` was made of this one by appending.
    fn appended_to(&self, path: &str, write: &Write) -> bool {
        let Value::List(earlier) = &write.value else { return false };
        let facts = Value::from(&self.facts);
        let standing = Path::read(path).ok().and_then(|path| facts.get(path.steps()).cloned());
        matches!(standing, Some(Value::List(list)) if list.len() > earlier.len() && list.starts_with(earlier))
    }

    /// Everything that was written to it without what is theirs, and with what is regained.
    pub(super) fn writes_without(&self, Theirs(theirs): &Theirs, before: Option<&Self>, regained: Regained) -> Writes {
        let mut writes = self.writes();
        for ((offset, path), write) in theirs {
            match writes.remove(&(*offset, path.clone())) {
                // Others may be one with it by now.
                Some(known) if known.is_added && write.is_added && known.value != write.value => {
                    let value = Value::number(known.amount() - &write.amount());
                    writes.insert((*offset, path.clone()), Write { value, ..known });
                }
                None if write.is_added => self.take_from_sum(&mut writes, *offset, path, &write.amount()),
                _ => {}
            }
        }
        if let Some(before) = before {
            take_from_lists(&mut writes, theirs, before, &regained);
        }
        for (key, write) in regained.0 {
            writes.entry(key).or_insert(write);
        }
        writes
    }

    /// Takes what was added at `offset` out of the part that it is one with by now.
    fn take_from_sum(&self, writes: &mut Writes, offset: u64, path: &str, amount: &Decimal) {
        let parts = || self.fields.get(path).into_iter().flat_map(|field| &field.parts);
        if parts().any(|part| !part.is_added && part.offset > offset) {
            return; // something else was set there since
        }
        let sum = parts().filter(|part| part.is_added && part.offset >= offset).map(|part| part.offset).min();
        if let Some(write) = sum.and_then(|sum| writes.get_mut(&(sum, path.into()))) {
            write.value = Value::number(write.amount() - amount);
        }
    }

    /// Writes everything in the order of the log: what a later write covers is a conflict, what was added is added up.
    pub(super) fn lay_out(&mut self, writes: Writes, rest: Object) {
        let mut placed: BTreeMap<Box<str>, Placed> = BTreeMap::new();
        let mut lost = Lost::default();
        for ((offset, path), write) in writes {
            if write.is_added
                && let Some(number) = placed.get_mut(&path).filter(|placed| placed.number().is_some())
            {
                number.add(offset, write);
                continue;
            }
            for covered in overlapping(&placed, &path) {
                let covered = placed.remove_entry(&covered).into_iter();
                covered.for_each(|(path, placed)| lost.note(&path, placed));
            }
            placed.insert(path, Placed { sum: None, writes: vec![(offset, write)] });
        }
        let mut facts = Tree::default();
        for (name, value) in rest.iter() {
            facts.put(&[name.into()], value.clone());
        }
        let mut fields = Vec::with_capacity(placed.len());
        for (path, placed) in placed {
            let Ok(steps) = Path::read(&path) else { continue };
            let Some((value, field)) = placed.standing() else { continue };
            if value.fits_below(steps.steps().len()) {
                facts.put(steps.steps(), value);
                fields.push((path, field));
            } // deeper than a record can be, nothing that was stored is
        }
        self.fields = fields.into_iter().collect::<Fields>();
        self.conflicts = lost.latest();
        self.facts = facts.into_value().to_json();
    }

    /// Tells what was added since this profile was `before` from what was added until then, so that a split finds it.
    pub fn part_counters(&mut self, before: &Self) {
        let counters = self.fields.iter().filter(|(_, field)| field.added.is_some());
        let grown = counters.filter_map(|(path, field)| {
            let until_then = before.fields.get(path).filter(|known| known.offset < field.offset)?;
            let earlier = until_then.added.as_ref().filter(|earlier| !earlier.is_zero())?;
            let value = Value::number(earlier).to_json();
            Some((path.to_owned(), Written { offset: until_then.offset, time: until_then.time, is_added: true, value }))
        });
        for (path, part) in grown.collect::<Vec<_>>() {
            self.fields.change(&path, |field| {
                let earlier = Write::from(&part).amount();
                field.added = field.added.take().map(|added| added - &earlier);
                field.parts.push(part);
            });
        }
    }
}

/// What is taken out of a profile with the one that is split off.
pub struct Theirs(pub(super) Writes);

impl Theirs {
    /// What was written to the other one.
    pub fn of(other: &Profile) -> Self {
        Self(other.writes())
    }
}

/// What a profile had lost against another one when they became one, and regains once that is split off.
#[derive(Default)]
pub struct Regained(Writes);

impl Regained {
    /// Where it was written: the offset and the path of each value.
    pub fn places(&self) -> impl Iterator<Item = (u64, &str)> {
        self.0.keys().map(|(offset, path)| (*offset, &**path))
    }

    /// Whether it was the request which stored this state of a profile that wrote the value at this offset and path.
    pub fn is_of(&self, state: &Profile, offset: u64, path: &str) -> bool {
        let key = (offset, path.into());
        let (mine, theirs) = (self.0.get(&key), state.writes().remove(&key));
        mine.zip(theirs).is_some_and(|(mine, theirs)| {
            let is_same = mine.is_added == theirs.is_added && mine.value == theirs.value;
            is_same && mine.time == state.updated
        })
    }

    /// Leaves out what was written at these offsets and paths.
    pub fn leave_out(&mut self, places: Vec<(u64, Box<str>)>) {
        places.iter().for_each(|place| _ = self.0.remove(place));
    }
}

/// Takes the entries of lists that are `theirs` out of those that were made of them by appending since the merge; what is
/// regained there is what was appended to instead.
fn take_from_lists(writes: &mut Writes, theirs: &Writes, before: &Profile, Regained(regained): &Regained) {
    let latest = before.writes().into_keys().map(|(offset, _)| offset).max();
    let merged = before.written.max(latest.unwrap_or(0));
    for ((offset, path), write) in writes.iter_mut().filter(|((offset, _), write)| *offset > merged && write.is_list())
    {
        let earlier = theirs.iter().filter(|((written, at), write)| at == path && written < offset && write.is_list());
        let taken = earlier.filter(|(_, theirs)| write.take_from_list(theirs)).count();
        if taken > 0 {
            let standing = regained.iter().rfind(|((_, at), write)| at == path && write.is_list());
            standing.into_iter().for_each(|(_, standing)| write.append_to(&standing.value));
        }
    }
}

/// Whether `path` is `at`, or leads through it.
fn is_at_or_below(at: &str, path: &str) -> bool {
    path.strip_prefix(at).is_some_and(|below| below.is_empty() || below.starts_with(['.', '[']))
}

/// What was added at one place in one request adds up; of what was set there, what is noted first stands.
pub(super) fn note_write(writes: &mut Writes, offset: u64, path: &str, write: Write) {
    match writes.entry((offset, path.into())) {
        Entry::Vacant(free) => _ = free.insert(write),
        Entry::Occupied(mut taken) => {
            let noted = taken.get_mut();
            if noted.is_added && write.is_added {
                noted.value = Value::number(noted.amount() + &write.amount());
            }
        }
    }
}

/// A value that stands, and the writes that it is made of: one, or several that were added up.
struct Placed {
    sum: Option<Decimal>,
    writes: Vec<(u64, Write)>,
}

impl Placed {
    fn number(&self) -> Option<Decimal> {
        self.sum.clone().or_else(|| self.writes.first()?.1.value.as_decimal())
    }

    fn add(&mut self, offset: u64, write: Write) {
        self.sum = self.number().map(|number| number + &write.amount());
        self.writes.push((offset, write));
    }

    /// What stands there, and how that is noted.
    fn standing(mut self) -> Option<(Value, Field)> {
        let (offset, last) = self.writes.last()?;
        let (offset, time) = (*offset, last.time);
        let Some(sum) = self.sum.take() else {
            let (_, write) = self.writes.pop()?;
            if !write.is_added {
                return Some((write.value, Field::set(offset, time)));
            }
            // A part even where it is the only one: what is added from here on may be somebody else's.
            let parts = vec![write.noted(offset)];
            return Some((write.value, Field { added: Some(Decimal::default()), parts, ..Field::set(offset, time) }));
        };
        self.keep_few();
        let parts = self.writes.iter().map(|(offset, write)| write.noted(*offset)).collect();
        Some((Value::number(sum), Field { added: Some(Decimal::default()), parts, ..Field::set(offset, time) }))
    }

    /// Makes one of the oldest that were added, where they are many.
    fn keep_few(&mut self) {
        let first = self.writes.iter().position(|(_, write)| write.is_added).unwrap_or(0);
        let many = (self.writes.len() - first).saturating_sub(PARTS_MAX);
        if many > 0 {
            let amount: Decimal = self.writes[first..first + many].iter().map(|(_, write)| write.amount()).sum();
            let (_, kept) = &mut self.writes[first + many];
            kept.value = Value::number(kept.amount() + &amount);
            self.writes.drain(first..first + many);
        }
    }
}

/// What lost.
#[derive(Default)]
struct Lost {
    /// Of each place and value the latest.
    values: HashMap<(Box<str>, Box<str>), Conflict>,
    /// All that each counter was made of, in the order of the log.
    counters: Vec<Vec<Conflict>>,
}

impl Lost {
    fn note(&mut self, path: &str, placed: Placed) {
        let is_counter = placed.writes.iter().any(|(_, write)| write.is_added);
        let written = placed.writes.into_iter();
        let lost = written.map(|(offset, write)| Conflict { path: path.into(), written: write.noted(offset) });
        if is_counter {
            self.counters.push(lost.collect());
            return;
        }
        for conflict in lost {
            let known = self.values.entry((path.into(), conflict.written.value.as_str().into()));
            let known = known.or_insert_with(|| conflict.clone());
            if known.written.offset < conflict.written.offset {
                *known = conflict;
            }
        }
    }

    /// The latest of them, by path and offset. What is dropped is older than all that is kept, whatever came in which
    /// order: so it is dropped in every order.
    fn latest(self) -> Vec<Conflict> {
        let values = self.values.into_values().filter(|lost| lost.bytes() <= CONFLICT_BYTES_MAX);
        let values = latest(values.map(|lost| vec![lost]).collect(), CONFLICTS_MAX, CONFLICTS_BYTES_MAX);
        let counters = latest(self.counters, usize::MAX, COUNTERS_BYTES_MAX);
        let mut conflicts: Vec<Conflict> = values.chain(counters).collect();
        conflicts.sort_by(|a, b| (&a.path, a.written.offset).cmp(&(&b.path, b.written.offset)));
        conflicts
    }
}

/// The latest of what lost, so many and so many bytes of it; each is kept whole.
fn latest(mut lost: Vec<Vec<Conflict>>, most: usize, bytes_max: usize) -> impl Iterator<Item = Conflict> {
    let by_offset = |lost: &Vec<Conflict>| {
        let last = lost.last();
        last.map(|last| (last.written.offset, last.path.clone(), last.written.value.as_str().to_owned()))
    };
    lost.sort_by_cached_key(|lost| std::cmp::Reverse(by_offset(lost)));
    let mut bytes = 0;
    let kept = lost.into_iter().take(most).take_while(move |lost| {
        bytes += lost.iter().map(Conflict::bytes).sum::<usize>();
        bytes <= bytes_max
    });
    kept.flatten()
}

/// An object in the making, with the keys of every object in order, so that the order of merges leaves no trace.
#[derive(Default)]
struct Tree(BTreeMap<Box<str>, Node>);

enum Node {
    Leaf(Value),
    Below(Tree),
}

impl Tree {
    /// Puts `value` at `steps`, where nothing stands yet, nor on the way.
    fn put(&mut self, steps: &[Box<str>], value: Value) {
        match steps {
            [] => {}
            [last] => _ = self.0.insert(last.clone(), Node::Leaf(value)),
            [step, below @ ..] => {
                let node = self.0.entry(step.clone()).or_insert_with(|| Node::Below(Self::default()));
                if let Node::Below(tree) = node {
                    tree.put(below, value);
                }
            }
        }
    }

    fn into_value(self) -> Value {
        let mut object = Object::default();
        for (key, node) in self.0 {
            object.push(
                key,
                match node {
                    Node::Leaf(value) => sorted(value),
                    Node::Below(tree) => tree.into_value(),
                },
            );
        }
        Value::Object(object)
    }
}

/// The same with the keys of every object in order.
fn sorted(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let mut tree = Tree::default();
    object.iter().for_each(|(key, value)| tree.put(&[key.into()], value.clone()));
    tree.into_value()
}
