//! Events as they are stored, for one who follows the log (docs/contract.md, section 14).
//!
//! Who begins in the past reads the log by a scan, like a query from the oldest on, up to what the follower keeps; from
//! there on everything comes from the follower. A reader has a place in the log and nothing else: what it does not take is
//! read when it does, and if that is gone by then, it is told to go on by a scan again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{
    Queries,
    cursor::Cursor,
    follower::{Listener, READ_TOGETHER, Recent, Stretch},
    query::LiveQuery,
    scan::EventScan,
    stream::Person,
};
use crate::{
    model::{Id, Place},
    process::{Expression, Scope},
    store::{Refused, retry},
};

/// How often a reader is told that the stream is alive, and how far it is.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// A piece ends with the event that makes it longer than so many bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// How long a reader waits once what it read was taken back.
const STALE_PAUSE: Duration = Duration::from_millis(100);

/// What a reader is told next.
#[derive(Debug)]
pub enum LivePiece {
    /// In the order of the log.
    Events(Vec<LiveEvent>),
    /// The stream is alive; everything before this cursor was sent, or is not meant.
    Alive(String),
    /// The reader did not keep up. It may go on by this cursor; nothing more is sent.
    Behind(String),
}

/// An event that is meant.
#[derive(Debug)]
pub struct LiveEvent {
    /// Goes on behind this event.
    pub cursor: String,
    /// What is shown of it, as JSON.
    pub record: Bytes,
}

/// Events from a place in the log on, without end.
pub struct LiveStream {
    reader: Reader,
    alive: Interval,
    ended: watch::Receiver<bool>,
    has_ended: bool,
}

struct Reader {
    queries: Arc<Queries>,
    query: Arc<LiveQuery>,
    listener: Listener,
    /// Everything before this offset was sent, or is not meant.
    at: u64,
    /// While it reads what was stored before.
    scan: Option<EventScan>,
    /// It has come to what is stored now.
    follows: bool,
}

impl Queries {
    /// Events as they are stored: from now on, from the query's `from` on, or behind its cursor.
    ///
    /// # Errors
    /// As many follow as may, or the log cannot be read now.
    pub async fn live(self: &Arc<Self>, query: LiveQuery) -> Result<LiveStream, Refused> {
        let listener = self.follower.listen(&query.filter.kinds)?;
        if query.cursor.is_some() || query.filter.from.is_some() {
            // What was deleted before it was asked for is not found.
            retry(|| async { self.store.read_view().applied().await }).await?;
        }
        let at = match (query.cursor, query.filter.from) {
            (Some(cursor), _) => cursor.place.offset,
            (None, Some(_)) => 0,
            (None, None) => self.end(),
        };
        let ended = listener.ended();
        let reader = Reader { queries: self.clone(), query: Arc::new(query), listener, at, scan: None, follows: false };
        let mut alive = interval_at(Instant::now() + ALIVE_EVERY, ALIVE_EVERY);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(LiveStream { reader, alive, ended, has_ended: false })
    }

    /// The offset behind the last entry of the log.
    pub fn end(&self) -> u64 {
        self.store.end()
    }

    /// How many follow the log.
    pub fn live_readers(&self) -> usize {
        self.follower.listeners()
    }

    /// Ends every [`LiveStream`] in good order; there are no more of them.
    pub fn end_live(&self) {
        self.follower.end();
    }
}

impl LiveStream {
    /// Where the stream begins.
    pub fn cursor(&self) -> String {
        self.reader.cursor(self.reader.at)
    }

    /// What comes next; waits for it. `None`: the daemon ends, or the reader was told that it is behind.
    ///
    /// # Errors
    /// What is to be read cannot be read now; nothing more comes, and the reader may go on behind the last cursor.
    pub async fn next(&mut self) -> Result<Option<LivePiece>, Refused> {
        if self.has_ended {
            return Ok(None);
        }
        // What is given up here is read again: the reader's place moves only along with what is handed on.
        let next = tokio::select! {
            biased;
            () = async { _ = self.ended.wait_for(|ended| *ended).await } => Ok(None),
            _ = self.alive.tick() => Ok(Some(LivePiece::Alive(self.cursor()))),
            piece = self.reader.next() => piece.map(Some),
        };
        self.has_ended = matches!(next, Err(_) | Ok(None | Some(LivePiece::Behind(_))));
        next
    }
}

impl Reader {
    fn cursor(&self, offset: u64) -> String {
        Cursor { place: Place::in_log(offset) }.to_text(&self.query.identity)
    }

