//! Values of any schema: read into the normal form, into a tree, or passed over.

use super::Reader;
use crate::model::{Fault, Json, Object, Value, json::push_escaped};

/// Room that is made for the first value that is read, so that it need not grow step by step: few are longer, or have
/// more keys on the way to their innermost.
const EXPECTED_BYTES: usize = 2_048;
const EXPECTED_KEYS: usize = 24;

/// Where an entry of an object stands in the normalised output.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    start: usize,
    key_end: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads a value of any type into its normal form.
    pub fn value(&mut self) -> Result<Json, Fault> {
        let mut output = std::mem::take(&mut self.output);
        output.clear();
        output.reserve((self.text.len() - self.at).min(EXPECTED_BYTES));
        self.keys.reserve(EXPECTED_KEYS);
        self.normalise(&mut output)?;
        let value = Json::from_normal(&output);
        self.output = output;
        Ok(value)
    }

    /// Reads an object of any schema into its normal form; `null` is an empty one.
    pub fn free_object(&mut self) -> Result<Json, Fault> {
        match self.peek()? {
            b'{' => self.value(),
            b'n' => self.null().map(|()| Json::empty_object()),
            _ => Err(Fault::wrong_type("an object")),
        }
    }

    /// As [`Reader::free_object`], with everything in it counted as standing `levels` deeper than it does, because
    /// that is how deep it is shown.
    pub fn free_object_deeper(&mut self, levels: usize) -> Result<Json, Fault> {
        self.level += levels;
        let object = self.free_object();
        self.level -= levels;
        object
    }

    /// Checks a value of any type and passes over it.
    pub(in crate::model) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek()? {
            b'{' => self.members(|reader| {
                reader.string()?;
                reader.colon()?;
                reader.skip()
            }),
            b'[' => self.members(Self::skip),
            b'"' => self.string().map(|_| ()),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Reads a value that is in its normal form, so that no key of an object stands twice.
    pub(in crate::model) fn tree(&mut self) -> Result<Value, Fault> {
        Ok(match self.peek()? {
            b'{' => {
                let mut object = Object::default();
                self.members(|reader| {
                    let key = reader.string()?.text;
                    reader.colon()?;
                    object.push(key.into(), reader.tree()?);
                    Ok(())
                })?;
                Value::Object(object)
            }
            b'[' => {
                let mut list = Vec::new();
                self.members(|reader| {
                    list.push(reader.tree()?);
                    Ok(())
                })?;
                Value::List(list)
            }
            b'"' => Value::Text(self.string()?.text.into()),
            b't' | b'f' => Value::Boolean(self.boolean()?),
            b'n' => self.null().map(|()| Value::Null)?,
            _ => Value::Number(self.number()?.into()),
        })
    }

    /// The value at `steps` of the one that comes next, which is in its normal form: keys of objects, places in lists. What
    /// comes before it is passed over, what comes behind it stays unread.
    pub(in crate::model) fn at(mut self, steps: &[Box<str>]) -> Result<Option<Value>, Fault> {
        for step in steps {
            if !self.enter(step)? {
                return Ok(None);
            }
        }
        self.tree().map(Some)
    }

    /// Goes to the value under `step` of the object or list that comes next; `false`: there is none.
    fn enter(&mut self, step: &str) -> Result<bool, Fault> {
        let is_object = match self.peek()? {
            b'{' => true,
            b'[' => false,
            _ => return Ok(false),
        };
        let wanted = if is_object { None } else { step.parse::<usize>().ok() };
        self.at += 1;
        for place in 0_usize.. {
            if matches!(self.peek()?, b'}' | b']') {
                break;
            }
            let is_it = if is_object {
                let key = self.string()?.text;
                self.colon()?;
                key == step
            } else {
                wanted == Some(place)
            };
            if is_it {
                return Ok(true);
            }
            self.skip()?;
            self.eat(b",");
        }
        Ok(false)
    }

    fn normalise(&mut self, out: &mut String) -> Result<(), Fault> {
        match self.peek()? {
            b'{' => {
                out.push('{');
                let first = self.keys.len();
                self.members(|reader| {
                    if reader.keys.len() > first {
                        out.push(',');
                    }
                    let start = out.len();
                    reader.normalise_string(out)?;
                    let key_end = out.len();
                    reader.colon()?;
                    out.push(':');
                    // Entered before the value is read, so that the entries of an object stand together on the stack.
                    let place = reader.keys.len();
                    reader.keys.push(Entry { start, key_end, end: 0 });
                    reader.normalise(out)?;
                    reader.keys[place].end = out.len();
                    Ok(())
                })?;
                drop_repeated_keys(out, &self.keys[first..]);
                self.keys.truncate(first);
                out.push('}');
                Ok(())
            }
            b'[' => {
                out.push('[');
                let mut empty = true;
                self.members(|reader| {
                    if !empty {
                        out.push(',');
                    }
                    empty = false;
                    reader.normalise(out)
                })?;
                out.push(']');
                Ok(())
            }
            b'"' => self.normalise_string(out),
            b't' => self.word("true").map(|()| out.push_str("true")),
            b'f' => self.word("false").map(|()| out.push_str("false")),
            b'n' => self.word("null").map(|()| out.push_str("null")),
            _ => self.number().map(|number| out.push_str(number)),
        }
    }

    /// Copies a string with each character in the one way in which the normal form writes it.
    fn normalise_string(&mut self, out: &mut String) -> Result<(), Fault> {
        if self.peek()? != b'"' {
            return Err(self.broken("a key is expected"));
        }
        let text = self.text;
        let mut start = self.at;
        self.at += 1;
        loop {
            self.plain_run()?;
            if self.eat(b"\"") {
                out.push_str(&text[start..self.at]);
                return Ok(());
            }
            out.push_str(&text[start..self.at]);
            let (character, _) = self.escape()?;
            push_escaped(out, character);
            start = self.at;
        }
    }
}

/// Of each key that stands more than once in the object at the end of `out`, keeps the last entry only.
fn drop_repeated_keys(out: &mut String, entries: &[Entry]) {
    let key = |entry: &Entry| &out.as_bytes()[entry.start..entry.key_end];
    let mut repeated = vec![];
    if entries.len() <= 16 {
        for (place, entry) in entries.iter().enumerate() {
            if entries[place + 1..].iter().any(|later| key(later) == key(entry)) {
                repeated.push(place);
            }
        }
    } else {
        let mut sorted: Vec<usize> = (0..entries.len()).collect();
        sorted.sort_by(|a, b| key(&entries[*a]).cmp(key(&entries[*b])).then(a.cmp(b)));
        repeated
            .extend(sorted.windows(2).filter(|two| key(&entries[two[0]]) == key(&entries[two[1]])).map(|two| two[0]));
        repeated.sort_unstable();
    }
    if repeated.is_empty() {
        return;
    }
    let mut kept = String::new();
    for (place, entry) in entries.iter().enumerate() {
        if repeated.binary_search(&place).is_err() {
            if !kept.is_empty() {
                kept.push(',');
            }
            kept.push_str(&out[entry.start..entry.end]);
        }
    }
    out.truncate(entries[0].start);
    out.push_str(&kept);
}
