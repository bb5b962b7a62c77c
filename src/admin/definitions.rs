//! What people set up beside sources: saved all or nothing, compiled before it is stored, in force from the next
//! request.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Admin, Author, retry};
use crate::{
    model::{Definition, DefinitionKind, Fault, Id, Json, Object, Source, Value},
    process::Rules,
    store::{Entry, Key, Moment, Refused},
};

/// The most definitions of all kinds together.
const DEFINITIONS_MAX: usize = 10_000;
/// How many items are forgotten together that were set aside for a destination: about what the room for an entry is for.
const ASIDES_TOGETHER: usize = 100;

/// Why definitions are not saved.
#[derive(Debug, thiserror::Error)]
pub enum NotSaved {
    #[error("{0}")]
    Invalid(Fault),
    #[error("{0}")]
    Refused(#[from] Refused),
}

/// A set of sources and definitions, as a configuration file has it.
pub struct Configuration {
    sources: Vec<Source>,
    definitions: Vec<Definition>,
}

/// What applying a configuration changes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// `source`, or the name of a definition's kind.
    pub kind: &'static str,
    pub id: Id,
    /// As it stands; `None`: it is new.
    pub before: Option<Json>,
    /// `None`: it is deleted.
    pub after: Option<Json>,
}

impl Difference {
    /// A definition, as it stands, and as it will.
    fn of(definition: &Definition, after: Option<&Json>) -> Self {
        let before = Some(definition.body.clone());
        Self { kind: definition.kind.word(), id: definition.id.clone(), before, after: after.cloned() }
    }
}

impl Admin {
    pub fn definition(&self, kind: DefinitionKind, id: &Id) -> Option<Arc<Definition>> {
        self.store.definition(kind, id)
    }

    pub fn definitions(&self, kind: DefinitionKind) -> Vec<Arc<Definition>> {
        let mut all = self.store.definitions();
        all.retain(|definition| definition.kind == kind);
        all
    }

    /// Creates or replaces a definition; returns its id once that is durable.
    pub async fn save_definition(&self, kind: DefinitionKind, body: Json, by: &Author) -> Result<Id, NotSaved> {
        let definition = Definition::new(kind, body, self.clock.now()).map_err(NotSaved::Invalid)?;
        let id = definition.id.clone();
        let _one = self.configuring.lock().await;
        self.save(Vec::new(), vec![definition], by, false).await?;
        Ok(id)
    }

    /// Deletes a definition. `false` if there is none.
    pub async fn delete_definition(&self, kind: DefinitionKind, id: &Id, by: &Author) -> Result<bool, Refused> {
        let _one = self.configuring.lock().await;
        let deleted = retry(|| self.try_delete_definition(kind, id, by)).await?;
        if deleted && let Ok(rules) = self.compile(&[]).await {
            self.rules.set(rules);
        }
        if deleted && kind == DefinitionKind::Destination {
            retry(|| self.forget_asides(id)).await?;
        }
        Ok(deleted)
    }

    /// Forgets what is set aside for a destination that is not there any more.
    async fn forget_asides(&self, destination: &Id) -> Result<(), Refused> {
        loop {
            let decided = self.decide(vec![Key::Delivered(destination.clone())]).await?;
            decided.view.applied().await?;
            let some = decided.view.asides(destination, 0, ASIDES_TOGETHER).await?;
            if some.is_empty() {
                return Ok(());
            }
            let items = some.into_iter().map(|(item, _)| item).collect();
            self.write(decided, vec![Entry::AsideDone { destination: destination.clone(), items }]).await?;
        }
    }

