//! What happens without a request: delayed events, and what is set up and due by itself.
//!
//! Delayed events are entries of the log until they happened. How far a schedule is, is an entry too: after a restart
//! it goes on where it was, and what came due meanwhile is done once. What panics is counted as failed, and the rest
//! goes on. What is due for one person happens in the order in which it was due (`order`, `lanes`). A pass over all profiles
//! first looks at each as it is stored, without locks; those that it concerns take the way of a request, where it is looked
//! at again. What it asks of external systems is asked ahead, for many of them side by side.

mod events;
mod lanes;
mod order;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use events::UnderWay;
use futures_util::future::join_all;
use order::Order;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    clock::Clock,
    collect::{Collector, Due, NotDone, Performed},
    model::{DefinitionKind, Id, Pass, Profile, Time},
    process::{ProfileDraft, Records, RetryState, Rules, RulesInForce, Schedule, Tally},
    store::{Refused, Store},
    supervise::{Next, PAUSE_MAX, caught, caught_now, supervise},
};

/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_secs(1);
/// How many profiles of a pass are read at a time.
const PROFILES_MAX: usize = 200;
/// How many people what is due is done for side by side.
const AT_A_TIME: usize = 100;

type Name = (DefinitionKind, Id);

pub struct Scheduler {
    store: Arc<Store>,
    clock: Arc<Clock>,
    rules: Arc<RulesInForce>,
    collector: Arc<Collector>,
    order: Order,
}

/// How a workflow or a segment fares.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ScheduleStatus")]
pub struct Status {
    /// When its schedule began last.
    begun: Option<Time>,
    /// It has not come to its end yet.
    under_way: bool,
    next: Option<Time>,
    #[serde(flatten)]
    tally: Tally,
}

impl Scheduler {
    pub fn new(store: Arc<Store>, clock: Arc<Clock>, rules: Arc<RulesInForce>, collector: Arc<Collector>) -> Self {
        Self { store, clock, rules, collector, order: Order::default() }
    }

