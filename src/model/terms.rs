//! What a source's `config` says.

use super::{Country, EventIdPlace, Fault, Json, Object, Origin, Path, Reader, Value, short};

/// What a source's `config` says of who may send and how they are known.
#[derive(Debug, Default, PartialEq)]
pub struct Terms {
    /// The web origins that may send; `None`: any.
    pub origins: Option<Vec<Origin>>,
    /// The same as a source's `permanent_profile_id`, in the reference's other place.
    pub static_profile_id: bool,
    /// What in an event that comes without a profile tells whose it is.
    pub profile: Option<ProfileTerms>,
    /// Requests are taken with one of the source's secrets only.
    pub requires_secret: bool,
    pub identify: Identify,
    /// Where phone numbers that tell no country are dialled.
    pub phone_country: Option<Country>,
    /// Answers have all of their parts, also where there is nothing to say.
    pub full_answer: bool,
    pub dnt: Dnt,
    /// Where a webhook's own id stands, which is then the event's.
    pub event_id: Option<EventIdPlace>,
}

/// What becomes of the events of visitors who ask not to be tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dnt {
    /// What becomes of others'.
    #[default]
    Ignore,
    /// They are stored without anything that tells whose they are.
    NoProfile,
    /// They are not taken.
    Refuse,
}

impl Dnt {
    fn parse(word: &str) -> Result<Self, Fault> {
        match word {
            "ignore" => Ok(Self::Ignore),
            "no-profile" => Ok(Self::NoProfile),
            "refuse" => Ok(Self::Refuse),
            _ => {
                let what = format!("{}: ignore, no-profile or refuse is expected", short(word));
                Err(Fault::new("value_error", what))
            }
        }
    }
}

/// Whose events may tell whose they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identify {
    /// Anyone's.
    #[default]
    Anyone,
    /// Those that come with one of the source's secrets, or with the administrator's token.
    Secret,
}

impl Identify {
    fn parse(word: &str) -> Result<Self, Fault> {
        match word {
            "anyone" => Ok(Self::Anyone),
            "secret" => Ok(Self::Secret),
            _ => Err(Fault::new("value_error", format!("{}: anyone or secret is expected", short(word)))),
        }
    }
}

/// `{"path": "properties.customer.email", "is": "email", "create": true}`.
#[derive(Debug, PartialEq)]
pub struct ProfileTerms {
    /// A place in the event.
    pub path: Path,
    pub is: KnownBy,
    /// Make a profile when there is none.
    pub create: bool,
}

/// What a person is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// One of the profile's ids.
    Id,
    Email,
    Phone,
    Identifier,
    Pk,
}

impl KnownBy {
    pub const ALL: [Self; 5] = [Self::Id, Self::Email, Self::Phone, Self::Identifier, Self::Pk];

    /// The word that stands for it in configurations.
    pub fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Identifier => "identifier",
            Self::Pk => "pk",
        }
    }

    pub fn parse(word: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|known| known.word() == word).ok_or_else(|| {
            Fault::new("value_error", format!("{}: id, email, phone, identifier or pk is expected", short(word)))
        })
    }
}

impl ProfileTerms {
    const FIELDS: &[&str] = &["path", "is", "create"];

    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Fault> {
        let written = reader.value()?;
        let tree = Value::from(&written);
        let mut fields = tree.as_object().into_iter().flat_map(Object::iter).map(|(name, _)| name);
        if let Some(unknown) = fields.find(|name| !Self::FIELDS.contains(name)) {
            return Err(Fault::new("value_error", "path, is and create are known").at(unknown));
        }
        let (mut path, mut is, mut create) = (None, None, false);
        let mut reader = Reader::new(written.as_str().as_bytes(), 0)?;
        let there = reader.optional_object(Self::FIELDS, |reader, field| {
            match field {
                "path" => {
                    let text = reader.string()?.text;
                    if !text.starts_with("properties.") {
                        return Err(Fault::new(
                            "value_error",
                            "a place in the properties is expected: properties.NAME",
                        ));
                    }
                    path = Some(Path::parse(&format!("event.{text}"))?);
                }
                "is" => is = Some(KnownBy::parse(&reader.string()?.text)?),
                _ => create = reader.lenient_boolean()?.unwrap_or(false),
            }
            Ok(())
        })?;
        if !there {
            return Ok(None);
        }
        let path = path.ok_or_else(|| Fault::missing().at("path"))?;
        Ok(Some(Self { path, is: is.ok_or_else(|| Fault::missing().at("is"))?, create }))
    }
}

