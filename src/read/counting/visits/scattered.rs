//! The sessions of which events were imported: these may stand anywhere in the log, and nothing tells where the first one
//! does. Who counts visits carries them through all segments, so many at a time that they take little memory.

use std::mem;

use foldhash::HashSet;

use super::super::persons::IdKeys;
use crate::store::{Began, ReadView, Refused, SegmentSessions};

/// How many are carried at a time. If there are more, the log is gone through several times, each time for a part of all
/// sessions.
const SESSIONS_MAX: usize = 256 * 1024;

/// Those of one part of all sessions.
#[derive(Default)]
pub struct Scattered {
    sessions: HashSet<u128>,
    part: u64,
    /// A power of two; 0: it is not begun.
    parts: u64,
}

impl Scattered {
    /// Goes on to the next part; `false`: there is none. `keys`: of whoever asks.
    pub async fn next(&mut self, view: &ReadView, keys: &IdKeys) -> Result<bool, Refused> {
        match self.parts {
            0 => self.parts = 1,
            parts if self.part + 1 == parts => return Ok(false),
            _ => self.part += 1,
        }
        self.sessions.clear();
        for segment in view.query(|log| log.spans()).await?.into_iter().filter(|segment| segment.imported) {
            let (mut scattered, keys) = (mem::take(self), keys.clone());
            *self = view
                .query(move |log| {
                    if let Some(index) = log.index(segment.range.start)? {
                        scattered.gather(&index.sessions()?, &keys, SESSIONS_MAX);
                    }
                    Ok(scattered)
                })
                .await?;
        }
        Ok(true)
    }

    fn gather(&mut self, sessions: &SegmentSessions, keys: &IdKeys, most: usize) {
        let imported = sessions.ids.iter().zip(&sessions.began).filter(|(_, began)| **began == Began::Imported);
        for key in imported.map(|(id, _)| keys.key(id)) {
            if !self.is_of_part(key) {
                continue;
            }
            self.sessions.insert(key);
            // Nothing was counted yet: the first part becomes smaller, and there are more of them.
            while self.part == 0 && self.sessions.len() > most {
                self.parts *= 2;
                let mut sessions = mem::take(&mut self.sessions);
                sessions.retain(|key| self.is_of_part(*key));
                self.sessions = sessions;
            }
        }
    }

    /// Nothing was imported.
    pub fn are_none(&self) -> bool {
        self.parts == 1 && self.sessions.is_empty()
    }

    /// What is part of no session belongs to the first part.
    pub fn is_first(&self) -> bool {
        self.part == 0
    }

    /// Whether each of a segment's sessions is of this part; nothing where nothing was imported. Those that are scattered
    /// are marked as [`Began::Imported`].
    pub fn mark(&self, keys: &IdKeys, sessions: &mut SegmentSessions) -> Vec<bool> {
        if self.are_none() {
            return Vec::new();
        }
        let marked = sessions.ids.iter().zip(&mut sessions.began).map(|(id, began)| {
            let key = keys.key(id);
            if self.sessions.contains(&key) {
                *began = Began::Imported;
            }
            self.is_of_part(key)
        });
        marked.collect()
    }

    fn is_of_part(&self, key: u128) -> bool {
        /// Spreads the bits of ids that count up.
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        let mixed = ((key >> 64) as u64 ^ key as u64).wrapping_mul(SPREAD);
        (mixed >> 32) & (self.parts - 1) == self.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    #[test]
    fn each_session_is_of_one_part_and_no_part_has_many() {
        let mut sessions = SegmentSessions::default();
        for number in 0..1_000 {
            sessions.ids.push(&Id::required(&format!("session-{number}")).unwrap());
            sessions.began.push(if number % 2 == 0 { Began::Imported } else { Began::Here });
        }
        let keys = IdKeys::default();
        let mut scattered = Scattered { parts: 1, ..Scattered::default() };
        scattered.gather(&sessions, &keys, 100);
        assert!(scattered.parts >= 8 && scattered.sessions.len() <= 100, "{}", scattered.parts);
        let mut of = vec![0; 1_000];
        for part in 0..scattered.parts {
            scattered.part = part;
            scattered.sessions.clear();
            scattered.gather(&sessions, &keys, 100);
            let mut marked = SegmentSessions { ids: sessions.ids.clone(), began: vec![Began::Here; 1_000] };
            let is_of_part = scattered.mark(&keys, &mut marked);
            for (number, is_of_part) in is_of_part.into_iter().enumerate() {
                of[number] += u32::from(is_of_part);
                assert_eq!(marked.began[number] == Began::Imported, is_of_part && number % 2 == 0);
            }
        }
        assert!(of.iter().all(|parts| *parts == 1));
    }
}