    /// Does what is due until `ended` says so. What is under way then is done after the next start.
    pub async fn run(self: Arc<Self>, mut ended: watch::Receiver<bool>) {
        tokio::select! {
            () = supervise(|| self.clone().follow(), after_panic) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }

    /// How a workflow or a segment fares; `None` if there is none that is enabled.
    pub async fn status(&self, kind: DefinitionKind, id: &Id) -> Result<Option<Status>, Refused> {
        let rules = self.rules.get();
        let schedule = find(&rules, kind, id);
        if schedule.is_none() && !(kind == DefinitionKind::Workflow && rules.has_workflow(id)) {
            return Ok(None);
        }
        let pass = match schedule {
            Some(schedule) => self.pass(schedule).await?,
            None => None,
        };
        Ok(Some(Status {
            begun: pass.as_ref().map(|pass| pass.begun),
            under_way: pass.as_ref().is_some_and(|pass| pass.under_way.is_some()),
            next: schedule.and_then(|schedule| next(schedule, pass.as_ref())),
            tally: self.rules.tallies.get(kind, id),
        }))
    }

    /// Looks again and again what is due, and lets it happen.
    async fn follow(self: Arc<Self>) {
        self.order.clear();
        let (mut passes, mut events) = (Passes::new(self.rules.get()), UnderWay::default());
        loop {
            let now = self.clock.now();
            // What is scheduled is known before the events that are due by then.
            let looked = match self.begin_passes(&mut passes, now).await {
                Ok(()) => self.look(&mut events, now).await,
                Err(refused) => Err(refused),
            };
            if let Err(refused) = looked {
                tracing::warn!(%refused, "what is due waits");
            }
            self.perform_events(&mut events).await;
        }
    }

    /// Starts what is scheduled and due; each goes its own way.
    async fn begin_passes(self: &Arc<Self>, passes: &mut Passes, now: Time) -> Result<(), Refused> {
        for (name, panic) in passes.take_ended(now) {
            self.order.end(&name);
            if let Some(panic) = panic {
                self.rules.tallies.note(name.0, &name.1, Some(panic), now);
            }
        }
        let rules = self.rules.get();
        passes.look_again(&rules, now);
        for schedule in rules.schedules() {
            let name = (schedule.kind, schedule.id.clone());
            if !passes.may_begin(&name) {
                continue;
            }
            match self.due_pass(schedule, now).await? {
                Ok((pass, due)) => {
                    if schedule.profiles {
                        self.order.begin(name.clone(), due, pass.begun, pass.under_way.as_ref());
                    }
                    let (scheduler, rules) = (self.clone(), rules.clone());
                    passes.begin(name.clone(), async move { scheduler.run_pass(&rules, &name, pass, due).await });
                }
                Err(next) => _ = passes.waiting.insert(name, next),
            }
        }
        Ok(())
    }

    /// How far the schedule is, as it is set up now.
    async fn pass(&self, schedule: &Schedule) -> Result<Option<Pass>, Refused> {
        let view = self.store.read_view();
        let pass = view.answer(view.pass(schedule.kind, &schedule.id).await?).await?;
        Ok(pass.filter(|pass| pass.begun >= schedule.saved))
    }

    /// The pass that is to begin now, or to go on, and when it was due; if none is, when the next is due, if ever.
    async fn due_pass(&self, schedule: &Schedule, now: Time) -> Result<Result<(Pass, Time), Option<Time>>, Refused> {
        let pass = self.pass(schedule).await?;
        let next = next(schedule, pass.as_ref());
        Ok(match (pass, next) {
            (Some(pass), _) if pass.under_way.is_some() => {
                let begun = pass.begun;
                Ok((pass, begun))
            }
            (_, Some(next)) if next <= now => Ok((Pass { begun: now, under_way: None }, next)),
            _ => Err(next),
        })
    }

    async fn run_pass(&self, rules: &Rules, name: &Name, pass: Pass, due: Time) {
        let Some(schedule) = find(rules, name.0, &name.1) else { return };
        let passed = if schedule.profiles {
            self.pass_profiles(rules, schedule, pass, due).await
        } else {
            self.once(schedule, pass).await
        };
        if let Err(refused) = passed {
            // It goes on from where it is durable.
            tracing::warn!(id = %schedule.id, %refused, "what is scheduled was interrupted");
        }
    }

    /// Does what is scheduled for nobody in particular.
    async fn once(&self, schedule: &Schedule, pass: Pass) -> Result<(), Refused> {
        match self.perform(schedule, None, pass, RetryState::default()).await? {
            Some(performed) => performed.pending.durable().await,
            None => Ok(()),
        }
    }

    /// Goes on with a pass over all profiles that there were when it began.
    async fn pass_profiles(&self, rules: &Rules, schedule: &Schedule, pass: Pass, due: Time) -> Result<(), Refused> {
        self.store.read_view().applied().await?;
        let name = (schedule.kind, schedule.id.clone());
        let Pass { begun, under_way: mut after } = pass;
        loop {
            let profiles = self.store.read_view().profiles(after.as_ref(), PROFILES_MAX).await?;
            let mut last = None;
            for some in self.concerned(rules, schedule, begun, &profiles).chunks(AT_A_TIME) {
                let asked = self.ask_ahead(rules, schedule, begun, some).await;
                for (profile, asked) in some.iter().zip(asked) {
                    let pass = Pass { begun, under_way: Some(profile.id.clone()) };
                    self.order.turn_of(profile, due, &self.rules).await;
                    let performed = self.perform(schedule, Some(profile), pass, asked).await?;
                    last = performed.map(|performed| performed.pending);
                    self.order.come_to(&name, &profile.id);
                }
            }
            if let Some(pending) = last {
                pending.durable().await?; // and with it all before it
            }
            if let Some(last) = profiles.last() {
                self.order.come_to(&name, &last.id);
            }
            match profiles.last() {
                Some(profile) if profiles.len() == PROFILES_MAX => after = Some(profile.id.clone()),
                _ => {
                    let (kind, id, pass) = (schedule.kind, schedule.id.clone(), Pass { begun, under_way: None });
                    let ended = Due::Scheduled { kind, id, profile: None, pass };
                    return self.collector.note(&ended).await?.durable().await;
                }
            }
            if find(&self.rules.get(), schedule.kind, &schedule.id).is_none_or(|now| now.saved != schedule.saved) {
                return Ok(()); // it is set up differently, or no more
            }
        }
    }

    /// What is asked of external systems for each of these people.
    async fn ask_ahead(
        &self,
        rules: &Rules,
        schedule: &Schedule,
        begun: Time,
        profiles: &[&Arc<Profile>],
    ) -> Vec<RetryState> {
        if schedule.kind != DefinitionKind::Workflow || !rules.asks(&schedule.id) {
            return profiles.iter().map(|_| RetryState::default()).collect();
        }
        let asked = profiles.iter().map(|profile| async {
            let pass = Pass { begun, under_way: Some(profile.id.clone()) };
            let due = scheduled(schedule, Some(profile), pass);
            caught(self.collector.ask_ahead(&due)).await.unwrap_or_default() // a panic is told when it is done
        });
        join_all(asked).await
    }

    async fn perform(
        &self,
        schedule: &Schedule,
        profile: Option<&Profile>,
        pass: Pass,
        asked: RetryState,
    ) -> Result<Option<Performed>, Refused> {
        let (kind, id) = (schedule.kind, schedule.id.clone());
        let performed = self.perform_caught(&scheduled(schedule, profile, pass), asked).await?;
        if kind == DefinitionKind::Segment {
            let error = performed.as_ref().and_then(|performed| performed.error.clone());
            self.rules.tallies.note(kind, &id, error, self.clock.now());
        }
        Ok(performed)
    }

    /// Does what is due. If that panics, or can never be done, it is told and done with: else it would come back for ever
    /// and hold up what is due behind it.
    async fn perform_caught(&self, due: &Due, asked: RetryState) -> Result<Option<Performed>, Refused> {
        let why = match caught(self.collector.perform(due, asked)).await {
            Ok(Ok(performed)) => return Ok(performed),
            Ok(Err(NotDone::Refused(refused))) => return Err(refused),
            Ok(Err(NotDone::Impossible(why))) | Err(why) => why,
        };
        self.count_failure(due, &why).await?;
        Ok(Some(Performed { pending: self.collector.note(due).await?, error: Some(why) }))
    }

    /// Counts what was due and could not be done where its administrator looks: of a delayed event, which is nobody's by
    /// itself, that is each workflow that it concerns.
    async fn count_failure(&self, due: &Due, why: &str) -> Result<(), Refused> {
        let failed = |id: &Id, why: String| {
            self.rules.tallies.note(DefinitionKind::Workflow, id, Some(why), self.clock.now());
        };
        match due {
            Due::Scheduled { kind: DefinitionKind::Workflow, id, .. } => failed(id, why.to_owned()),
            Due::Scheduled { .. } => {} // a segment's are counted with what went well
            Due::Event { due, number } => {
                let Some(event) = self.store.read_view().delayed(*due, *number).await? else { return Ok(()) };
                for id in self.rules.get().concerned_by(&event.kind, &event.source) {
                    failed(id, format!("delayed event {}: {why}", event.kind));
                }
            }
        }
        Ok(())
    }

    /// Those that it concerns, as they are stored.
    fn concerned<'a>(
        &self,
        rules: &Rules,
        schedule: &Schedule,
        begun: Time,
        profiles: &'a [Arc<Profile>],
    ) -> Vec<&'a Arc<Profile>> {
        let mut records = Records::internal(None, self.clock.now(), false);
        let mut concerns = |profile: &Arc<Profile>| {
            records.profile = Some(ProfileDraft::known(profile.clone()));
            let concerns = caught_now(|| rules.concerns(schedule.kind, &schedule.id, &records));
            concerns.flatten().unwrap_or_else(|error| {
                self.rules.tallies.note(schedule.kind, &schedule.id, Some(error), self.clock.now());
                false
            })
        };
        let concerned = profiles.iter().filter(|profile| profile.inserted <= begun && concerns(profile));
        concerned.collect()
    }
}

