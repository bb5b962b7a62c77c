//! Lets delayed events happen: those of one person in the order in which they are due, different people's side by side.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    AT_A_TIME, Scheduler, TICK,
    lanes::{Person, Place},
};
use crate::{
    collect::{Due, Performed},
    model::{Id, Profile, ProfileRef, Time},
    process::{RetryState, referred_profile},
    store::{DueEvent, ReadView, Refused},
};

/// How many wait in memory, and how many of them may be one person's, so that who has many does not keep out others.
const WAITING_MAX: usize = 10_000;
const OF_ONE_MAX: usize = 100;
/// How many are looked at for these.
const LOOKED_AT_MAX: usize = 50_000;

/// How a delayed event ended: it is done with, or due still.
type Ended = (Place, Person, Result<(), Refused>);

/// Delayed events that are under way.
#[derive(Default)]
pub(super) struct UnderWay {
    tasks: JoinSet<Ended>,
    /// There were more than were taken the last time.
    more: bool,
}

impl Scheduler {
    /// Lets delayed events happen until it is to be looked again.
    pub(super) async fn perform_events(self: &Arc<Self>, under_way: &mut UnderWay) {
        let (next_look, waiting) = (Instant::now() + TICK, self.order.lanes.lock().len());
        loop {
            self.begin_events(&mut under_way.tasks).await;
            tokio::select! {
                Some(ended) = under_way.tasks.join_next() => self.note_event(ended),
                () = sleep_until(next_look) => return,
            }
            if under_way.more && self.order.lanes.lock().len() <= waiting / 2 {
                return;
            }
        }
    }

    /// Looks which events are due, and whose they are.
    pub(super) async fn look(&self, under_way: &mut UnderWay, now: Time) -> Result<(), Refused> {
        self.order.lanes.lock().look_again();
        let view = self.store.read_view();
        view.applied().await?; // so that those that happened are not seen again
        let due = view.due(now, LOOKED_AT_MAX).await?;
        // The first that is not taken, for now.
        let mut left = (due.len() == LOOKED_AT_MAX).then(|| due.last().map(|last| last.due)).flatten();
        let mut people = HashMap::new();
        for DueEvent { due, number, profile, session } in due {
            let (place, named) = ((due, number), (profile, session));
            if self.order.lanes.lock().has(place) {
                continue;
            }
            let person = match people.get(&named) {
                Some(person) => Person::clone(person),
                None => {
                    // Where that cannot be told now, it is when its turn comes.
                    let found = whose(&view, place, &named).await;
                    let person = found.map_or_else(|_| Person::named(place, &named), |whose| whose.person);
                    people.insert(named, person.clone());
                    person
                }
            };
            let mut lanes = self.order.lanes.lock();
            if lanes.len() < WAITING_MAX && lanes.waiting(&person) < OF_ONE_MAX {
                lanes.add(place, person);
            } else {
                left = Some(left.map_or(due, |left| left.min(due)));
            }
            if lanes.len() == WAITING_MAX {
                break;
            }
        }
        under_way.more = left.is_some();
        let taken_to = left.map_or(now, |left| left.earlier(Duration::from_micros(1)));
        *self.order.taken_to.lock() = Some(taken_to);
        self.order.changed.notify_waiters();
        Ok(())
    }

    /// Begins with as many as may be under way, those first that are due longest.
    async fn begin_events(self: &Arc<Self>, tasks: &mut JoinSet<Ended>) {
        loop {
            let first = if tasks.len() < AT_A_TIME { self.order.lanes.lock().first() } else { None };
            let Some((place, person)) = first else { return };
            let found = self.whose_now(place).await;
            let waits = match &found {
                Ok(Some(Whose { profile: Some(profile), .. })) => self.order.is_before(place.0, profile, &self.rules),
                _ => false,
            };
            let mut lanes = self.order.lanes.lock();
            match found {
                Ok(Some(whose)) if whose.person != person => {
                    lanes.move_to(place, person, whose.person);
                    continue;
                }
                Ok(Some(_)) if !waits => {
                    lanes.begin(place, person.clone());
                    let scheduler = self.clone();
                    tasks.spawn(async move { (place, person, scheduler.happen(place).await) });
                    continue;
                }
                Ok(None) => {
                    lanes.begin(place, person.clone());
                    lanes.end(place, person); // it happened, or is not to happen any more
                    continue;
                }
                Ok(Some(_)) => {} // something scheduled was due before it
                Err(refused) => tracing::warn!(%refused, "a delayed event waits"),
            }
            lanes.begin(place, person.clone());
            lanes.put_back(place, person);
        }
    }

    /// Whose a delayed event is now; `None` if it is not due any more.
    async fn whose_now(&self, place: Place) -> Result<Option<Whose>, Refused> {
        let view = self.store.read_view();
        let Some(event) = view.delayed(place.0, place.1).await? else { return Ok(None) };
        whose(&view, place, &(event.profile.clone(), event.session.clone())).await.map(Some)
    }

    /// Lets a delayed event happen, durably.
    async fn happen(&self, (due, number): Place) -> Result<(), Refused> {
        let Some(Performed { pending, error }) =
            self.perform_caught(&Due::Event { due, number }, RetryState::default()).await?
        else {
            return Ok(());
        };
        if let Some(error) = error {
            tracing::warn!(error, "something went wrong with a delayed event");
        }
        pending.durable().await
    }

    /// What a task led to.
    fn note_event(&self, ended: Result<Ended, JoinError>) {
        let mut lanes = self.order.lanes.lock();
        match ended {
            Ok((place, person, Ok(()))) => lanes.end(place, person),
            Ok((place, person, Err(refused))) => {
                tracing::warn!(%refused, "a delayed event waits");
                lanes.put_back(place, person);
            }
            // What an event leads to is caught before: whoever looks after this begins anew.
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
        drop(lanes);
        self.order.changed.notify_waiters();
    }
}

/// Whose an event is.
struct Whose {
    person: Person,
    /// If there is one.
    profile: Option<Arc<Profile>>,
}

/// Whose an event is that names this profile and this session.
async fn whose(view: &ReadView, place: Place, named: &(Option<ProfileRef>, Option<Id>)) -> Result<Whose, Refused> {
    let found = match &named.0 {
        Some(reference) => referred_profile(view, reference).await?,
        None => None,
    };
    let person = found.as_ref().map(|found| Person::Profile(found.reference()));
    Ok(Whose { person: person.unwrap_or_else(|| Person::named(place, named)), profile: found })
}
