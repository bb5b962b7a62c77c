//! What stands where somebody's name should and names nobody: words for nothing, what forms are filled in with, what
//! templates left.

use std::collections::HashSet;

use super::{form, phone};
use crate::model::Id;

/// Words for nothing and for anybody, in lower case, without what is no letter or digit, sorted. None of them may be what
/// somebody is really called by a system: `admin`, `info` or a number.
#[rustfmt::skip]
const WORDS: [&str; 310] = [
    "anon", "anoniem", "anonim", "anonimo", "anonimowy", "anonym", "anonyme", "anonymer", "anonymised", "anonymized",
    "anonymní", "anonymous", "anonymoususer", "anonymus", "användare", "anónimo", "anônimo", "asd", "asdf", "asdfasdf",
    "asdfgh", "asiakas", "aucun", "aucune", "benutzer", "besucher", "besökare", "bezoeker", "bilinmeyen", "bilinmiyor",
    "blank", "brak", "brakdanych", "changeme", "client", "cliente", "clientid", "confidential", "convidado", "customer",
    "customerid", "customername", "default", "defaultuser", "deleted", "deleteduser", "desconhecida", "desconhecido",
    "desconocida", "desconocido", "dummy", "dummyuser", "email", "emailaddress", "empty", "emptystring", "fake",
    "fakeuser", "firstname", "foo", "foobar", "gast", "gastkunde", "gebruiker", "geen", "gjest", "gosc", "gość",
    "guest", "guestcheckout", "guestcustomer", "guestuser", "gæst", "hidden", "inconnu", "inconnue", "ingen", "inget",
    "invitado", "invite", "invité", "ismeretlen", "kein", "keine", "keineangabe", "keineemail", "keinemail", "keiner",
    "khách", "khôngrõ", "klant", "klient", "kund", "kunde", "lastname", "leer", "loggedout", "mail", "masked",
    "misafir", "missing", "na", "name", "nan", "naoinformado", "necunoscut", "nenhum", "nenhuma", "nessuna", "nessuno",
    "neznamy", "neznámé", "neznámý", "nichtangegeben", "nichtgesetzt", "nichtverfügbar", "nieokreślony", "niepodano",
    "nietbekend", "nieznana", "nieznane", "nieznany", "nil", "nimetön", "nincs", "ninguna", "ninguno", "no", "noaplica",
    "nobody", "nodata", "nodisponible", "noemail", "noid", "nomail", "noname", "nondefini", "nondisponibile",
    "nondéfini", "none", "nonenone", "noneprovided", "nonrenseigne", "nonrenseigné", "nonumber", "noone", "nophone",
    "notapplicable", "notassigned", "notauthenticated", "notavailable", "notdefined", "notfound", "notgiven", "nothing",
    "notknown", "notloggedin", "notprovided", "notset", "notsignedin", "notspecified", "nouser", "novalue", "null",
    "nullnull", "nulltext", "nutzer", "nãoinformado", "odwiedzający", "okänd", "onbekend", "ospite", "pengguna",
    "phone", "phonenumber", "placeholder", "profileid", "prova", "prueba", "qwe", "qwerty", "qwertz", "redacted",
    "removed", "replaceme", "saknas", "sample", "sconosciuto", "sememail", "semnome", "signedout", "sincorreo",
    "sindatos", "sinemail", "sinnombre", "somebody", "someone", "string", "tamu", "tba", "tbc", "tbd", "temp", "test",
    "teste", "testing", "tests", "testuser", "tidakdiketahui", "tmp", "todo", "tuntematon", "ukendt", "ukjent",
    "unassigned", "unauthenticated", "unavailable", "unbekannt", "unbekannterbenutzer", "unbekannternutzer", "undef",
    "undefined", "undefinedundefined", "undisclosed", "unidentified", "unknown", "unknownuser", "unset", "unspecified",
    "user", "userid", "username", "users", "usuario", "usuário", "utente", "utilisateur", "uzytkownik", "użytkownik",
    "uživatel", "vendég", "vieras", "visitante", "visitatore", "visiteur", "visitor", "visitorid", "void", "yok",
    "your", "youremail", "youremailaddress", "yourid", "yourname", "yourphone", "youruserid", "yourusername", "zadny",
    "ziyaretçi", "žádný", "άγνωστο", "άγνωστος", "ανώνυμος", "επισκέπτης", "аноним", "анонимный", "гость", "гість",
    "клиент", "невідомо", "незадано", "неизвестен", "неизвестно", "неизвестный", "немає", "неопределено", "нет",
    "неуказана", "неуказано", "пользователь", "посетитель", "тест", "אורח", "אנונימי", "לאידוע", "ضيف", "غيرمعروف",
    "مجهول", "ẩndanh", "なし", "ゲスト", "テスト", "不明", "匿名", "无", "未填写", "未知", "未設定", "测试", "測試", "游客", "無", "訪客", "访客",
    "게스트", "손님", "알수없음", "없음", "익명", "테스트",
];
/// Words that are nobody's name only as they are written here.
const ABBREVIATIONS: [&str; 12] =
    ["k.a.", "k. a.", "k/a", "n.d.", "n. d.", "n/d", "n.n.", "n. n.", "n.v.t.", "n/v", "s/d", "s/n"];
