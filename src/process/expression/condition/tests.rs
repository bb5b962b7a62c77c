use super::*;
use crate::model::{Object, Reader};

#[test]
fn properties_decide_where_nothing_else_is_looked_at() {
    let properties = r#"{"price":12.5,"item":{"id":"a"},"sold":true}"#;
    for (text, expected) in [
        ("event.properties.price > 10", Some(true)),
        ("event.properties.price > 10 && event.properties.item.id == 'b'", Some(false)),
        ("event.properties.missing == 1", Some(false)),
        ("has(event.properties.sold) && event.properties.sold", Some(true)),
        ("event.properties.sold", Some(true)),
        ("event.type == 'a'", None),
        ("event.properties.price > 10 && event.context.page.url == '/'", None),
        ("event.properties.price > 20 && event.type == 'a'", Some(false)),
    ] {
        let condition = Expression::compile_over(text, "event").unwrap();
        assert_eq!(condition.holds_by_properties(properties, Time::default()), expected, "{text}");
    }
}

fn records(text: &str) -> Object {
    let json = Reader::new(text.as_bytes(), 0).and_then(|mut reader| reader.value()).unwrap();
    Value::from(&json).as_object().unwrap().clone()
}

fn value(text: &str, records: &Object) -> Result<Option<Value>, String> {
    let expression = Expression::compile(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    expression.value(&Scope::stored(records, Time::default()))
}

#[test]
fn numbers_are_exact_and_of_one_kind() {
    let records = records(
        r#"{"profile":{"a":19.9,"b":29.95,"c":50.1,"tenth":0.1,"spent":99.95,"whole":3,"long":12345678901234567890,
        "beyond":9007199254740993,"tiny":0.1234567890123456789,"huge":1e400,"sent":1.10,"list":[1,2.0,"x"],
        "nested":{"n":1.50},"many":["a","b"],"zero":-0}}"#,
    );
    for holds in [
        "profile.a + profile.b + profile.c >= 99.95",
        "profile.a + profile.b + profile.c == profile.spent",
        "99.95 <= profile.a + profile.b + profile.c",
        "profile.tenth + profile.tenth + profile.tenth == 0.3",
        "profile.spent - 99.9 == 0.05",
        "profile.a * 3 == 59.7 && 3 * profile.a == 59.7 && profile.a * 3.0 == 59.70",
        "profile.beyond == 9007199254740993 && profile.beyond != 9007199254740992",
        "profile.beyond > 9007199254740992.0",
        "profile.long == 12345678901234567890.0 && profile.long > 12345678901234567889.0",
        "profile.long == 12345678901234567890u && 12345678901234567891u > profile.long",
        "profile.long + 1 == 12345678901234567891u",
        "9223372036854775807 + profile.whole == 9223372036854775810u",
        "profile.tiny == 0.1234567890123456789 && profile.tiny > 0.1234567890123456788",
        "profile.tiny != -0.1234567890123456789 && -profile.tiny == -0.1234567890123456789",
        "profile.huge > 1e300 && profile.huge > profile.long && -profile.huge < 0",
        "profile.whole == 3.0 && 3.0 == profile.whole && profile.whole < 3.5 && 3.5 > profile.whole",
        "profile.whole + 0.5 == 3.5 && 0.5 + profile.whole == 3.5",
        "profile.whole / 2 == 1 && profile.whole / 2.0 == 1.5 && double(profile.whole) / 2 == 1.5",
        "1.0 / 3.0 == 0.333333333333333333",
        "double('0.1') + double('0.2') == 0.3",
        "profile.whole in [1.0, 3.0] && profile.sent in [1.1] && 2 in profile.list && !(4 in profile.list)",
        "profile.list == [1.0, 2, 'x'] && profile.nested == {'n': 1.5}",
        "profile.list[profile.whole - 2.0] == 2 && profile.list[2.0] == 'x'",
        "size(profile.many) < 2.5 && size(profile.many) == 2.0",
        "int(profile.spent) == 99 && int(-profile.spent) == -99 && uint(profile.spent) == 99u",
        "string(profile.sent) == '1.1' && string(profile.whole) == '3'",
        "type(profile.sent) == type(1.0) && type(profile.whole) == type(1)",
        "profile.zero == 0 && -profile.zero == 0",
        "[profile.a, profile.b].map(x, x * 2) == [39.8, 59.9]",
        "[profile.a, profile.b].exists_one(x, x > 20.0) && [19.90].all(x, x == profile.a)",
        "double('NaN') != double('NaN') && double('Infinity') > profile.long",
        "'a' + 'b' == 'ab' && [1] + [2.5] == [1, 2.50] && 'a' < 'b' && timestamp('2026-01-01T00:00:00Z') < now + duration('1h') == false",
    ] {
        assert_eq!(value(holds, &records), Ok(Some(Value::Boolean(true))), "{holds}");
    }
    for (text, shown) in [
        ("profile.a + profile.b + profile.c", "99.95"),
        ("profile.tenth * 10", "1"),
        ("profile.whole > 2 ? profile.sent : 0.0", "1.10"),
        ("[profile.sent, profile.zero]", "[1.10,-0]"),
        ("1.5 + 0.5", "2"),
        ("double(profile.whole) / 3.0", "1"),
        ("profile.long * 1", "12345678901234567890"),
    ] {
        let found = value(text, &records).unwrap().unwrap();
        assert_eq!(found.to_json().as_str(), shown, "{text}");
    }
    for told in [
        "profile.huge + 1 > 0",
        "profile.spent * 1e38 > 0",
        "profile.tiny + 1 > 0",
        "profile.whole / 0 > 0",
        "profile.a / profile.zero > 0",
        "profile.many + 1 == 2",
        "profile.a + 'x' == ''",
        "profile.a < 'x'",
        "int(profile.huge) > 0",
    ] {
        assert!(value(told, &records).is_err(), "{told}: {:?}", value(told, &records));
    }
}

