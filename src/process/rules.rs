//! What people set up, compiled.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use schemars::{Schema, SchemaGenerator};
use tokio::sync::watch;

use crate::{
    model::{Definition, DefinitionKind, Fault, Id, Path, Profile, Time, Zone},
    process::{
        definitions::{
            Whole,
            consent::{self, Consent, now::ConsentNow},
            destination::{self, Destination, Target},
            event_type::{self, EventType, EventTypes},
            redirect::{self, Redirect},
            schedule::Schedule,
            segment::{self, Segment},
            workflow::{self, Workflow},
        },
        expression::{
            condition::{Count, without_constant_checks},
            scope::Scope,
        },
        identity::keys::Identity,
        records::{ProfileDraft, Records},
        tally::{Tallies, Tally},
    },
};

/// What people set up, compiled.
#[derive(Default)]
pub struct Rules {
    types: EventTypes,
    pub(super) segments: Vec<Segment>,
    /// Those that are to be left.
    pub(super) deleted_segments: Vec<Segment>,
    pub(super) workflows: Vec<Workflow>,
    /// The workflows that a type starts, by their places.
    by_type: HashMap<Arc<str>, Vec<usize>>,
    /// The workflows that every type starts.
    by_any_type: Vec<usize>,
    destinations: Vec<Arc<Destination>>,
    pub(super) consents: Vec<Consent>,
    redirects: HashMap<Id, Arc<Redirect>>,
    /// The types that people set up themselves.
    configured: Vec<Arc<str>>,
    /// What is due by itself.
    schedules: Vec<Schedule>,
    /// The places in profiles by whose values workflows find people.
    searched: Vec<Path>,
    /// The types whose events conditions count, by the days of which zones, and over how many at most.
    pub(super) counted: HashMap<Arc<str>, Vec<(Zone, u64)>>,
    /// Where days begin unless a definition says otherwise.
    zone: Zone,
}

/// The rules in force: a request goes by what stands here when it begins.
#[derive(Default)]
pub struct RulesInForce {
    rules: watch::Sender<Arc<Rules>>,
    /// How they fared.
    pub tallies: Tallies,
}

/// The schema of a definition of this kind, as people write it. What it must be beside that (expressions, paths) is known
/// to who compiles it.
pub fn definition_schema(kind: DefinitionKind, generator: &mut SchemaGenerator) -> Schema {
    match kind {
        DefinitionKind::EventType => generator.subschema_for::<Whole<event_type::Written>>(),
        DefinitionKind::Token | DefinitionKind::Share | DefinitionKind::Change | DefinitionKind::BlockedKey => {
            Schema::default()
        } // no file has one
        DefinitionKind::Segment | DefinitionKind::DeletedSegment => {
            generator.subschema_for::<Whole<segment::Written>>()
        }
        DefinitionKind::Workflow => generator.subschema_for::<Whole<workflow::Written>>(),
        DefinitionKind::Destination => generator.subschema_for::<Whole<destination::Written>>(),
        DefinitionKind::Consent => generator.subschema_for::<Whole<consent::Written>>(),
        DefinitionKind::Redirect => generator.subschema_for::<Whole<redirect::Written>>(),
    }
}

impl RulesInForce {
    pub fn new(rules: Rules) -> Self {
        Self { rules: watch::Sender::new(Arc::new(rules)), tallies: Tallies::default() }
    }

    pub fn get(&self) -> Arc<Rules> {
        self.rules.borrow().clone()
    }

    /// How each workflow that is enabled fared.
    pub fn workflow_tallies(&self) -> BTreeMap<Id, Tally> {
        let rules = self.get();
        let ids = rules.workflows.iter().map(|workflow| &workflow.id);
        ids.map(|id| (id.clone(), self.tallies.get(DefinitionKind::Workflow, id))).collect()
    }

    /// From the next request on, everything goes by these.
    pub fn set(&self, rules: Rules) {
        self.tallies.retain(|kind, id| match kind {
            DefinitionKind::Workflow => rules.has_workflow(id),
            _ => rules.segments.iter().any(|segment| segment.id == *id),
        });
        self.rules.send_replace(Arc::new(rules));
    }

    /// Tells when they change.
    pub fn changes(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }
}