/// Domains that nobody gets mail at, without their last label, beside the words.
const NOWHERE: [&str; 10] =
    ["domain", "domena", "email", "invalid", "local", "localhost", "localdomain", "mail", "noreply", "nowhere"];
/// What surrounds the name of a value that was not filled in, wherever it stands.
const TEMPLATES: [(&str, &str); 10] = [
    ("{{", "}}"),
    ("{%", "%}"),
    ("${", "}"),
    ("#{", "}"),
    ("<%", "%>"),
    ("<?", "?>"),
    ("*|", "|*"),
    ("[[", "]]"),
    ("%%", "%%"),
    ("%(", ")s"),
];
/// The same where it is all that there is.
const MARKS: [(&str, &str); 8] =
    [("{", "}"), ("[", "]"), ("<", ">"), ("%", "%"), ("__", "__"), ("@@", "@@"), (":", ""), ("$", "")];
/// How often one letter stands in what is no name, and one digit: there is a customer number 111.
const LETTERS_MIN: usize = 3;
const DIGITS_MIN: usize = 6;

/// What is no key.
#[derive(Default)]
pub struct Placeholders {
    /// This installation's own, in the forms of each kind.
    more: HashSet<String>,
}

impl Placeholders {
    pub fn new(more: &[String]) -> Self {
        let forms = more.iter().flat_map(|word| {
            let word = form::clean(word);
            let address = form::email(&word);
            let number = phone::normal(&word, None);
            [Some(word.to_lowercase()), address, number].into_iter().flatten()
        });
        Self { more: forms.collect() }
    }

    /// Whether a cleaned text names nobody.
    pub fn is_one(&self, text: &str) -> bool {
        self.is_word(text) || is_repeated(text) || is_unfilled(text)
    }

    fn is_word(&self, text: &str) -> bool {
        let letters = letters_and_digits(text);
        let is_installations = || !self.more.is_empty() && self.more.contains(&*text.to_lowercase());
        letters.is_empty()
            || Id::is_missing(text)
            || WORDS.binary_search(&&*letters).is_ok()
            || ABBREVIATIONS.iter().any(|word| word.eq_ignore_ascii_case(text))
            || is_installations()
    }

    /// Whether an address, in lower case, is nobody's: `none@none.com`, but not `test@company.example`.
    pub fn is_address(&self, address: &str) -> bool {
        let Some((local, domain)) = address.rsplit_once('@') else { return false };
        if self.more.contains(address) {
            return true;
        }
        let labels = domain.rsplit_once('.').map_or(domain, |(labels, _)| labels);
        let is_nowhere = |label: &str| self.is_word(label) || is_repeated(label) || NOWHERE.contains(&label);
        let mut letters = address.chars().filter(|character| character.is_alphanumeric());
        let first = letters.next();
        is_unfilled(local)
            || (self.is_one(local) && labels.split('.').all(is_nowhere))
            || letters.all(|letter| Some(letter) == first)
    }

    /// Whether a cleaned phone number, whose normal form is `number`, is nobody's.
    pub fn is_phone(&self, number: &str, text: &str) -> bool {
        let is_one = |number: &str| self.more.contains(number);
        !self.more.is_empty() && (is_one(number) || phone::normal(text, None).is_some_and(|dialled| is_one(&dialled)))
    }
}

