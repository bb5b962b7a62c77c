//! The consent types as consent widgets show them.

use schemars::JsonSchema;
use serde::Serialize;

use super::Admin;
use crate::model::{Definition, DefinitionKind, Id, Value};

/// A consent type, in the fields of Tracardi 0.9.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConsentType {
    id: Id,
    name: String,
    description: String,
    /// Always: what was granted can be taken back.
    revokable: bool,
    /// `grant` or `deny`: what counts while nobody said anything.
    default_value: &'static str,
    enabled: bool,
    tags: [String; 0],
    required: bool,
    /// How long what was said counts, like `365d`.
    auto_revoke: Option<String>,
}

impl Admin {
    pub fn consent_types(&self) -> Vec<ConsentType> {
        self.definitions(DefinitionKind::Consent).iter().map(|definition| ConsentType::of(definition)).collect()
    }
}

impl ConsentType {
    fn of(Definition { id, body, .. }: &Definition) -> Self {
        let body = Value::from(body);
        let field = |name: &str| body.as_object().and_then(|fields| fields.get(name));
        let text = |name| match field(name) {
            Some(Value::Text(text)) => Some(text.to_string()),
            _ => None,
        };
        Self {
            id: id.clone(),
            name: text("name").unwrap_or_else(|| id.to_string()),
            description: text("description").unwrap_or_default(),
            revokable: true,
            default_value: if text("default").as_deref() == Some("granted") { "grant" } else { "deny" },
            enabled: true,
            tags: [],
            required: matches!(field("required"), Some(Value::Boolean(true))),
            auto_revoke: text("expires_after"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reader;

    #[test]
    fn a_type_is_told_in_the_words_of_the_reference() {
        let body =
            br#"{"id":"marketing","name":"Marketing","default":"granted","required":true,"expires_after":"365d"}"#;
        let body = Reader::new(body, 0).and_then(|mut reader| reader.value()).unwrap();
        let definition = Definition::new(DefinitionKind::Consent, body, Default::default()).unwrap();
        let told = serde_json::to_value(ConsentType::of(&definition)).unwrap();
        assert_eq!(told["name"], "Marketing");
        assert_eq!((&told["default_value"], &told["required"]), (&"grant".into(), &true.into()));
        assert_eq!(told["auto_revoke"], "365d");
    }
}