/// A definition that does not compile.
#[derive(Debug, thiserror::Error)]
#[error("{} {id}: {fault}", kind.word())]
pub struct Mistake {
    pub kind: DefinitionKind,
    pub id: Id,
    pub fault: Fault,
}

impl Rules {
    /// Compiles what is saved, with what is ready-made behind it. Days begin where `zone` says, unless a definition says
    /// otherwise. An expression with a constant part that can never be evaluated, which older versions took, goes on to be
    /// used.
    ///
    /// # Errors
    /// A definition does not compile.
    pub fn compile_saved(definitions: &[Arc<Definition>], zone: Zone) -> Result<Self, Box<Mistake>> {
        without_constant_checks(|| Self::compile(definitions, zone))
    }

    /// Whether all of these may be saved: they compile, and what is constant in them can be evaluated.
    ///
    /// # Errors
    /// One of them may not.
    pub fn check(definitions: &[Arc<Definition>], zone: Zone) -> Result<(), Box<Mistake>> {
        Self::compile(definitions, zone).map(drop)
    }

    fn compile(definitions: &[Arc<Definition>], zone: Zone) -> Result<Self, Box<Mistake>> {
        let ready_made = event_type::ready_made();
        let mut rules = Self { types: ready_made.expect("tests compile what is ready-made"), zone, ..Self::default() };
        for definition in definitions {
            let mistake = |fault| Box::new(Mistake { kind: definition.kind, id: definition.id.clone(), fault });
            match definition.kind {
                DefinitionKind::EventType => {
                    let compiled = EventType::compile(definition, zone).map_err(mistake)?;
                    rules.configured.push(compiled.id.clone());
                    rules.types.insert(compiled.id.clone(), Arc::new(compiled));
                }
                DefinitionKind::Segment => {
                    let (segment, schedule) = Segment::compile(definition, zone).map_err(mistake)?;
                    rules.schedules.push(schedule);
                    rules.count(segment.condition.counts(), segment.zone);
                    rules.segments.push(segment);
                }
                DefinitionKind::DeletedSegment => {
                    rules.deleted_segments.push(Segment::compile(definition, zone).map_err(mistake)?.0);
                    rules.schedules.push(Schedule::new(definition, None, true, true));
                }
                DefinitionKind::Consent => {
                    rules.consents.push(Consent::compile(definition).map_err(mistake)?);
                }
                DefinitionKind::Token | DefinitionKind::Share | DefinitionKind::Change | DefinitionKind::BlockedKey => {
                } // nothing happens by it
                DefinitionKind::Redirect => {
                    let redirect = Redirect::compile(definition).map_err(mistake)?;
                    rules.redirects.insert(definition.id.clone(), Arc::new(redirect));
                }
                DefinitionKind::Destination => {
                    let destination = Destination::compile(definition, zone).map_err(mistake)?;
                    if let Target::File(name) = &destination.target
                        && rules
                            .destinations
                            .iter()
                            .any(|other| matches!(&other.target, Target::File(it) if it == name))
                    {
                        return Err(mistake(Fault::new("value_error", "another destination has this file").at("file")));
                    }
                    rules.destinations.push(Arc::new(destination));
                }
                DefinitionKind::Workflow => {
                    let (workflow, schedule) = Workflow::compile(definition, zone).map_err(mistake)?;
                    if workflow.enabled {
                        rules.schedules.extend(schedule);
                        rules.count(&workflow.counts(), workflow.zone);
                        rules.searched.extend(workflow.searched());
                        let place = rules.workflows.len();
                        if workflow.on_any {
                            rules.by_any_type.push(place);
                        }
                        for kind in workflow.on.iter().filter(|_| !workflow.on_any) {
                            rules.by_type.entry(kind.clone()).or_default().push(place);
                        }
                        rules.workflows.push(workflow);
                    }
                }
            }
        }
        Ok(rules)
    }

    fn count(&mut self, counts: &[Count], zone: Zone) {
        for Count { kind, days } in counts {
            let zones = self.counted.entry(kind.clone()).or_default();
            match zones.iter_mut().find(|(known, _)| *known == zone) {
                Some((_, most)) => *most = (*most).max(*days),
                None => zones.push((zone, *days)),
            }
        }
    }

