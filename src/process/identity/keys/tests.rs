use proptest::prelude::*;

use super::*;

fn text(text: &str) -> Value {
    Value::text(text)
}

#[test]
fn an_address_is_the_same_in_any_case_and_with_blanks_around_it() {
    let identity = Identity::new("one", &IdentitySettings::default());
    let key = |kind, value: &str| identity.key(kind, &text(value), None);
    assert_eq!(key(KnownBy::Email, " Ada@Example.com "), key(KnownBy::Email, "ada@example.com"));
    assert_ne!(
        key(KnownBy::Email, "ada@example.com"),
        Identity::new("two", &IdentitySettings::default()).key(KnownBy::Email, &text("ada@example.com"), None)
    );
    for nothing in ["", "  ", "null", "undefined", "None", "0"] {
        assert_eq!(key(KnownBy::Email, nothing), None, "{nothing}");
    }
    assert_eq!(identity.key(KnownBy::Pk, &Value::number(17), None), key(KnownBy::Pk, "17"));
    let phone = key(KnownBy::Phone, "+41 (79) 123-45.67");
    assert_eq!((phone, phone), (key(KnownBy::Phone, "0041791234567"), key(KnownBy::Phone, " +41791234567 ")));
    assert_ne!(phone, key(KnownBy::Phone, "41791234567"));
}

const KINDS: [Option<KnownBy>; 6] =
    [Some(KnownBy::Id), Some(KnownBy::Email), Some(KnownBy::Phone), Some(KnownBy::Identifier), Some(KnownBy::Pk), None];

fn settings(merge_keys: &[(&str, bool)]) -> IdentitySettings {
    let place = |(path, exclusive): &(&str, bool)| KeyPlace { path: Path::parse(path).unwrap(), exclusive: *exclusive };
    IdentitySettings { merge_keys: merge_keys.iter().map(place).collect(), ..IdentitySettings::default() }
}

#[test]
fn identifiers_are_compared_as_they_are_and_numbers_by_their_text() {
    let identity = Identity::new("one", &settings(&[("profile.traits.customer", false)]));
    let place = Path::parse("profile.traits.customer").unwrap();
    for key in [
        &(|value: &Value| identity.key(KnownBy::Pk, value, None)) as &dyn Fn(&Value) -> Option<MergeKey>,
        &|value| identity.key(KnownBy::Identifier, value, None),
        &|value| identity.key_at(&place, value, None),
    ] {
        assert!(key(&text("aB3x")).is_some());
        assert_ne!(key(&text("aB3x")), key(&text("Ab3X")));
        for same in [" aB3x ", "aB3x\u{200b}", "\u{feff}aB3x", "ａＢ３ｘ", "aB3\u{ad}x\u{0}"] {
            assert_eq!(key(&text(same)), key(&text("aB3x")), "{same:?}");
        }
        assert_eq!(key(&Value::number(17)), key(&text("17")));
        assert_ne!(key(&Value::number("17.0")), key(&text("17")));
        assert_ne!(key(&Value::number("12345678901234567890123")), key(&Value::number("12345678901234567890124")));
        for nobody in
            [Value::Null, Value::Boolean(true), Value::List(vec![text("aB3x")]), Value::object(), Value::number(0)]
        {
            assert_eq!(key(&nobody), None, "{nobody:?}");
        }
        assert!(key(&text(&"x1".repeat(256))).is_some());
        assert_eq!(key(&text(&"x1".repeat(257))), None);
        assert_eq!(key(&text(&"\u{200b}".repeat(20_000))), None);
    }
    // What is the same text is another key elsewhere.
    let value = text("aB3x");
    let keys = [identity.key(KnownBy::Pk, &value, None), identity.key(KnownBy::Identifier, &value, None)];
    assert!(keys[0] != keys[1] && !keys.contains(&identity.key_at(&place, &value, None)));
}

#[test]
fn a_key_of_before_is_found_where_it_was_another() {
    let identity = Identity::new("one", &settings(&[("profile.traits.customer", true)]));
    let swiss = Country::parse("CH").ok();
    let former = |kind, value: &str| identity.former(kind, &text(value), swiss);
    // It was lower-cased: two that are two now had the same.
    assert!(former(KnownBy::Pk, "A1").is_some());
    assert_eq!(former(KnownBy::Pk, " A1"), former(KnownBy::Pk, "a1 "));
    assert_ne!(former(KnownBy::Pk, "A1"), identity.key(KnownBy::Pk, &text("a1"), None));
    let place = Path::parse("profile.traits.customer").unwrap();
    assert!(identity.former_at(&place, &text("A1"), None).is_some());
    // Addresses and numbers mostly had the one they have.
    assert_eq!(former(KnownBy::Email, "Ada@Example.com"), None);
    assert_eq!(former(KnownBy::Phone, "+41 79 123 45 67"), None);
    assert_eq!(former(KnownBy::Phone, "0041791234567"), None);
    assert!(former(KnownBy::Email, "mailto:ada@example.com").is_some());
    assert_eq!(former(KnownBy::Phone, "079 123 45 67"), identity.key(KnownBy::Phone, &text("0791234567"), None));
    // What is no key any more leads to nobody.
    for nobody in ["n/a", "guest", "-", "+48"] {
        for kind in [KnownBy::Pk, KnownBy::Identifier, KnownBy::Email, KnownBy::Phone] {
            let key = former(kind, nobody);
            assert!(key.is_none() || (nobody == "+48" && !matches!(kind, KnownBy::Email | KnownBy::Phone)), "{nobody}");
        }
    }
}

