//! Who is logged in to the console: kept in memory, and ended with the process.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono_tz::Tz;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{
    console::{Role, Visitor},
    model::Id,
    process::hex,
};

/// How many may be logged in; one more ends the one that would end first, a viewer's before an
/// administrator's.
const LOG_INS_MAX: usize = 1_000;

/// By the hash of what their cookie says: what is in memory lets nobody in.
#[derive(Default)]
pub struct LogIns(Mutex<HashMap<[u8; 32], LogIn>>);

struct LogIn {
    visitor: Visitor,
    by: LoggedInBy,
    /// A secret that is to be shown once, and the path of the page that shows it.
    told: Option<(String, String)>,
    ends: Instant,
}

/// The viewer's token with which somebody logged in; `None`: the administrator's.
pub type LoggedInBy = Option<Id>;

impl LogIns {
    /// Somebody logged in, for this long; what their cookie is to say.
    pub fn begin(&self, name: String, zone: Tz, by: LoggedInBy, lasts: Duration) -> String {
        let (session, forgery_token) = (random(), random());
        let now = Instant::now();
        let mut all = self.0.lock();
        all.retain(|_, log_in| log_in.ends > now);
        if all.len() >= LOG_INS_MAX
            && let Some(first) =
                all.iter().min_by_key(|(_, log_in)| (log_in.by.is_none(), log_in.ends)).map(|(hash, _)| *hash)
        {
            all.remove(&first);
        }
        let role = if by.is_none() { Role::Administrator } else { Role::Viewer };
        let visitor = Visitor { name, zone, forgery_token, role };
        all.insert(hash(&session), LogIn { visitor, by, told: None, ends: now + lasts });
        session
    }

    /// Who is logged in, as long as the token with which they did `is_valid`.
    pub fn visitor(&self, session: &str, is_valid: impl FnOnce(&Id) -> bool) -> Option<Visitor> {
        let all = self.0.lock();
        let log_in = all.get(&hash(session)).filter(|log_in| log_in.ends > Instant::now())?;
        log_in.by.as_ref().is_none_or(is_valid).then(|| log_in.visitor.clone())
    }

    /// Keeps a secret for a page of somebody who is logged in.
    pub fn tell(&self, session: &str, path: &str, secret: String) {
        if let Some(log_in) = self.0.lock().get_mut(&hash(session)) {
            log_in.told = Some((path.to_owned(), secret));
        }
    }

    /// What was kept for this page; it is told once.
    pub fn told(&self, session: &str, path: &str) -> Option<String> {
        let mut all = self.0.lock();
        all.get_mut(&hash(session))?.told.take_if(|(page, _)| page == path).map(|(_, secret)| secret)
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
        let session = log_ins.begin("Ada".into(), Tz::UTC, None, Duration::from_secs(60));
        assert_eq!(log_ins.visitor(&session, |_| true).unwrap().name, "Ada");
        assert!(log_ins.visitor("", |_| true).is_none() && log_ins.visitor(&session[1..], |_| true).is_none());
        log_ins.end(&session);
        assert!(log_ins.visitor(&session, |_| true).is_none());
        let by = Some(Id::required("t").unwrap());
        let viewer = log_ins.begin("Eve".into(), Tz::UTC, by, Duration::from_secs(60));
        assert_eq!(log_ins.visitor(&viewer, |_| true).unwrap().role, Role::Viewer);
        assert!(log_ins.visitor(&viewer, |_| false).is_none(), "its token was ended");
        let ended = log_ins.begin("Bob".into(), Tz::UTC, None, Duration::ZERO);
        assert!(log_ins.visitor(&ended, |_| true).is_none());
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let log_ins = LogIns::default();
        let first = log_ins.begin("first".into(), Tz::UTC, None, Duration::from_secs(60));
        for _ in 0..LOG_INS_MAX {
            log_ins.begin("other".into(), Tz::UTC, None, Duration::from_secs(600));
        }
        assert!(log_ins.visitor(&first, |_| true).is_none());
        assert_eq!(log_ins.0.lock().len(), LOG_INS_MAX);
        let by = || Some(Id::required("t").unwrap());
        let viewer = log_ins.begin("viewer".into(), Tz::UTC, by(), Duration::from_secs(6_000));
        let last = log_ins.begin("last".into(), Tz::UTC, by(), Duration::from_secs(600));
        assert!(log_ins.visitor(&viewer, |_| true).is_none(), "no administrator has to go for a viewer");
        assert!(log_ins.visitor(&last, |_| true).is_some());
    }

    #[test]
    fn a_secret_is_told_once_and_on_its_page() {
        let log_ins = LogIns::default();
        let session = log_ins.begin("Ada".into(), Tz::UTC, None, Duration::from_secs(60));
        log_ins.tell(&session, "/console/sources/a", "secret".into());
        assert_eq!(log_ins.told(&session, "/console/overview"), None);
        assert_eq!(log_ins.told("", "/console/sources/a"), None);
        assert_eq!(log_ins.told(&session, "/console/sources/a").as_deref(), Some("secret"));
        assert_eq!(log_ins.told(&session, "/console/sources/a"), None);
    }
}
