//! A form or a query: names and values, in the order sent (docs/contract.md, section 5).

use std::collections::HashMap;

use super::{Json, json::push_string};

/// What a form or a query holds. Names are kept as they are (`data[email]` is a name).
#[derive(Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`: a name without a value is `""`, an invalid `%` is literal, bytes that
    /// are not UTF-8 become U+FFFD.
    pub fn parse_urlencoded(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    pub fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    /// Names and values, in the order sent.
    pub fn into_pairs(self) -> impl Iterator<Item = (String, String)> {
        self.0.into_iter()
    }

    /// Names and values, in the order sent.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The last value sent under `name`.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(sent, _)| sent == name).map(|(_, value)| value.as_str())
    }

    /// An object of strings; a name sent twice becomes a list.
    pub fn to_json(&self) -> Json {
        let mut values: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut place: HashMap<&str, usize> = HashMap::new();
        for (name, value) in &self.0 {
            let at = *place.entry(name).or_insert(values.len());
            if at == values.len() {
                values.push((name, Vec::new()));
            }
            values[at].1.push(value);
        }
        let mut out = String::from("{");
        for (index, (name, values)) in values.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_string(&mut out, name);
            out.push(':');
            if let [value] = values[..] {
                push_string(&mut out, value);
                continue;
            }
            for (index, value) in values.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                push_string(&mut out, value);
            }
            out.push(']');
        }
        out.push('}');
        Json::from_normal(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_becomes_an_object_of_strings_and_lists() {
        let form = Form::parse_urlencoded("a=1&data[email]=x%40y&flag&a=%zz&b=%22+%0A&%F0%9F%98%80=é".as_bytes());
        assert_eq!(form.to_json().as_str(), r#"{"a":["1","%zz"],"data[email]":"x@y","flag":"","b":"\" \n","😀":"é"}"#);
        assert_eq!(Form::default().to_json().as_str(), "{}");
        assert_eq!(form.last("a"), Some("%zz"));
    }
}