fn scheduled(schedule: &Schedule, profile: Option<&Profile>, pass: Pass) -> Due {
    let (kind, id) = (schedule.kind, schedule.id.clone());
    Due::Scheduled { kind, id, profile: profile.map(Profile::reference), pass }
}

/// What is scheduled and under way, or waits.
struct Passes {
    /// As they are set up.
    rules: Arc<Rules>,
    tasks: JoinSet<(Name, Result<(), String>)>,
    running: HashSet<Name>,
    /// When those are due, if ever, that are known not to be yet: as they are set up now.
    waiting: HashMap<Name, Option<Time>>,
}

impl Passes {
    fn new(rules: Arc<Rules>) -> Self {
        Self { rules, tasks: JoinSet::new(), running: HashSet::new(), waiting: HashMap::new() }
    }

    fn may_begin(&self, name: &Name) -> bool {
        !self.running.contains(name) && !self.waiting.contains_key(name)
    }

    fn begin(&mut self, name: Name, pass: impl Future<Output = ()> + Send + 'static) {
        self.running.insert(name.clone());
        self.tasks.spawn(async move { (name, caught(pass).await) });
    }

    /// Those that ended since the last look, with what a panic said. What panicked goes on from where it is durable, but
    /// not at once.
    fn take_ended(&mut self, now: Time) -> Vec<(Name, Option<String>)> {
        let mut all = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            let Ok((name, ended)) = ended else { continue }; // a panic is caught in it
            self.running.remove(&name);
            let panic = ended.err();
            if panic.is_some() {
                self.waiting.insert(name.clone(), Some(now.later(PAUSE_MAX)));
            }
            all.push((name, panic));
        }
        all
    }

    /// Lets those begin whose time has come, as far as it is known for what is set up now.
    fn look_again(&mut self, rules: &Arc<Rules>, now: Time) {
        if !Arc::ptr_eq(&self.rules, rules) {
            self.waiting.clear();
            self.rules = rules.clone();
        }
        self.waiting.retain(|_, next| next.is_none_or(|next| next > now));
    }
}