    /// The next events that are meant, or that it is behind.
    async fn next(&mut self) -> Result<LivePiece, Refused> {
        loop {
            let found = match self.listener.from(self.at) {
                Some(kept) if kept.is_empty() => {
                    self.listener.grown(self.at).await;
                    continue;
                }
                Some(kept) => {
                    self.follows = true;
                    self.take(kept).await
                }
                None if self.follows => return Ok(LivePiece::Behind(self.cursor(self.at))),
                None => self.scan_further().await,
            };
            match found {
                Ok(events) if events.is_empty() => {}
                Ok(events) => return Ok(LivePiece::Events(events)),
                Err(Refused::Stale) => {
                    self.scan = None;
                    tokio::time::sleep(STALE_PAUSE).await;
                }
                Err(refused) => return Err(refused),
            }
        }
    }

    /// What is meant of that which was stored lately; goes on behind what was looked at.
    async fn take(&mut self, kept: Vec<Arc<Stretch>>) -> Result<Vec<LiveEvent>, Refused> {
        if let Some(last) = kept.last()
            && kept.iter().all(|stretch| stretch.events.is_empty())
        {
            self.at = last.range.end; // nothing that anybody wants
            return Ok(Vec::new());
        }
        // Whose ids these are by now: what was kept was looked at no later.
        let people = self.people().await?;
        let (events, at) = self.meant(kept, people).await?;
        self.at = at;
        Ok(events)
    }

    /// What is meant of the next part of the log before what is kept.
    async fn scan_further(&mut self) -> Result<Vec<LiveEvent>, Refused> {
        let mut scan = match self.scan.take() {
            Some(scan) => scan,
            None => {
                let left = self.at..self.listener.end();
                let (people, now) = (self.people().await?, self.queries.now());
                EventScan::along_log(self.query.filter.clone(), people, left, now)
            }
        };
        let Queries { store, running, .. } = &*self.queries;
        // However long other queries take: somebody who follows waits.
        let turn = running.acquire().await.map_err(|_| Refused::Unavailable("the store is closed".into()))?;
        let view = store.read_view();
        let at = self.at;
        let step = view.query(move |log| {
            let mut found = scan.step(log, READ_TOGETHER)?;
            found.retain(|event| !event.request.imported);
            Ok((Stretch::of(at..scan.left().start.offset, found, log)?, scan))
        });
        let (stretch, scan) = step.await?;
        drop(turn);
        // The scan has looked at whose they are, so that is not asked again.
        let (events, at) = self.meant(vec![Arc::new(stretch)], None).await?;
        // A piece may end before what was found does.
        self.scan = (at == scan.left().start.offset && !scan.is_done()).then_some(scan);
        self.at = at;
        Ok(events)
    }

    /// All ids of the person that the filter names, if it names one.
    async fn people(&self) -> Result<Option<Arc<[Id]>>, Refused> {
        let Some(id) = &self.query.filter.profile else { return Ok(None) };
        let read = || async {
            let view = self.queries.store.read_view();
            let person = Person::find(&view, id).await?;
            view.answer(person.ids).await
        };
        retry(read).await.map(Some)
    }

    /// What is meant of these events, as much as makes a piece, and the offset behind what was looked at.
    async fn meant(
        &self,
        stretches: Vec<Arc<Stretch>>,
        people: Option<Arc<[Id]>>,
    ) -> Result<(Vec<LiveEvent>, u64), Refused> {
        let (query, at, now) = (self.query.clone(), self.at, self.queries.now());
        let view = self.queries.store.read_view();
        let meant = view.query(move |log| {
            let filter = &query.filter;
            let mut meant = Vec::new();
            let (mut bytes, mut end) = (0, at);
            'all: for stretch in &stretches {
                for recent in stretch.events.iter().filter(|recent| recent.offset >= at) {
                    if !filter.takes(&recent.event, people.as_deref()) || log.conceals(&recent.event, recent.offset) {
                        continue; // what is concealed was kept from before somebody was forgotten
                    }
                    let holds = |condition: &Arc<Expression>| {
                        condition.holds(&Scope::stored(recent.scope(), now)).unwrap_or(false)
                    };
                    if !filter.condition.as_ref().is_none_or(holds) {
                        continue;
                    }
                    let record = query.record_of(recent);
                    bytes += record.len();
                    meant.push((recent.offset, record));
                    if bytes >= PIECE_BYTES {
                        end = recent.offset + 1;
                        break 'all;
                    }
                }
                end = stretch.range.end;
            }
            let (Some(first), Some(last)) = (meant.first(), meant.last()) else { return Ok((Vec::new(), end)) };
            let deleted = log.deleted_events(first.0..last.0 + 1)?;
            let shown = meant.into_iter().filter(|(offset, _)| deleted.binary_search(offset).is_err());
            let shown = shown.map(|(offset, record)| LiveEvent {
                cursor: Cursor { place: Place::in_log(offset + 1) }.to_text(&query.identity),
                record,
            });
            Ok((shown.collect(), end))
        });
        meant.await
    }
}

impl LiveQuery {
    /// What is shown of an event.
    fn record_of(&self, recent: &Recent) -> Bytes {
        if self.projection.is_whole() {
            return recent.record();
        }
        self.projection.of(recent.tree()).to_json().as_str().to_owned().into()
    }
}