/// The letters and digits of a text, in lower case.
fn letters_and_digits(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Nothing but zeros, a UUID of nothing but ones, or one letter or digit again and again.
fn is_repeated(text: &str) -> bool {
    if let Ok(uuid) = uuid::Uuid::try_parse(text) {
        return uuid.is_nil() || uuid.is_max();
    }
    let mut letters = text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase);
    let Some(first) = letters.next() else { return false };
    if !letters.all(|letter| letter == first) {
        return false;
    }
    let (length, is_nothing_else) = (text.chars().count(), text.chars().all(char::is_alphanumeric));
    let least = if first.is_numeric() { DIGITS_MIN } else { LETTERS_MIN };
    // Forms are filled in with noughts and crosses, with something between them, too.
    first == '0' || ((is_nothing_else || first == 'x') && length >= least)
}

/// Whether a template was not filled in.
fn is_unfilled(text: &str) -> bool {
    let stands_within =
        |(open, close): &(&str, &str)| text.split_once(open).is_some_and(|(_, behind)| behind.contains(close));
    let is_whole = |(open, close): &(&str, &str)| {
        let name = text.strip_prefix(open).and_then(|behind| behind.strip_suffix(close));
        name.is_some_and(is_name)
    };
    let is_format = text.len() == 2 && text.starts_with('%');
    (!text.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        && (is_format || TEMPLATES.iter().any(stands_within) || (MARKS.iter().any(is_whole) && !is_uuid(text)))
}

/// In braces, as some systems write them.
fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

/// Whether it may be the name of a value: words, a way to it, its place in a list.
fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_alphabetic() || first == '_' || first == '$');
    let is_inner = |character: char| character.is_alphanumeric() || "_.-$|() ".contains(character);
    let is_place = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    (begins && text.chars().all(is_inner)) || is_place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Country;

    fn is_one(text: &str) -> bool {
        Placeholders::default().is_one(&form::clean(text))
    }

    #[test]
    fn words_are_found_as_they_are_looked_for() {
        assert!(WORDS.is_sorted());
        for word in WORDS {
            assert_eq!(letters_and_digits(word), word);
        }
    }

    #[test]
    fn what_names_nobody_is_no_key() {
        for text in [
            "",
            " ",
            "-",
            "--",
            "@",
            "???",
            "{}",
            "[]",
            "()",
            "...",
            "_",
            "\u{2014}",
            "🦄",
            "n/a",
            "N/A",
            "N.A.",
            "n\\a",
            "NA",
            "#N/A",
            "n/d",
            "k.A.",
            "none",
            "None",
            "NULL",
            "<null>",
            "nil",
            "NaN",
            "undefined",
            "unknown",
            "Unknown User",
            "guest",
            "GUEST",
            "(not set)",
            "not set",
            "NOT_SET",
            "not-set",
            "(none)",
            "anonymous",
            "anon",
            "test",
            "user",
            "customer",
            "visitor",
            "default",
            "noemail",
            "no email",
            "No-Email",
            "unbekannt",
            "Gast",
            "inconnu",
            "invité",
            "desconocido",
            "nieznany",
            "brak",
            "gość",
            "неизвестно",
            "ゲスト",
            "匿名",
            "0",
            "00",
            "000000000",
            "0-0",
            "0.00",
            "00000000-0000-0000-0000-000000000000",
            "{00000000-0000-0000-0000-000000000000}",
            "urn:uuid:00000000-0000-0000-0000-000000000000",
            "00000000000000000000000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "xxx",
            "XXXX",
            "Aaaa",
            "111111",
            "999999999",
            "ффф",
            "{{user.id}}",
            "{{ user.id }}",
            "id-{{user.id}}",
            "${email}",
            "%%EMAIL%%",
            "<%= id %>",
            "*|EMAIL|*",
            "[[id]]",
            "{email}",
            ":email",
            "%s",
            "%d",
            "[object Object]",
            "[email]",
            "<email>",
            "#{user.id}",
            "%EMAIL%",
            "__EMAIL__",
            "{% id %}",
            "<?= $id ?>",
            "%(id)s",
            "{0}",
            "{1}",
            "@@id@@",
            "{$id}",
            "ｇｕｅｓｔ",
            "g\u{200b}uest",
            "true",
            "False",
            "not logged in",
            "CHANGE_ME",
            "YOUR_USER_ID",
            "$id",
            "None/None",
            "xxxx-xxxx",
            "n.n.",
            "не указано",
            "ανώνυμος",
            "אורח",
        ] {
            assert!(is_one(text), "{text}");
        }
    }

    #[test]
    fn what_may_be_somebodys_name_is_a_key() {
        for text in [
            "admin",
            "root",
            "1",
            "123",
            "12",
            "111",
            "777",
            "11111",
            "aa",
            "x",
            "aB3x",
            "anna",
            "Anne",
            "Nana",
            "guest-4711",
            "test-1",
            "user_17",
            "tester",
            "customer 5",
            "K-1001",
            "A.A.A.",
            "ND",
            "KA",
            "0x1",
            "0815",
            "007",
            "1000000",
            "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}",
            "{AB9619FF-8B86-D011-B42D-00CF4FC964FF}",
            "6f9619ff8b86d011b42d00cf4fc964ff",
            "ffffffff-ffff-ffff-ffff-fffffffffffe",
            "@ada",
            "$device:17",
            "100%",
            "50%-off",
            "a_b",
            "__ada",
            "Nonne",
            "Gastón",
            "王",
            "李雷",
            "Ж1",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "ada@example.com",
            "urn:li:person:5",
            "[17-a",
            "a:b",
        ] {
            assert!(!is_one(text), "{text}");
        }
    }

    #[test]
    fn an_address_of_nobody_is_no_key_and_one_at_a_company_is() {
        let is_address = |text: &str| {
            let address = form::email(text).unwrap();
            Placeholders::default().is_one(text) || Placeholders::default().is_address(&address)
        };
        for text in [
            "none@none.com",
            "test@test",
            "test@test.com",
            "noemail@noemail.com",
            "na@na.na",
            "unknown@unknown.unknown",
            "no@email.com",
            "n/a@n/a.com",
            "NONE@NONE.COM",
            "guest@localhost",
            "unknown@localhost.localdomain",
            "xxx@xxx.xxx",
            "user@domain.com",
            "0@0.com",
            "noemail@nomail.com",
            "unknown@invalid.invalid",
            "{{user}}@example.com",
            "${name}@shop.example",
            "%s@example.com",
            "{name}@example.com",
            "null@null",
            "undefined@undefined.com",
            "email@email.com",
            "-@-.com",
            "no-email@no-email.com",
        ] {
            if let Some(address) = form::email(text) {
                assert!(is_address(text), "{text} {address}");
            }
        }
        for text in [
            "anna@anna.example",
            "test@company.example",
            "guest@hotel.example",
            "user@example.com",
            "test@example.com",
            "info@test.com",
            "admin@localhost",
            "ada@none.com",
            "ada@email.com",
            "anon@shop.example",
            "customer@example.org",
            "888888@qq.com",
            "no@no-where-else.example",
            "aaa@gmail.com",
            "me@me.com",
        ] {
            assert!(!is_address(text), "{text}");
        }
    }

    #[test]
    fn an_installations_own_are_compared_in_the_form_of_their_kind() {
        let own = ["Walk-In", "info@Shop.example", "+41 44 000 00 01", "044 111 22 33", "0815"].map(str::to_owned);
        let placeholders = Placeholders::new(&own);
        for text in ["walk-in", "WALK-IN", "Info@shop.example", "0815"] {
            assert!(placeholders.is_one(text), "{text}");
        }
        assert!(!placeholders.is_one("walk-in-17") && !placeholders.is_one("815"));
        assert!(placeholders.is_address("info@shop.example") && placeholders.is_address("walk-in@none.com"));
        assert!(!placeholders.is_address("walk-in@shop.example"));
        let swiss = Country::parse("CH").ok();
        for text in ["0041440000001", "044 000 00 01", "(044) 111-22-33"] {
            assert!(placeholders.is_phone(&phone::normal(text, swiss).unwrap(), text), "{text}");
        }
        assert!(!placeholders.is_phone(&phone::normal("044 111 22 34", swiss).unwrap(), "044 111 22 34"));
    }
}