/// Whether answers have all of their parts.
fn read_answer(word: &str) -> Result<bool, Fault> {
    match word {
        "full" => Ok(true),
        "short" => Ok(false),
        _ => Err(Fault::new("value_error", format!("{}: full or short is expected", short(word)))),
    }
}

impl Terms {
    /// # Errors
    /// `origins` is no list of origins, `static_profile_id` or `requires_secret` no boolean, or `profile`, `identify`,
    /// `phone_country`, `answer` or `dnt` not what it should be; the fault names it.
    pub fn read(config: &Json) -> Result<Self, Fault> {
        Self::read_with(config, true, |origin| Origin::parse(origin).map(Some), |code| Country::parse(code).map(Some))
    }

    /// Those of a source that was saved, perhaps when less was refused: an origin that can never match and a country that
    /// does not exist are passed over, and what cannot be read at all admits nobody but by a secret.
    pub fn saved(config: &Json) -> Self {
        let origin = |origin: &str| Ok(Origin::parse(origin).ok());
        let terms = Self::read_with(config, false, origin, |code| Ok(Country::parse(code).ok()));
        terms.unwrap_or_else(|_| Self { origins: Some(Vec::new()), requires_secret: true, ..Self::default() })
    }

    /// `strict`: what is wrong is refused, also where it meant nothing in earlier versions.
    fn read_with(
        config: &Json,
        strict: bool,
        origin: impl Fn(&str) -> Result<Option<Origin>, Fault>,
        country: impl Fn(&str) -> Result<Option<Country>, Fault>,
    ) -> Result<Self, Fault> {
        let mut terms = Self::default();
        Reader::new(config.as_str().as_bytes(), 0)?.object(
            &[
                "origins",
                "static_profile_id",
                "profile",
                "requires_secret",
                "identify",
                "phone_country",
                "answer",
                "dnt",
                "event_id",
            ],
            |reader, field| {
                match field {
                    "profile" => terms.profile = ProfileTerms::read(reader)?,
                    "static_profile_id" => terms.static_profile_id = reader.lenient_boolean()?.unwrap_or(false),
                    "requires_secret" => terms.requires_secret = reader.lenient_boolean()?.unwrap_or(false),
                    _ if reader.peek()? == b'n' => reader.null()?,
                    "dnt" => terms.dnt = Dnt::parse(&reader.string()?.text)?,
                    "event_id" => terms.event_id = read_event_id(reader, strict)?,
                    "identify" => terms.identify = Identify::parse(&reader.string()?.text)?,
                    "phone_country" => terms.phone_country = country(&reader.string()?.text)?,
                    "answer" => terms.full_answer = read_answer(&reader.string()?.text)?,
                    _ => {
                        let mut origins = Vec::new();
                        reader.array(|reader, _| {
                            origins.extend(origin(&reader.string()?.text)?);
                            Ok(())
                        })?;
                        terms.origins = Some(origins);
                    }
                }
                Ok(())
            },
        )?;
        Ok(terms)
    }
}

fn read_event_id(reader: &mut Reader<'_>, strict: bool) -> Result<Option<EventIdPlace>, Fault> {
    let written = reader.value()?;
    let read = Value::from(&written).as_str().map(EventIdPlace::parse).ok_or_else(|| Fault::wrong_type("a text"));
    read.flatten().map(Some).or_else(|fault| if strict { Err(fault) } else { Ok(None) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_with_an_origin_that_cannot_match_keeps_the_others() {
        let config = |text: &str| Reader::new(text.as_bytes(), 0).unwrap().value().unwrap();
        let origins = config(r#"{"origins": ["https://*.shop.example", "https://shop.example"]}"#);
        assert!(Terms::read(&origins).is_err());
        assert_eq!(Terms::saved(&origins).origins, Some(vec![Origin::parse("https://shop.example").unwrap()]));
        let none_left = config(r#"{"origins": ["https://*.shop.example"]}"#);
        assert_eq!(Terms::saved(&none_left).origins, Some(Vec::new()));
        assert_eq!(Terms::saved(&config(r#"{"origins": 1}"#)).origins, Some(Vec::new()));
        let unknown = config(r#"{"identify": "secret", "phone_country": "Atlantis"}"#);
        assert!(Terms::read(&unknown).is_err());
        assert_eq!(Terms::saved(&unknown), Terms { identify: Identify::Secret, ..Terms::default() });
        let own = config(r#"{"event_id": {"of": "our own"}}"#);
        assert!(Terms::read(&own).is_err());
        assert_eq!(Terms::saved(&own), Terms::default(), "it meant nothing when it was saved");
    }
}