/// Goes on with what never ends by itself.
fn after_panic(ended: Result<(), String>) -> Next {
    if let Err(panic) = ended {
        tracing::error!(panic, "the scheduler panicked and goes on");
    }
    Next::AfterPause
}

fn find<'a>(rules: &'a Rules, kind: DefinitionKind, id: &Id) -> Option<&'a Schedule> {
    rules.schedules().iter().find(|schedule| schedule.kind == kind && schedule.id == *id)
}

/// When the schedule is due again, if it began last as `pass` says.
fn next(schedule: &Schedule, pass: Option<&Pass>) -> Option<Time> {
    match pass {
        None if schedule.at_once => Some(schedule.saved),
        None => schedule.when.as_ref()?.next(schedule.saved),
        Some(pass) => schedule.when.as_ref()?.next(pass.begun),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pass_that_panics_is_told_waits_and_leaves_the_others_alone() {
        let name = |id| (DefinitionKind::Workflow, Id::required(id).unwrap());
        let (rules, now) = (Arc::new(Rules::default()), Time::from_micros(0));
        let mut passes = Passes::new(rules.clone());
        passes.begin(name("panics"), async { panic!("no luck") });
        passes.begin(name("ends"), async {});
        passes.begin(name("goes on"), std::future::pending());
        assert!(!passes.may_begin(&name("panics")), "it is under way");
        let mut panics = Vec::new();
        while passes.running.len() > 1 {
            tokio::task::yield_now().await;
            panics.extend(passes.take_ended(now).into_iter().filter_map(|(name, panic)| Some((name, panic?))));
        }
        assert_eq!((panics.len(), &panics[0].0), (1, &name("panics")));
        assert!(panics[0].1.ends_with("no luck"), "{panics:?}");
        assert!(passes.may_begin(&name("ends")) && !passes.may_begin(&name("goes on")));
        assert!(!passes.may_begin(&name("panics")), "it waits for a while");
        passes.look_again(&rules, now.later(PAUSE_MAX));
        assert!(passes.may_begin(&name("panics")));
    }
}
