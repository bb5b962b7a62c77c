//! Who is logged in to the console: kept in memory, and ended with the process.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono_tz::Tz;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{console::Visitor, process::hex};

/// How many may be logged in; one more ends the one that would end first.
const LOG_INS_MAX: usize = 1_000;

/// By the hash of what their cookie says: what is in memory lets nobody in.
#[derive(Default)]
pub struct LogIns(Mutex<HashMap<[u8; 32], LogIn>>);

struct LogIn {
    visitor: Visitor,
    ends: Instant,
}

impl LogIns {
    /// Somebody logged in, for this long; what their cookie is to say.
    pub fn begin(&self, name: String, zone: Tz, lasts: Duration) -> String {
        let (session, forgery_token) = (random(), random());
        let now = Instant::now();
        let mut all = self.0.lock();
        all.retain(|_, log_in| log_in.ends > now);
        if all.len() >= LOG_INS_MAX
            && let Some(first) = all.iter().min_by_key(|(_, log_in)| log_in.ends).map(|(hash, _)| *hash)
        {
            all.remove(&first);
        }
        let visitor = Visitor { name, zone, forgery_token };
        all.insert(hash(&session), LogIn { visitor, ends: now + lasts });
        session
    }

    pub fn visitor(&self, session: &str) -> Option<Visitor> {
        let all = self.0.lock();
        all.get(&hash(session)).filter(|log_in| log_in.ends > Instant::now()).map(|log_in| log_in.visitor.clone())
    }

    pub fn end(&self, session: &str) {
        self.0.lock().remove(&hash(session));
    }
}

fn hash(session: &str) -> [u8; 32] {
    Sha256::digest(session).into()
}

/// Nobody guesses it.
fn random() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has random numbers, or the daemon had not started");
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_ends_by_itself_or_by_its_owner() {
        let log_ins = LogIns::default();
        let session = log_ins.begin("Ada".into(), Tz::UTC, Duration::from_secs(60));
        assert_eq!(log_ins.visitor(&session).unwrap().name, "Ada");
        assert!(log_ins.visitor("").is_none() && log_ins.visitor(&session[1..]).is_none());
        log_ins.end(&session);
        assert!(log_ins.visitor(&session).is_none());
        let ended = log_ins.begin("Bob".into(), Tz::UTC, Duration::ZERO);
        assert!(log_ins.visitor(&ended).is_none());
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let log_ins = LogIns::default();
        let first = log_ins.begin("first".into(), Tz::UTC, Duration::from_secs(60));
        for _ in 0..LOG_INS_MAX {
            log_ins.begin("other".into(), Tz::UTC, Duration::from_secs(600));
        }
        assert!(log_ins.visitor(&first).is_none());
        assert_eq!(log_ins.0.lock().len(), LOG_INS_MAX);
    }
}