    /// Where days begin unless a definition says otherwise.
    pub fn zone(&self) -> Zone {
        self.zone
    }

    pub(super) fn event_type(&self, id: &str) -> Option<&EventType> {
        self.types.get(id).map(|kind| &**kind)
    }

    /// The places of the workflows that a type starts, in order.
    pub(super) fn started_by(&self, kind: &str) -> Vec<usize> {
        let mut started = self.by_any_type.clone();
        started.extend(self.by_type.get(kind).into_iter().flatten());
        started.sort_unstable();
        started
    }

    /// The workflows that an event of a type starts; if none, those that let such events happen later.
    pub fn concerned_by(&self, kind: &str, source: &Id) -> Vec<&Id> {
        let started = self.started_by(kind).into_iter().map(|place| &self.workflows[place]);
        let started: Vec<&Id> = started.filter(|it| it.takes_source(source)).map(|it| &it.id).collect();
        if !started.is_empty() {
            return started;
        }
        self.workflows.iter().filter(|it| it.delays(kind)).map(|it| &it.id).collect()
    }

    /// Whether the source requires a consent that the profile did not give.
    pub fn lacks_consent(&self, records: &Records<'_>) -> bool {
        consent::is_missing(&self.consents, records)
    }

    pub fn redirect(&self, id: &Id) -> Option<Arc<Redirect>> {
        self.redirects.get(id).cloned()
    }

    /// Whether there is such a workflow, and it is enabled.
    pub fn has_workflow(&self, id: &Id) -> bool {
        self.workflows.iter().any(|workflow| workflow.id == *id)
    }

    /// What is due by itself.
    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    /// Whether something that is scheduled has to do with the profile in the records.
    ///
    /// # Errors
    /// Its condition cannot be evaluated.
    pub fn concerns(&self, kind: DefinitionKind, id: &Id, records: &Records<'_>) -> Result<bool, String> {
        match kind {
            DefinitionKind::Segment => {
                let segment = self.segments.iter().find(|segment| segment.id == *id);
                segment.map_or(Ok(false), |segment| segment.is_crossed(records))
            }
            DefinitionKind::DeletedSegment => Ok(segment::members(records).iter().any(|it| **it == *id.text())),
            _ => {
                let Some(workflow) = self.workflows.iter().find(|workflow| workflow.id == *id) else {
                    return Ok(false);
                };
                let condition = workflow.condition.as_ref();
                let holds = condition
                    .map_or(Ok(true), |condition| condition.holds(&Scope::new(records, None).in_zone(workflow.zone)));
                holds.map_err(|error| format!("if: {error}"))
            }
        }
    }

    /// Whether it is somebody's who is known: it has a key or an id that can be guessed, or something by which people are
    /// known or workflows find them, whether or not it leads to this profile.
    pub fn is_known(&self, identity: &Identity, draft: &ProfileDraft) -> bool {
        let mut places = identity.places().chain(&self.searched).map(|path| path.split_root().1);
        draft.profile.is_known() || places.any(|place| draft.get(place).is_some_and(|value| !value.is_empty()))
    }

    /// Where events and changed profiles are delivered to.
    pub fn destinations(&self) -> &[Arc<Destination>] {
        &self.destinations
    }

    /// Whether somebody wants to know what changes in profiles.
    pub fn tells_changes(&self) -> bool {
        self.destinations.iter().any(|destination| destination.profiles)
    }

    /// The consents of somebody now, for what was stored of them before.
    pub fn consent_now(&self, profile: &Arc<Profile>, now: Time) -> ConsentNow<'_> {
        ConsentNow::new(&self.consents, profile, now)
    }

    /// Whether the workflow asks external systems.
    pub fn asks(&self, id: &Id) -> bool {
        self.workflows.iter().any(|workflow| workflow.id == *id && workflow.asks())
    }

    /// Whether there are types of consent.
    pub fn has_consents(&self) -> bool {
        !self.consents.is_empty()
    }

    /// Whether something happens to events of a type beyond what is ready-made.
    pub(super) fn listens(&self, kind: &str) -> bool {
        !self.by_any_type.is_empty()
            || self.by_type.contains_key(kind)
            || self.counted.contains_key(kind)
            || self.configured.iter().any(|known| **known == *kind)
    }
}