#[test]
fn a_path_that_ends_has_nothing() {
    let records = records(
        r#"{"event":{"a":{"b":{"c":1},"text":"x","nil":null,"number":1.5,"list":[{"d":1}],"a-b":{"c":2}},
        "properties":{"items":[{"price":{"net":1}},{"price":"x"},{}]}}}"#,
    );
    for (text, expected) in [
        ("has(event.a.b.c)", true),
        ("has(event.a.b.d)", false),
        ("has(event.a.missing.c)", false),
        ("has(event.a.missing.c.d.e)", false),
        ("has(event.a.text.c)", false),
        ("has(event.a.nil.c)", false),
        ("has(event.a.nil)", true),
        ("has(event.a.number.c)", false),
        ("has(event.a.list.c)", false),
        ("has(event.a.list.c.d)", false),
        ("has(session.utm.campaign)", false),
        ("has(event.a['a-b'].c)", true),
        ("has(event.a['a-c'].c)", false),
        ("has(event['a'].b.c)", true),
        ("has(event.a.list[0].d)", true),
        ("has(event.a.list[0].d.e)", false),
        ("has(event.a.list[1].d)", false),
        ("has(event.a.missing[0].d)", false),
        ("has(event.a.text[0].d)", false),
        ("event.properties.items.exists(x, has(x.price.net))", true),
        ("event.properties.items.all(x, has(x.price.net))", false),
        ("event.properties.items.filter(x, !has(x.price.net)).size() == 2", true),
        ("has({'a': {'b': 1}}.a.b)", true),
        ("has({'a': 'b'}.a.b)", false),
    ] {
        assert_eq!(value(text, &records), Ok(Some(Value::Boolean(expected))), "{text}");
        let other_way = format!("!{text}");
        if text.starts_with("has") {
            assert_eq!(value(&other_way, &records), Ok(Some(Value::Boolean(!expected))), "{other_way}");
        }
    }
}

#[test]
fn what_can_never_be_evaluated_is_refused() {
    for text in [
        "now - timestamp(profile.metadata.time.insert) > duration('30d')",
        "duration('a day') > duration('1h')",
        "timestamp('2026-13-01T00:00:00Z') < now",
        "profile.a == 1 && timestamp('yesterday') < now",
        "int('x') == profile.a",
        "int('9223372036854775808') == 1",
        "double('x') > 1.0",
        "1 / 0 == profile.a",
        "profile.a > 1.5 / 0",
        "size(5) > profile.a",
        "profile.a || 'a' > 1",
        "now > '2026-01-01'",
        "now - 5 > timestamp(0)",
        "[1, 2].exists(x, x > 'a')",
        "profile.list.exists(x, x > duration('1d'))",
        "'a'.matches('(')",
        "1e38 * 10.0 > profile.a",
    ] {
        assert!(Expression::compile(text).is_err(), "{text}");
        if !text.contains("matches") {
            assert!(without_constant_checks(|| Expression::compile(text)).is_ok(), "{text} was taken");
        }
    }
    for text in [
        "now - timestamp(profile.metadata.time.insert) > duration('720h')",
        "duration(profile.a) > duration('1.5h')",
        "10 / now.getHours() > 2 || 10 / (now.getHours() - 12) > 2",
        "timestamp(profile.a) < timestamp('2026-11-30T10:00:00.5+02:00')",
        "{'gold': 1}[profile.level] == 1",
        "has({'a': 1}.b)",
        "[1, 2].map(x, x * profile.a) == [2, 4]",
        "profile.traits.n > 1 ? true : false",
    ] {
        assert!(Expression::compile(text).is_ok(), "{text}: {:?}", Expression::compile(text));
    }
}

#[test]
fn a_long_sum_is_evaluated_on_a_small_stack_and_a_longer_one_refused() {
    let sum = |part: &str, count: usize| vec![part; count].join("+");
    for part in ["1", "1.5", "profile.a"] {
        let text = sum(part, 47);
        // Such a stack a thread of the daemon has.
        let evaluated = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(move || {
            let records = records(r#"{"profile":{"a":0.1}}"#);
            value(&text, &records)
        });
        assert!(matches!(evaluated.unwrap().join().unwrap(), Ok(Some(Value::Number(_)))));
    }
    assert!(Expression::compile(&sum("1", 49)).is_err());
    let many = vec!["profile.a == 1"; 50].join("||");
    assert!(Expression::compile(&many).is_ok(), "what holds if one of many does is not deep");
}
