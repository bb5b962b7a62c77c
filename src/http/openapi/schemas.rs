//! The schemas of the document, by their names.

use schemars::{
    JsonSchema, SchemaGenerator,
    generate::{Contract, SchemaSettings},
};
use serde_json::{Map, Value, json};

use crate::{model::DefinitionKind, process::definition_schema};

/// Gathers schemas while the document is made; what is used more than once is named and referred to.
pub struct Schemas {
    /// Of what is written: a field that is left out where there is nothing to say is not required.
    answers: SchemaGenerator,
    /// Of what is read: a field that has a default is not required.
    bodies: SchemaGenerator,
}

impl Schemas {
    pub fn new() -> Self {
        let generator = |contract| {
            let settings = SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self { answers: generator(Contract::Serialize), bodies: generator(Contract::Deserialize) }
    }

    /// The schema of what is answered.
    pub fn answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    /// The schema of a definition, which is answered as it was sent.
    pub fn definition(&mut self, kind: DefinitionKind) -> Value {
        definition_schema(kind, &mut self.bodies).to_value()
    }

    /// Gives a name to a schema that was written by hand.
    pub fn body(&mut self, name: &str, schema: Value) -> Value {
        self.bodies.definitions_mut().insert(name.to_owned(), schema);
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// All that have a name.
    pub fn named(mut self) -> Map<String, Value> {
        let mut named = self.bodies.take_definitions(true);
        named.append(&mut self.answers.take_definitions(true));
        named
    }

    /// The names that mean one thing in what is sent and another in what is answered.
    #[cfg(test)]
    pub fn conflicts(&self) -> Vec<&str> {
        let bodies = self.bodies.definitions().iter();
        let differing =
            bodies.filter(|(name, schema)| self.answers.definitions().get(*name).is_some_and(|other| other != *schema));
        differing.map(|(name, _)| name.as_str()).collect()
    }
}