    async fn try_delete_definition(&self, kind: DefinitionKind, id: &Id, by: &Author) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Definition(kind, id.clone())]).await?;
        let Some(definition) = self.store.definition(kind, id) else { return Ok(false) };
        let mut entries = vec![Entry::DefinitionDeleted { kind, id: id.clone() }];
        entries.extend(self.noted(by, &[Difference::of(&definition, None)]));
        if kind == DefinitionKind::Segment {
            entries.push(Entry::Definition(Arc::new(Definition::deleted_segment(&definition, self.clock.now()))));
        }
        self.write(decided, entries).await
    }

    /// Sends a destination to `offset`: everything from there on is delivered again. `false` if there is none.
    pub async fn replay(&self, destination: &Id, offset: u64) -> Result<bool, Refused> {
        let _one = self.configuring.lock().await;
        // Nothing is passed over: behind the end there is only what is still to come.
        let offset = offset.min(self.store.end());
        retry(|| async {
            let decided = self.decide(vec![Key::Delivered(destination.clone())]).await?;
            if self.store.definition(DefinitionKind::Destination, destination).is_none() {
                return Ok(false);
            }
            self.write(decided, vec![Entry::Delivered { destination: destination.clone(), offset }]).await
        })
        .await
    }

    /// Reads a configuration: an object with a list under `source` and under the name of each kind of definition.
    ///
    /// # Errors
    /// It is no such object, or something in it is missing or wrong; the fault names the place.
    pub fn read_configuration(&self, body: &Json) -> Result<Configuration, Fault> {
        let tables = Value::from(body);
        let tables = tables.as_object().ok_or_else(|| Fault::wrong_type("an object"))?;
        let mut configuration = Configuration { sources: Vec::new(), definitions: Vec::new() };
        for (name, list) in tables.iter() {
            let kind = DefinitionKind::ALL.into_iter().find(|kind| kind.word() == name);
            if kind.is_none() && name != SOURCE {
                let known = DefinitionKind::ALL.map(DefinitionKind::word).join(", ");
                return Err(Fault::new("value_error", format!("unknown: expected {SOURCE}, {known}")).at(name));
            }
            let Value::List(list) = list else { return Err(Fault::wrong_type("a list").at(name)) };
            for (index, item) in list.iter().enumerate() {
                let at = |fault: Fault| fault.at_index(index).at(name);
                match kind {
                    Some(kind) => {
                        let definition = Definition::new(kind, item.to_json(), self.clock.now()).map_err(at)?;
                        let twice = |known: &Definition| known.kind == kind && known.id == definition.id;
                        if configuration.definitions.iter().any(twice) {
                            return Err(at(Fault::new("value_error", "this id stands there twice").at("id")));
                        }
                        configuration.definitions.push(definition);
                    }
                    None => {
                        let source = self.read_source(item.to_json().as_str().as_bytes()).map_err(at)?;
                        let fields = || item.as_object().into_iter().flat_map(Object::iter).map(|(name, _)| name);
                        if !fields().any(|name| name == "id") {
                            // Without an id, each time that it is applied would make another source.
                            return Err(at(Fault::missing().at("id")));
                        }
                        // Clients send more than is known; whoever writes a file made a mistake.
                        if let Some(unknown) = fields().find(|name| !Source::FIELDS.contains(name)) {
                            return Err(at(Fault::new("value_error", "a source has no such field").at(unknown)));
                        }
                        configuration.sources.push(source);
                    }
                }
            }
        }
        Ok(configuration)
    }

    /// What applying the configuration would change.
    ///
    /// # Errors
    /// It does not compile.
    pub async fn difference(&self, configuration: &Configuration) -> Result<Vec<Difference>, Fault> {
        self.compile(&configuration.definitions).await?;
        let mut differences = Vec::new();
        for source in &configuration.sources {
            let difference = self.difference_of_source(source);
            if !says_the_same(difference.before.as_ref(), difference.after.as_ref()) {
                differences.push(difference);
            }
        }
        for definition in &configuration.definitions {
            let before = self.store.definition(definition.kind, &definition.id).map(|found| found.body.clone());
            if !says_the_same(before.as_ref(), Some(&definition.body)) {
                differences.push(Difference { before, ..Difference::of(definition, Some(&definition.body)) });
            }
        }
        Ok(differences)
    }

    /// What everything that is set up comes to once the configuration is applied.
    ///
    /// # Errors
    /// It does not compile.
    pub async fn compiled_with(&self, configuration: &Configuration) -> Result<Rules, Fault> {
        self.compile(&configuration.definitions).await
    }

    /// Saves what is new or different in the configuration, all or nothing; what it does not name stays as it is.
    /// Returns what changed, once that is durable.
    pub async fn apply(&self, configuration: Configuration, by: &Author) -> Result<Vec<Difference>, NotSaved> {
        self.apply_if(|| Ok(()), configuration, by).await
    }

    /// Saves a configuration as [`Admin::apply`] does, if `still_so` finds what is set up as whoever wrote it saw it:
    /// nothing changes between the two.
    pub async fn apply_if(
        &self,
        still_so: impl FnOnce() -> Result<(), Fault>,
        configuration: Configuration,
        by: &Author,
    ) -> Result<Vec<Difference>, NotSaved> {
        let _one = self.configuring.lock().await;
        still_so().map_err(NotSaved::Invalid)?;
        let differences = self.difference(&configuration).await.map_err(NotSaved::Invalid)?;
        let changes = |kind: &str, id: &Id| differences.iter().any(|changed| changed.kind == kind && changed.id == *id);
        let Configuration { mut sources, mut definitions } = configuration;
        sources.retain(|source| changes(SOURCE, &source.id));
        definitions.retain(|definition| changes(definition.kind.word(), &definition.id));
        self.save(sources, definitions, by, true).await?;
        Ok(differences)
    }

    pub(super) fn difference_of_source(&self, source: &Source) -> Difference {
        let before = self.store.source(&source.id).map(|found| written_source(&found.source));
        Difference { kind: SOURCE, id: source.id.clone(), before, after: Some(written_source(source)) }
    }

    /// Everything that is set up, in the form of a configuration.
    pub fn dump(&self) -> Json {
        let mut tables: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for found in self.store.sources() {
            tables.entry(SOURCE).or_default().push(Value::from(&written_source(&found.source)));
        }
        for definition in self.store.definitions().iter().filter(|it| DefinitionKind::ALL.contains(&it.kind)) {
            tables.entry(definition.kind.word()).or_default().push(Value::from(&definition.body));
        }
        let mut all = Object::default();
        tables.into_iter().for_each(|(name, list)| all.insert(name, Value::List(list)));
        Value::Object(all).to_json()
    }

    /// Saves one configuration at a time, so that each is compiled with what the one before left: `configuring` is held.
    async fn save(
        &self,
        sources: Vec<Source>,
        definitions: Vec<Definition>,
        by: &Author,
        in_tables: bool,
    ) -> Result<(), NotSaved> {
        if sources.is_empty() && definitions.is_empty() {
            return Ok(()); // what is set up is known once it is durable
        }
        let rules = self.compile(&definitions).await.map_err(|fault| if in_tables { fault } else { fault.below(2) });
        let rules = rules.map_err(NotSaved::Invalid)?;
        let sources: Vec<_> = sources.into_iter().map(Arc::new).collect();
        let definitions: Vec<_> = definitions.into_iter().map(Arc::new).collect();
        retry(|| async {
            let mut names: Vec<Key> = sources.iter().map(|source| Key::Source(source.id.clone())).collect();
            names.extend(definitions.iter().map(|it| Key::Definition(it.kind, it.id.clone())));
            names.extend(definitions.iter().map(|it| Key::Delivered(it.id.clone())));
            let bytes = definitions.iter().map(|it| it.body.as_str().len()).sum();
            let decided = self.decide_on(names, bytes).await?;
            let mut new = Vec::new();
            for destination in definitions.iter().filter(|it| it.kind == DefinitionKind::Destination) {
                if decided.view.delivered(&destination.id).await?.is_none() {
                    new.push(destination.id.clone());
                }
            }
            let mut entries: Vec<Entry> = sources.iter().cloned().map(Entry::Source).collect();
            let segments = definitions.iter().filter(|it| it.kind == DefinitionKind::Segment);
            let kind = DefinitionKind::DeletedSegment;
            let back = segments.filter(|it| self.store.definition(kind, &it.id).is_some());
            entries.extend(back.map(|it| Entry::DefinitionDeleted { kind, id: it.id.clone() }));
            entries.extend(definitions.iter().cloned().map(Entry::Definition));
            let of_sources = sources.iter().map(|source| self.difference_of_source(source));
            let of_others = definitions.iter().map(|it| {
                let before = self.store.definition(it.kind, &it.id);
                Difference { before: before.map(|before| before.body.clone()), ..Difference::of(it, Some(&it.body)) }
            });
            entries.extend(self.noted(by, &of_sources.chain(of_others).collect::<Vec<_>>()));
            self.write_at(decided, |Moment { offset, .. }| {
                // A new destination begins with what comes after it.
                entries.extend(new.into_iter().map(|destination| Entry::Delivered { destination, offset }));
                entries
            })
            .await
        })
        .await?;
        self.rules.set(rules);
        Ok(())
    }

    /// Compiles everything as it is once `changed` is saved, on a thread that may take its time. A fault names the kind
    /// and the id first.
    async fn compile(&self, changed: &[Definition]) -> Result<Rules, Fault> {
        let mut all: BTreeMap<_, _> = BTreeMap::new();
        let changed: Vec<Arc<Definition>> = changed.iter().cloned().map(Arc::new).collect();
        let all_of_now = self.store.definitions().into_iter().filter(|it| it.kind.is_compiled());
        for definition in all_of_now.chain(changed.iter().cloned()) {
            if definition.kind == DefinitionKind::Segment {
                all.remove(&(DefinitionKind::DeletedSegment, definition.id.clone())); // it is there again
            }
            all.insert((definition.kind, definition.id.clone()), definition);
        }
        if all.len() > DEFINITIONS_MAX {
            return Err(Fault::new("value_error", format!("at most {DEFINITIONS_MAX} definitions are kept")));
        }
        let all: Vec<_> = all.into_values().collect();
        let zone = self.rules.get().zone();
        let compiling = move || Rules::check(&changed, zone).and_then(|()| Rules::compile_saved(&all, zone));
        let compiled = tokio::task::spawn_blocking(compiling).await;
        let compiled = compiled.map_err(|_| Fault::new("value_error", "something in it cannot be compiled"))?;
        compiled.map_err(|mistake| mistake.fault.at(&mistake.id.text()).at(mistake.kind.word()))
    }
}

pub(super) fn says_the_same(before: Option<&Json>, after: Option<&Json>) -> bool {
    let both = before.zip(after);
    both.is_some_and(|(before, after)| Value::from(before).says_the_same(&after.into()))
}

/// The table of sources in a configuration.
pub(super) const SOURCE: &str = "source";

/// A source as people write it: without the server's time.
pub(super) fn written_source(source: &Source) -> Json {
    let mut value = Value::shown(source);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("timestamp");
    }
    value.to_json()
}
