use proptest::prelude::*;

use super::*;

fn normal(text: &str) -> Result<String, String> {
    let read = || {
        let mut reader = Reader::new(text.as_bytes(), 0)?;
        let value = reader.value()?;
        reader.end()?;
        Ok(value.as_str().to_owned())
    };
    read().map_err(|fault: Fault| fault.to_string())
}

#[test]
fn numbers_keep_their_exact_text() {
    let text = r#"[12345678901234567890123,1.10,1E5,-0,1e400,0.0,-1.5e-7]"#;
    assert_eq!(normal(text).unwrap(), text);
}

proptest! {
    #[test]
    fn a_run_ends_where_the_first_character_stands_that_is_not_plain(
        plain in "[a-z~é€\u{1f600} \u{7f}-\u{a0}]{0,40}",
        end in prop::sample::select(vec!["\"", "\\", "\u{1f}", "\n", "\0"]),
        behind in ".{0,20}",
    ) {
        let text = format!("{plain}{end}{behind}");
        prop_assert_eq!(plain_length(text.as_bytes()), Some(plain.len()));
        prop_assert_eq!(plain_length(plain.as_bytes()), None);
    }
}

#[test]
fn any_property_name_is_an_ordinary_one() {
    let text = r#"{"__proto__":1,"$serde_json::private::Number":"1.5","a.b":{},"":[],"metadata":null}"#;
    assert_eq!(normal(text).unwrap(), text);
}

#[test]
fn each_character_is_written_in_one_way() {
    assert_eq!(
        normal(r#" { "a" : "\u0041\/\u00e9\u0000\u001F\u007f\n" } "#).unwrap(),
        "{\"a\":\"A/é\\u0000\\u001f\u{7f}\\n\"}"
    );
    assert_eq!(normal(r#""\ud83d\ude00""#).unwrap(), "\"😀\"");
}

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_character() {
    for text in [r#""\ud83d""#, r#""\ude00""#, r#""\uDBFF""#] {
        assert_eq!(normal(text).unwrap(), "\"\u{fffd}\"");
    }
    assert_eq!(normal(r#""\ud83d\ud83d\ude00x""#).unwrap(), "\"\u{fffd}😀x\"");
    assert_eq!(normal(r#""\ud83d\u0041""#).unwrap(), "\"\u{fffd}A\"");
    assert!(Reader::new(br#""\ud83d""#, 0).unwrap().whole_string().is_err());
}

#[test]
fn the_last_of_a_repeated_key_wins_at_every_level_and_size() {
    assert_eq!(normal(r#"{"a":1,"b":{"c":1,"c":2},"\u0061":3}"#).unwrap(), r#"{"b":{"c":2},"a":3}"#);
    let many: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 20)).collect();
    let kept: Vec<String> = (20..40).map(|n| format!("\"k{}\":{n}", n % 20)).collect();
    assert_eq!(normal(&format!("{{{}}}", many.join(","))).unwrap(), format!("{{{}}}", kept.join(",")));
}

#[test]
fn nesting_ends_at_128_levels() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(normal(&nested(128)).is_ok());
    assert!(normal(&nested(129)).is_err());
    assert!(normal(&"[".repeat(1_000_000)).is_err());
    assert!(normal(&"{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "{1:1}",
        "[1 2]",
        "01",
        "1.",
        ".5",
        "-",
        "1e",
        "+1",
        "NaN",
        "tru",
        "nulll",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"\t\"",
        "[] []",
        "{}x",
        "'a'",
        "]",
        "[}",
        "{]",
        "\"\\ud83d\\u12\"",
    ] {
        assert!(normal(text).is_err(), "{text:?}");
    }
    assert!(Reader::new(b"\"\xff\"", 0).is_err());
}

#[test]
fn a_known_field_sent_twice_is_refused_and_an_unknown_one_passed_over() {
    let read = |text: &str| {
        let mut found = 0;
        Reader::new(text.as_bytes(), 0)?.object(&["a"], |reader, _| {
            found += 1;
            reader.number().map(|_| ())
        })?;
        Ok::<_, Fault>(found)
    };
    assert_eq!(read("\u{feff}{\"b\":[{}],\"a\":1,\"b\":2}").unwrap(), 1);
    let fault = read(r#"{"a":1,"\u0061":2}"#).unwrap_err();
    assert_eq!(fault.loc(), [super::super::Loc::Key("a".into())]);
}

mod properties {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_normal_form_means_what_was_sent(value in any_value(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let once = normal(&text).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(&once).unwrap(), &value);
            prop_assert_eq!(normal(&once).unwrap(), once);
        }

        #[test]
        fn what_the_reader_takes_every_other_reader_takes(text in r#"[\[\]{}:,"\\ud8a01.eE+\-tn \t]{0,24}"#) {
            if let Ok(once) = normal(&text) {
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&once).is_ok(), "{}", once);
                prop_assert_eq!(normal(&once).unwrap(), once);
            }
        }

        #[test]
        fn what_another_reader_takes_this_one_takes(text in r#"[\[\]{}:,"\\ua01.eE+\-tn \t]{0,24}"#) {
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert!(normal(&text).is_ok(), "{}", text);
            }
        }
    }
}