#[test]
fn what_stands_where_a_key_does_tells_whose_it_is_and_is_looked_for_as_one() {
    let identity = Identity::new("one", &settings(&[("profile.traits.customer", false)]));
    let path = |path: &str| Path::parse(path).unwrap();
    let object = |json: &str| {
        let json = crate::model::Reader::new(json.as_bytes(), 0).and_then(|mut reader| reader.value()).unwrap();
        Value::from(&json)
    };
    // A placeholder takes the place of an address, so who may not tell whose a profile is does not write it either.
    for (place, value) in [
        ("profile.data.contact.email.main", text("n/a")),
        ("profile.data.contact.email.main", text("ada@example.com")),
        ("profile.data.contact.email.main", Value::Boolean(true)),
        ("profile.data.contact", object(r#"{"phone": {"mobile": "-"}}"#)),
        ("profile.data.identifier", object(r#"{"pk": 17}"#)),
        ("profile.traits", object(r#"{"customer": ["C-1"]}"#)),
        ("profile.primary_id", text("x")),
    ] {
        assert!(identity.is_told_by(&path(place), &value), "{place}");
    }
    for (place, value) in [
        ("profile.data.contact.email.main", text("")),
        ("profile.data.contact", object(r#"{"phone": {"fax": "+41791234567"}, "email": "ada@example.com"}"#)),
        ("profile.traits", object(r#"{"customers": "C-1"}"#)),
        ("event.data.identifier.pk", text("17")),
    ] {
        assert!(!identity.is_told_by(&path(place), &value), "{place}");
    }
    // Nobody is looked for among all profiles by what is no key where a key stands.
    assert_eq!(identity.name_of(&path("profile.data.identifier.pk"), &text("guest")), None);
    assert_eq!(identity.name_of(&path("profile.traits.card"), &text("null")), None);
    assert!(identity.name_of(&path("profile.traits.card"), &text("guest")).is_some());
}

#[test]
fn places_that_tell_people_apart_have_an_order() {
    let identity = Identity::new(
        "one",
        &settings(&[
            ("profile.traits.customer", true),
            ("profile.traits.card", false),
            ("profile.data.identifier.id", true),
            ("profile.data.contact.email.main", true),
            ("profile.traits.customer", false),
        ]),
    );
    let exclusive: Vec<String> = identity.exclusive_places().map(ToString::to_string).collect();
    assert_eq!(
        exclusive,
        [
            "profile.data.identifier.pk",
            "profile.data.identifier.id",
            "profile.traits.customer",
            "profile.data.contact.email.main"
        ]
    );
    assert!(exclusive.iter().all(|place| identity.is_exclusive(&Path::parse(place).unwrap())));
    assert!(!identity.is_exclusive(&Path::parse("profile.traits.card").unwrap()));
    assert_eq!(identity.places().count(), 11);
    assert_eq!(identity.contact_places().count(), 7);
    // An address is one wherever it stands.
    let mail = Path::parse("profile.data.contact.email.main").unwrap();
    assert_eq!(
        identity.key_at(&mail, &text("ADA@example.com"), None),
        identity.key(KnownBy::Email, &text("ada@example.com"), None)
    );
}

/// Text in which everything stands that forms look at.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<char>().prop_map(String::from),
        "[a-zA-Z0-9@.+;=_<>{}%()#\"-]{1,8}",
        "[0-9]{1,16}",
        prop::sample::select(vec![
            "mailto:",
            "tel:",
            "+",
            "00",
            "0",
            "ext",
            "x",
            ";ext=",
            ";phone-context=+",
            "@example.com",
            "\u{200b}",
            "\u{ad}",
            "\u{308}",
            "ß",
            "İ",
            "Σ",
            "ς",
            "ﬁ",
            "ａ",
            "＠",
            "٣",
            "。",
            "ǅ",
            "\u{1f88}",
            "\u{ffa0}",
            "´",
            "xn--",
            "\u{0}",
            " ",
            "\u{3000}",
            "+41",
            "+375 8",
            "+7 8",
        ])
        .prop_map(String::from),
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn countries() -> impl Strategy<Value = Option<Country>> {
    prop::sample::select(vec!["", "CH", "US", "BY", "RU", "IT", "AR", "BR", "MX", "FI", "GB", "CU", "AC"])
        .prop_map(|code| Country::parse(code).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_normal_form_of_a_normal_form_is_itself(text in texts(), country in countries()) {
        let identity = Identity::new("one", &IdentitySettings::default());
        for kind in KINDS {
            let value = Value::text(&text);
            let Some(form) = identity.form(kind, &value, country) else { continue };
            let again = Value::text(&form);
            prop_assert_eq!(identity.form(kind, &again, country), Some(form), "{:?}", kind);
        }
    }

    #[test]
    fn a_number_abroad_is_the_same_from_anywhere(digits in "[1-9][0-9]{5,14}", country in countries()) {
        let identity = Identity::new("one", &IdentitySettings::default());
        let value = Value::text(&format!("+{digits}"));
        let form = |country| identity.form(Some(KnownBy::Phone), &value, country);
        prop_assert_eq!(form(country), form(None));
    }

    #[test]
    fn an_installations_own_placeholder_is_no_key_of_any_kind(word in texts(), country in countries()) {
        let settings = IdentitySettings { placeholders: vec![word.clone()], ..IdentitySettings::default() };
        let identity = Identity::new("one", &settings);
        for kind in KINDS.into_iter().filter(|kind| *kind != Some(KnownBy::Id)) {
            let value = Value::text(&word);
            prop_assert_eq!(identity.form(kind, &value, country), None, "{:?}", kind);
        }
    }
}
