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
