//! A JSON value as a tree, for what looks into it and changes it.
//!
//! It keeps what the normal form keeps: any property name, the exact text of a number, the order of keys.

use super::{Decimal, Json, Object, Path, Reader, Time, decimal::Parts, json::push_string, path::push_step};

/// The deepest that a value may stand in a record, so that everything can be read back.
const DEPTH_MAX: usize = 120;
/// How long a text is at least that is replaced.
const REPLACED_MIN: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Boolean(bool),
    /// With the text that was sent.
    Number(Box<str>),
    Text(Box<str>),
    List(Vec<Self>),
    Object(Object),
}

/// Why a value cannot be written where it should stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    #[error("it would stand below a value that is no object")]
    NotAnObject,
    #[error("it would be nested too deep")]
    TooDeep,
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub fn number(number: impl std::fmt::Display) -> Self {
        Self::Number(number.to_string().into())
    }

    /// A number as JSON writes it; what JSON has no word for is null.
    pub fn float(number: f64) -> Self {
        if !number.is_finite() {
            return Self::Null;
        }
        if number.fract() == 0.0 && number.abs() < 1e15 { Self::number(number as i64) } else { Self::number(number) }
    }

    pub fn object() -> Self {
        Self::Object(Object::default())
    }

    /// A record as a tree, as it is shown.
    pub fn shown(record: &impl serde::Serialize) -> Self {
        let text = serde_json::to_string(record).unwrap_or_default();
        let json = Reader::new(text.as_bytes(), 0).and_then(|mut reader| reader.value());
        json.map_or(Self::Null, |json| Self::from(&json))
    }

    /// null and "" count as nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self {
            number.parse().ok().filter(|number: &f64| number.is_finite())
        } else {
            None
        }
    }

    /// The number, exactly; `None` where it is too long to be calculated with.
    pub fn as_decimal(&self) -> Option<Decimal> {
        if let Self::Number(number) = self { Decimal::parse(number) } else { None }
    }

    /// The time that it says, as clients write one (docs/contract.md, section 1), or the beginning of a day.
    pub fn as_time(&self) -> Option<Time> {
        match self {
            Self::Text(day) if day.len() == "2026-01-01".len() => Time::parse(&format!("{day}T00:00:00Z")).ok(),
            Self::Text(time) => Time::parse(time.trim()).ok(),
            Self::Number(number) => Time::parse_number(number).ok(),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    pub fn as_object_mut(&mut self) -> Option<&mut Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// What stands at `steps`: keys of objects, places in lists.
    pub fn get<'a>(&'a self, steps: &[Box<str>]) -> Option<&'a Self> {
        steps.iter().try_fold(self, |value, step| match value {
            Self::Object(object) => object.get(step),
            Self::List(list) => list.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Writes `value` at `steps`, making the objects on the way; returns what stood there.
    ///
    /// # Errors
    /// Something on the way is no object, or it would be nested too deep. Nothing is changed then.
    pub fn set(&mut self, steps: &[Box<str>], value: Self) -> Result<Option<Self>, Misplaced> {
        if !value.fits_below(steps.len()) {
            return Err(Misplaced::TooDeep);
        }
        if !self.takes(steps) {
            return Err(Misplaced::NotAnObject);
        }
        let mut place = self;
        for step in steps {
            if *place == Self::Null {
                *place = Self::object();
            }
            let Self::Object(object) = place else { return Err(Misplaced::NotAnObject) };
            place = object.entry(step);
        }
        let old = std::mem::replace(place, value);
        Ok(Some(old).filter(|old| *old != Self::object()))
    }

    /// Whether objects stand, or can be made, all the way along `steps`.
    fn takes(&self, steps: &[Box<str>]) -> bool {
        let mut place = self;
        for step in steps {
            match place {
                Self::Object(object) => match object.get(step) {
                    Some(next) => place = next,
                    None => return true,
                },
                Self::Null => return true,
                _ => return false,
            }
        }
        true
    }

    /// Removes what stands at `steps` and returns it.
    pub fn remove(&mut self, steps: &[Box<str>]) -> Option<Self> {
        let (last, way) = steps.split_last()?;
        let mut place = self;
        for step in way {
            let Self::Object(object) = place else { return None };
            place = object.get_mut(step)?;
        }
        place.as_object_mut()?.remove(last)
    }

    /// The paths of the leaves below this value, each behind `base`: what is no object, or an empty one.
    pub fn leaves(&self, base: &Path, found: &mut Vec<Path>) {
        match self {
            Self::Object(object) if !object.is_empty() => {
                object.iter().for_each(|(key, value)| value.leaves(&base.below(key), found));
            }
            _ => found.push(base.clone()),
        }
    }

    /// Hands the path of each leaf below this value, as it is written behind `base`, to `each`, with the leaf.
    pub(super) fn each_leaf(&self, base: &mut String, each: &mut impl FnMut(&str, &Self)) {
        match self {
            Self::Object(object) if !object.is_empty() => {
                for (key, value) in object.iter() {
                    let end = base.len();
                    push_step(base, key);
                    value.each_leaf(base, each);
                    base.truncate(end);
                }
            }
            _ => each(base, self),
        }
    }

    /// Whether it can stand below `steps` steps, so that everything can be read back.
    pub(super) fn fits_below(&self, steps: usize) -> bool {
        steps + self.depth() <= DEPTH_MAX
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(list) => 1 + list.iter().map(Self::depth).max().unwrap_or(0),
            Self::Object(object) => 1 + object.iter().map(|(_, value)| value.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// Puts `new` in the place of `old` in every text in it, but for a short one, which may stand there for something else.
    pub fn replace(&mut self, old: &str, new: &str) {
        match self {
            _ if old.len() < REPLACED_MIN => {}
            Self::Text(text) if text.contains(old) => *text = text.replace(old, new).into(),
            Self::Number(number) if **number == *old => *self = Self::text(new),
            Self::List(list) => list.iter_mut().for_each(|item| item.replace(old, new)),
            Self::Object(object) => object.values_mut().for_each(|value| value.replace(old, new)),
            _ => {}
        }
    }

    /// Whether it says the same: the order of keys does not matter, nor how a number that is not whole is written.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) if !is_whole(a) && !is_whole(b) => Parts::read(a) == Parts::read(b),
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.says_the_same(b)),
            (Self::Object(a), Self::Object(b)) => {
                let same = |(key, value): (&str, &Self)| b.get(key).is_some_and(|other| value.says_the_same(other));
                a.len() == b.len() && a.iter().all(same)
            }
            _ => self == other,
        }
    }

    /// About how many bytes it has as JSON.
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 5,
            Self::Number(number) => number.len() + 1,
            Self::Text(text) => text.len() + 3,
            Self::List(list) => 2 + list.iter().map(Self::size).sum::<usize>(),
            Self::Object(object) => 2 + object.iter().map(|(key, value)| key.len() + 4 + value.size()).sum::<usize>(),
        }
    }

    /// As it stands in a text: a string as it is, everything else as JSON.
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            other => other.to_json().as_str().to_owned(),
        }
    }

    pub fn to_json(&self) -> Json {
        let mut text = String::new();
        self.write(&mut text);
        Json::from_normal(&text)
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(true) => out.push_str("true"),
            Self::Boolean(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => push_string(out, text),
            Self::List(list) => {
                out.push('[');
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(object) => {
                out.push('{');
                for (index, (key, value)) in object.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    push_string(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl From<&Json> for Value {
    /// The normal form is JSON; only a damaged store could hold something else, and that is nothing.
    fn from(json: &Json) -> Self {
        Reader::new(json.as_str().as_bytes(), 0).and_then(|mut reader| reader.tree()).unwrap_or(Self::Null)
    }
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// Whether a JSON number is written as a whole one.
fn is_whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Reader::new(text.as_bytes(), 0).unwrap().tree().unwrap()
    }

    fn steps(path: &str) -> Vec<Box<str>> {
        path.split('.').map(Into::into).collect()
    }

    #[test]
    fn a_value_is_written_as_it_was_read() {
        for text in [
            r#"{"__proto__":1.10,"$serde_json::private::Number":"1.5","a.b":[1E5,-0,1e400],"":"\u0000\"\\"}"#,
            r#"[null,true,false,{},[],"é😀"]"#,
            "12345678901234567890123",
        ] {
            assert_eq!(value(text).to_json().as_str(), text);
        }
    }

    #[test]
    fn an_exponent_may_have_any_size() {
        let huge =
            ["1e9223372036854775807", "1e99999999999999999999", "-1e-9223372036854775808", "1e-99999999999999999999"];
        for (place, number) in huge.iter().enumerate() {
            for (other, same) in huge.iter().enumerate() {
                assert_eq!(value(number).says_the_same(&value(same)), place == other, "{number} and {same}");
            }
        }
        assert!(value("0e99999999999999999999").says_the_same(&value("0.0")));
        assert!(value("1.50e+0000000000000000000000001").says_the_same(&value("15e0")));
    }

    #[test]
    fn values_are_set_found_and_removed_by_path() {
        let mut tree = value(r#"{"a":{"b":1},"n":null,"list":[10,{"x":2}]}"#);
        assert_eq!(tree.set(&steps("a.b"), Value::number(2)), Ok(Some(Value::number(1))));
        assert_eq!(tree.set(&steps("a.c.d"), Value::text("x")), Ok(None));
        assert_eq!(tree.set(&steps("n.m"), Value::Null), Ok(None));
        assert_eq!(tree.set(&steps("a.b.c"), Value::Null), Err(Misplaced::NotAnObject));
        assert_eq!(tree.get(&steps("list.1.x")), Some(&Value::number(2)));
        assert_eq!(tree.get(&steps("list.2")), None);
        assert_eq!(tree.remove(&steps("a.c.d")), Some(Value::text("x")));
        assert_eq!(tree.to_json().as_str(), r#"{"a":{"b":2,"c":{}},"n":{"m":null},"list":[10,{"x":2}]}"#);
    }

    #[test]
    fn nothing_is_nested_deeper_than_can_be_read_back() {
        let deep = value(&format!("{}{}", "[".repeat(119), "]".repeat(119)));
        let mut tree = Value::object();
        assert_eq!(tree.set(&steps("a.b"), deep.clone()), Err(Misplaced::TooDeep));
        assert_eq!(tree, Value::object());
        assert_eq!(tree.set(&steps("a"), deep), Ok(None));
    }
}
