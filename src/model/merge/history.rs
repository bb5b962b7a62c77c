//! What merges and splits leave with a profile, beside what it is.

use serde::{Deserialize, Serialize};

use super::super::{MergeKey, Time};

/// The most keys that are remembered to have joined somebody wrongly, and the most whose merges of a day are counted.
const SEVERED_MAX: usize = 100;
const COUNTED_MAX: usize = 100;

/// How a profile came to be one with others, as far as what comes next depends on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Record", into = "Record")]
pub struct MergeHistory {
    /// One was split off it, or off one that it took in: names lead where the merges led, and no shorter way.
    pub was_split: bool,
    /// `None`: nothing. Few profiles have any, and each has the room for this.
    keys: Option<Box<JoiningKeys>>,
}

/// What is noted of the keys that joined a profile with others.
#[derive(Clone, Debug, Default, PartialEq)]
struct JoiningKeys {
    /// Those that joined it with somebody until that was taken back: they do not join it with anybody again.
    severed: Vec<MergeKey>,
    /// How many stored profiles a key joined with it.
    joins: Vec<Joins>,
}

/// How many stored profiles a key joined on a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Joins {
    key: MergeKey,
    /// Since 1970, of UTC.
    day: i64,
    count: u32,
}

/// As it is written: the first two have the bytes of a `bool`, which is all that there was until format 6.
#[derive(Serialize, Deserialize)]
enum Record {
    Whole,
    WasSplit,
    Noted { was_split: bool, severed: Vec<MergeKey>, joins: Vec<Joins> },
}

impl From<MergeHistory> for Record {
    fn from(MergeHistory { was_split, keys }: MergeHistory) -> Self {
        let JoiningKeys { severed, joins } = keys.map(|keys| *keys).unwrap_or_default();
        match (was_split, severed.is_empty() && joins.is_empty()) {
            (false, true) => Self::Whole,
            (true, true) => Self::WasSplit,
            (was_split, false) => Self::Noted { was_split, severed, joins },
        }
    }
}

impl From<Record> for MergeHistory {
    fn from(record: Record) -> Self {
        match record {
            Record::Whole => Self::default(),
            Record::WasSplit => Self { was_split: true, keys: None },
            Record::Noted { was_split, severed, joins } => {
                Self { was_split, keys: Some(Box::new(JoiningKeys { severed, joins })) }
            }
        }
    }
}

impl MergeHistory {
    /// Whether the key joined it with somebody until that was taken back.
    pub fn is_severed(&self, key: MergeKey) -> bool {
        self.keys.as_ref().is_some_and(|keys| keys.severed.contains(&key))
    }

    /// The key does not join it with anybody from here on.
    pub fn sever(&mut self, key: MergeKey) {
        if !self.is_severed(key) {
            let severed = &mut self.keys.get_or_insert_default().severed;
            severed.push(key);
            severed.drain(..severed.len().saturating_sub(SEVERED_MAX));
        }
    }

    /// It is found by the key, which leads to nobody else.
    pub fn heal(&mut self, key: MergeKey) {
        self.forget(|keys| keys.severed.retain(|severed| *severed != key));
    }

    /// How many stored profiles the key joined with it on the day of this time.
    pub fn joined_by(&self, key: MergeKey, now: Time) -> u32 {
        let mut joins = self.keys.iter().flat_map(|keys| &keys.joins);
        let today = joins.find(|joins| joins.key == key && joins.day == now.day());
        today.map_or(0, |joins| joins.count)
    }

    /// A key joined one more stored profile with it; what was counted on other days is forgotten.
    pub fn count_join(&mut self, key: MergeKey, now: Time) {
        let count = self.joined_by(key, now).saturating_add(1);
        let keys = self.keys.get_or_insert_default();
        keys.joins.retain(|joins| joins.day == now.day());
        keys.note_joins(Joins { key, day: now.day(), count });
    }

    /// What the key joined counts no more.
    pub fn forget_joins(&mut self, key: MergeKey) {
        self.forget(|keys| keys.joins.retain(|joins| joins.key != key));
    }

    fn forget(&mut self, forget: impl FnOnce(&mut JoiningKeys)) {
        self.keys.as_deref_mut().map(forget);
        self.keys.take_if(|keys| **keys == JoiningKeys::default());
    }

    /// Of two profiles that became one.
    pub(super) fn absorb(&mut self, other: Self) {
        self.was_split |= other.was_split;
        let Some(theirs) = other.keys else { return };
        theirs.severed.into_iter().for_each(|key| self.sever(key));
        let keys = self.keys.get_or_insert_default();
        for joins in theirs.joins {
            let mine = keys.joins.iter().find(|mine| mine.key == joins.key).copied();
            match mine.filter(|mine| mine.day >= joins.day) {
                Some(mine) if mine.day == joins.day => {
                    keys.note_joins(Joins { count: mine.count.saturating_add(joins.count), ..mine });
                }
                Some(_) => {}
                None => keys.note_joins(joins),
            }
        }
        keys.severed.sort_unstable();
        keys.joins.sort_unstable_by_key(|joins| joins.key);
    }
}

impl JoiningKeys {
    fn note_joins(&mut self, noted: Joins) {
        match self.joins.iter().position(|joins| joins.key == noted.key) {
            Some(place) => self.joins[place] = noted,
            None if self.joins.len() < COUNTED_MAX => self.joins.push(noted),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_are_counted_by_day_and_severed_keys_are_bounded() {
        let (key, day) = (MergeKey([1; 16]), |day: i64| Time::from_micros(day * 86_400_000_000));
        let mut history = MergeHistory::default();
        (0..3).for_each(|_| history.count_join(key, day(1)));
        assert_eq!((history.joined_by(key, day(1)), history.joined_by(key, day(2))), (3, 0));
        history.count_join(key, day(2));
        assert_eq!((history.joined_by(key, day(1)), history.joined_by(key, day(2))), (0, 1));
        (0..=255).for_each(|number| history.sever(MergeKey([number; 16])));
        assert!(history.is_severed(MergeKey([255; 16])) && !history.is_severed(MergeKey([0; 16])));
    }
}
