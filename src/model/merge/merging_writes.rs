//! What the request wrote that made two profiles one: it goes with the one that is split off.

use std::collections::HashSet;

use super::{
    super::{Object, Path, Profile, Value},
    part,
    split::taken_out,
    writes::{Theirs, Writes},
};

/// What a request wrote to the profile that took in another one by it.
pub struct MergingWrites {
    all: Writes,
    /// The paths of what is not given to the one that is split off.
    left_out: HashSet<Box<str>>,
    /// The lists that are nothing but what was appended.
    appended: HashSet<(u64, Box<str>)>,
}

impl MergingWrites {
    /// Those from the offset `first` on; `after` is the profile right after the request, `before` as it was before that, if it
    /// was, and `state` the other one.
    pub fn new(first: u64, after: &Profile, before: Option<&Profile>, state: &Profile) -> Self {
        let mut writes = after.writes();
        writes.retain(|(offset, _), _| *offset >= first);
        let mut appended = HashSet::new();
        for known in [Some(state), before].into_iter().flatten().map(Profile::writes) {
            // A list that was appended to begins with what stood there.
            for ((_, path), earlier) in known.into_iter().filter(|(_, write)| write.is_list()) {
                let later = writes.iter_mut().filter(|((_, at), _)| *at == path);
                for (key, write) in later {
                    if write.take_from_list(&earlier) {
                        appended.insert(key.clone());
                    }
                }
            }
        }
        Self { all: writes, left_out: HashSet::new(), appended }
    }

    /// What was set at which offset and path; not what was added to a number.
    pub fn set(&self) -> impl Iterator<Item = (u64, &str, &Value)> {
        self.all.iter().filter_map(|((offset, path), write)| Some((*offset, &**path, write.set()?)))
    }

    /// Leaves what was written behind this offset to the survivor: by later events of the request.
    pub fn end_at(&mut self, last: u64) {
        self.all.retain(|(offset, _), _| *offset <= last);
    }

    /// Does not give what was written at this path to the one that is split off.
    pub fn leave_out(&mut self, path: &str) {
        self.left_out.insert(path.into());
    }

    /// What is taken out with the other one, whose state was `state`.
    pub fn theirs(&self, state: &Profile) -> Theirs {
        let mut writes = state.writes();
        writes.extend(self.all.iter().map(|(key, write)| (key.clone(), write.clone())));
        Theirs(writes)
    }
}

impl Profile {
    /// Writes to a profile that is split off what the request wrote that merged it: `after` and `before` are the profile
    /// that took it in, right after and before that.
    pub fn take_merging(&mut self, merging: MergingWrites, after: &Self, before: Option<&Self>) {
        let (mut writes, facts) = (self.writes(), Value::from(&self.facts));
        let given = merging.all.into_iter().filter(|((_, path), _)| !merging.left_out.contains(path));
        writes.extend(given.map(|(key, mut write)| {
            let standing = Path::read(&key.1).ok().filter(|_| merging.appended.contains(&key));
            standing
                .and_then(|path| facts.get(path.steps()))
                .into_iter()
                .for_each(|standing| write.append_to(standing));
            (key, write)
        }));
        let rest = self.rest(after, before);
        let (views, counts) = before.map_or((0, Default::default()), |before| (before.views, before.counts.clone()));
        self.views += after.views.saturating_sub(views).saturating_sub(self.views);
        let mut counted = after.counts.clone();
        counted.subtract_all(&counts);
        self.counts = counted;
        self.lay_out(writes, rest);
    }

    /// What has no noted writes: interests, with what the merging request added to them, and segments.
    fn rest(&self, after: &Self, before: Option<&Self>) -> Object {
        let facts = |profile: &Self| Value::from(&profile.facts);
        let (own, after, before) = (facts(self), facts(after), before.map(facts));
        let mut rest = Object::default();
        let interests = taken_out(part(&after, "interests"), before.as_ref().and_then(|it| part(it, "interests")));
        let is_own = |name: &str, value: &Value| {
            part(&own, "interests").is_some_and(|own| own.get(name).is_some())
                || value.as_decimal().is_none_or(|value| !value.is_zero())
        };
        let interests: Vec<_> = interests.iter().filter(|(name, value)| is_own(name, value)).collect();
        if !interests.is_empty() {
            let mut kept = Object::default();
            interests.into_iter().for_each(|(name, value)| kept.insert(name, value.clone()));
            rest.insert("interests", Value::Object(kept));
        }
        if let Some(segments) = own.as_object().and_then(|own| own.get("segments")) {
            rest.insert("segments", segments.clone());
        }
        rest
    }
}
