//! The members of an object that are known, each as it came.

use crate::model::{Fault, Id, Json, Reader, Time};

/// Those of an object's members that are known; `null` counts as absent.
#[derive(Debug, Default)]
pub struct Members(Vec<(&'static str, Json)>);

const NULL: &str = "null";

impl Members {
    /// # Errors
    /// It is no object, or a known member stands twice in it.
    pub fn read(reader: &mut Reader<'_>, known: &[&'static str]) -> Result<Self, Fault> {
        let mut found = Vec::new();
        reader.object(known, |reader, name| {
            found.push((name, reader.value()?));
            Ok(())
        })?;
        Ok(Self(found))
    }

    pub fn of(json: &Json, known: &[&'static str]) -> Result<Self, Fault> {
        Self::read(&mut Reader::new(json.as_str().as_bytes(), 0)?, known)
    }

    /// Whether the member stands there, be it `null`.
    pub fn mentions(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(known, json)| *known == name && json.as_str() != NULL).map(|(_, json)| json)
    }

    /// What `read` makes of a member.
    ///
    /// # Errors
    /// As `read`; the fault names the member.
    pub fn read_as<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let Some(json) = self.get(name) else { return Ok(None) };
        let read = Reader::new(json.as_str().as_bytes(), 0).and_then(|mut reader| read(&mut reader));
        read.map(Some).map_err(|fault| fault.at(name))
    }

    /// An object within this one; an empty one where there is none.
    pub fn part(&self, name: &'static str, known: &[&'static str]) -> Result<Self, Fault> {
        Ok(self.read_as(name, |reader| Self::read(reader, known))?.unwrap_or_default())
    }

    /// An object of any schema.
    pub fn object(&self, name: &'static str) -> Result<Json, Fault> {
        match self.get(name) {
            Some(json) if json.as_str().starts_with('{') => Ok(json.clone()),
            Some(_) => Err(Fault::wrong_type("an object").at(name)),
            None => Ok(Json::empty_object()),
        }
    }

    pub fn text(&self, name: &'static str) -> Result<Option<Box<str>>, Fault> {
        self.read_as(name, |reader| Ok(reader.string()?.text.into()))
    }

    pub fn boolean(&self, name: &'static str) -> Result<Option<bool>, Fault> {
        self.read_as(name, |reader| reader.boolean())
    }

    pub fn time(&self, name: &'static str) -> Result<Option<Time>, Fault> {
        Ok(self.read_as(name, Time::read)?.flatten())
    }

    pub fn id(&self, name: &'static str) -> Result<Option<Id>, Fault> {
        Ok(self.read_as(name, |reader| Id::parse(&reader.whole_string()?))?.flatten())
    }

    /// The id within `{"id": ...}`.
    pub fn entity(&self, name: &'static str) -> Result<Option<Id>, Fault> {
        self.part(name, &["id"])?.id("id").map_err(|fault| fault.at(name))
    }
}
