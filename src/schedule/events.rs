//! Lets delayed events happen: those of one person in the order in which they are due, different people's side by side.

use std::{collections::HashMap, sync::Arc};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Scheduler, TICK,
    lanes::{Lanes, Person, Place},
};
use crate::{
    collect::{Due, Performed},
    model::{Id, ProfileRef},
    process::referred_profile,
    store::{DueEvent, ReadView, Refused},
};

/// How many delayed events are done at a time.
const AT_A_TIME: usize = 100;
/// How many wait in memory, and how many of them may be one person's, so that who has many does not keep out others.
const WAITING_MAX: usize = 10_000;
const OF_ONE_MAX: usize = 100;
/// How many are looked at for these.
const LOOKED_AT_MAX: usize = 50_000;

/// How a delayed event ended: it is done with, or due still.
type Ended = (Place, Person, Result<(), Refused>);

/// Delayed events on their way. No task of it is ever aborted while it is looked at.
#[derive(Default)]
struct UnderWay {
    lanes: Lanes,
    tasks: JoinSet<Ended>,
    /// There were more than were taken the last time.
    more: bool,
}

impl Scheduler {
    /// Lets delayed events happen.
    pub(super) async fn follow_events(self: Arc<Self>) {
        let mut under_way = UnderWay::default();
        loop {
            under_way.lanes.look_again();
            if let Err(refused) = self.look(&mut under_way).await {
                tracing::warn!(%refused, "delayed events wait");
            }
            let (next_look, waiting) = (Instant::now() + TICK, under_way.lanes.len());
            loop {
                self.begin_events(&mut under_way).await;
                tokio::select! {
                    Some(ended) = under_way.tasks.join_next() => under_way.note(ended),
                    () = sleep_until(next_look) => break,
                }
                if under_way.more && under_way.lanes.len() <= waiting / 2 {
                    break;
                }
            }
        }
    }

    /// Looks which events are due, and whose they are.
    async fn look(&self, UnderWay { lanes, more, .. }: &mut UnderWay) -> Result<(), Refused> {
        let view = self.store.read_view();
        view.applied().await?; // so that those that happened are not seen again
        let due = view.due(self.clock.now(), LOOKED_AT_MAX).await?;
        *more = due.len() == LOOKED_AT_MAX;
        let mut people = HashMap::new();
        for DueEvent { due, number, profile, session } in due {
            let (place, named) = ((due, number), (profile, session));
            if lanes.has(place) {
                continue;
            }
            if lanes.len() == WAITING_MAX {
                *more = true;
                break;
            }
            let person = match people.get(&named) {
                Some(person) => Person::clone(person),
                None => {
                    let person = whose(&view, place, &named).await?;
                    people.insert(named, person.clone());
                    person
                }
            };
            if lanes.waiting(&person) < OF_ONE_MAX {
                lanes.add(place, person);
            } else {
                *more = true;
            }
        }
        Ok(())
    }

    /// Begins with as many as may be under way, those first that are due longest.
    async fn begin_events(self: &Arc<Self>, UnderWay { lanes, tasks, .. }: &mut UnderWay) {
        while tasks.len() < AT_A_TIME
            && let Some((place, person)) = lanes.first()
        {
            match self.whose_now(place).await {
                Ok(Some(now)) if now != person => lanes.move_to(place, person, now),
                Ok(Some(_)) => {
                    lanes.begin(place, person.clone());
                    let scheduler = self.clone();
                    tasks.spawn(async move { (place, person, scheduler.happen(place).await) });
                }
                Ok(None) => {
                    lanes.begin(place, person.clone());
                    lanes.end(place, person); // it happened, or is not to happen any more
                }
                Err(refused) => {
                    tracing::warn!(%refused, "a delayed event waits");
                    lanes.begin(place, person.clone());
                    lanes.put_back(place, person);
                }
            }
        }
    }

    /// Whose a delayed event is now; `None` if it is not due any more.
    async fn whose_now(&self, place: Place) -> Result<Option<Person>, Refused> {
        let view = self.store.read_view();
        let Some(event) = view.delayed(place.0, place.1).await? else { return Ok(None) };
        whose(&view, place, &(event.profile.clone(), event.session.clone())).await.map(Some)
    }

    /// Lets a delayed event happen, durably.
    async fn happen(&self, (due, number): Place) -> Result<(), Refused> {
        let Some(Performed { pending, error }) = self.perform_caught(&Due::Event { due, number }).await? else {
            return Ok(());
        };
        if let Some(error) = error {
            tracing::warn!(error, "something went wrong with a delayed event");
        }
        pending.durable().await
    }
}

impl UnderWay {
    /// What a task led to.
    fn note(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok((place, person, Ok(()))) => self.lanes.end(place, person),
            Ok((place, person, Err(refused))) => {
                tracing::warn!(%refused, "a delayed event waits");
                self.lanes.put_back(place, person);
            }
            // What an event leads to is caught before: whoever looks after this begins anew.
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
}

/// Whose an event is that names this profile and this session.
async fn whose(
    view: &ReadView,
    place: Place,
    (profile, session): &(Option<ProfileRef>, Option<Id>),
) -> Result<Person, Refused> {
    Ok(match (profile, session) {
        (Some(profile), _) => {
            let found = referred_profile(view, profile).await?;
            Person::Profile(found.map_or_else(|| profile.clone(), |found| found.reference()))
        }
        (None, Some(session)) => Person::Session(session.clone()),
        (None, None) => Person::Nobody(place),
    })
}
