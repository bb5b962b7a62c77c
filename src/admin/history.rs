//! Who changed what is set up, and when: an entry of the log beside each change, from which it can be taken back.

use std::sync::Arc;

use super::{Admin, Difference, definitions::says_the_same};
use crate::{
    model::{Definition, DefinitionKind, Id, Json, Object, Time, Value},
    store::Entry,
};

/// How many changes are kept, and how many bytes of them together; older ones go.
const CHANGES_MAX: usize = 1_000;
const BYTES_MAX: usize = 8 << 20;
/// What is longer is noted without what it was and became.
const CHANGE_BYTES_MAX: usize = 256 << 10;

/// Who changes something.
#[derive(Clone, Debug)]
pub struct Author {
    pub name: String,
    /// From where, if it is known.
    pub address: Option<String>,
}

impl Author {
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), address: None }
    }
}

/// A change of something that is set up.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: Id,
    pub time: Time,
    pub by: String,
    pub address: String,
    /// `source`, or the name of a definition's kind, and its id.
    pub kind: String,
    pub of: String,
    /// `None`: it was not there, is not there any more, or is too long to be kept.
    pub before: Option<Json>,
    pub after: Option<Json>,
}

impl Admin {
    /// The changes that are kept, the newest first.
    pub fn changes(&self) -> Vec<Change> {
        let mut all = self.definitions(DefinitionKind::Change);
        all.sort_by(|a, b| b.saved.cmp(&a.saved).then_with(|| b.id.cmp(&a.id)));
        all.iter().map(|definition| read(definition)).collect()
    }

    pub fn change(&self, id: &Id) -> Option<Change> {
        self.definition(DefinitionKind::Change, id).map(|definition| read(&definition))
    }

    /// The entries that note differences, and those that let go what is more than is kept.
    pub(super) fn noted(&self, by: &Author, differences: &[Difference]) -> Vec<Entry> {
        // What is saved again as it was is no change.
        let differs = |it: &&Difference| it.before.is_none() || !says_the_same(it.before.as_ref(), it.after.as_ref());
        let new: Vec<Definition> = differences.iter().filter(differs).map(|it| self.note(by, it)).collect();
        let mut all = self.definitions(DefinitionKind::Change);
        all.sort_by(|a, b| a.saved.cmp(&b.saved).then_with(|| a.id.cmp(&b.id)));
        let bytes = |definition: &Definition| definition.body.as_str().len();
        let mut kept_bytes: usize =
            new.iter().map(bytes).sum::<usize>() + all.iter().map(|it| bytes(it)).sum::<usize>();
        let mut kept = all.len() + new.len();
        let mut entries = Vec::new();
        for oldest in &all {
            if kept <= CHANGES_MAX && kept_bytes <= BYTES_MAX {
                break;
            }
            kept -= 1;
            kept_bytes -= bytes(oldest);
            entries.push(Entry::DefinitionDeleted { kind: DefinitionKind::Change, id: oldest.id.clone() });
        }
        entries.extend(new.into_iter().map(|definition| Entry::Definition(Arc::new(definition))));
        entries
    }

    fn note(&self, by: &Author, difference: &Difference) -> Definition {
        let id = self.clock.make_id();
        let mut body = Object::default();
        body.insert("id", Value::text(&id.text()));
        body.insert("by", Value::text(&by.name));
        body.insert("address", Value::text(by.address.as_deref().unwrap_or_default()));
        body.insert("kind", Value::text(difference.kind));
        body.insert("of", Value::text(&difference.id.text()));
        for (name, side) in [("before", &difference.before), ("after", &difference.after)] {
            if let Some(json) = side.as_ref().filter(|json| json.as_str().len() <= CHANGE_BYTES_MAX) {
                // As text: it is not looked into, and keeps its depth.
                body.insert(name, Value::text(json.as_str()));
            }
        }
        Definition { kind: DefinitionKind::Change, id, body: Value::Object(body).to_json(), saved: self.clock.now() }
    }
}

fn read(definition: &Definition) -> Change {
    let body = Value::from(&definition.body);
    let field = |name: &str| body.as_object().and_then(|fields| fields.get(name)).map(Value::to_text);
    let text = |name| field(name).unwrap_or_default();
    let json = |name| {
        let text = field(name)?;
        crate::model::Reader::new(text.as_bytes(), 0).and_then(|mut reader| reader.value()).ok()
    };
    Change {
        id: definition.id.clone(),
        time: definition.saved,
        by: text("by"),
        address: text("address"),
        kind: text("kind"),
        of: text("of"),
        before: json("before"),
        after: json("after"),
    }
}
