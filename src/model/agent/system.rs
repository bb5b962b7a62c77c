//! The system and the kind of device that a user agent tells of.

use super::version_behind;

/// What a client runs on; empty where nothing is known.
#[derive(Debug, Default, PartialEq)]
pub struct System {
    pub name: &'static str,
    pub version: String,
    pub device: &'static str,
}

const DESKTOP: &str = "desktop";
const MOBILE: &str = "mobile";
const TABLET: &str = "tablet";
const TELEVISION: &str = "tv";
const CONSOLE: &str = "console";
const HEADSET: &str = "headset";

/// Systems that a single word tells, and what they run on. In the order in which they are looked for: many a user agent
/// says what it is like, too.
const WORDS: [(&str, &str, &str); 25] = [
    ("Xbox", "Xbox", CONSOLE),
    ("XBOX", "Xbox", CONSOLE),
    ("PlayStation", "PlayStation", CONSOLE),
    ("PLAYSTATION", "PlayStation", CONSOLE),
    ("Nintendo", "Nintendo", CONSOLE),
    ("AppleTV", "tvOS", TELEVISION),
    ("Apple TV", "tvOS", TELEVISION),
    ("tvOS", "tvOS", TELEVISION),
    ("Web0S", "webOS", TELEVISION),
    ("webOS", "webOS", TELEVISION),
    ("WebOS", "webOS", TELEVISION),
    ("NetCast", "webOS", TELEVISION),
    ("Roku", "Roku OS", TELEVISION),
    ("VIDAA", "VIDAA", TELEVISION),
    ("KAIOS", "KaiOS", MOBILE),
    ("OpenHarmony", "HarmonyOS", MOBILE),
    ("HarmonyOS", "HarmonyOS", MOBILE),
    ("Windows Phone", "Windows Phone", MOBILE),
    ("CrOS", "ChromeOS", DESKTOP),
    ("BB10", "BlackBerry", MOBILE),
    ("BlackBerry", "BlackBerry", MOBILE),
    ("FreeBSD", "FreeBSD", DESKTOP),
    ("OpenBSD", "OpenBSD", DESKTOP),
    ("NetBSD", "NetBSD", DESKTOP),
    ("J2ME", "Java ME", MOBILE),
];

/// Windows by the number of its kernel. 10.0 is that of Windows 10 and of Windows 11, so it tells neither.
const WINDOWS: [(&str, &str); 6] =
    [("6.3", "8.1"), ("6.2", "8"), ("6.1", "7"), ("6.0", "Vista"), ("5.2", "XP"), ("5.1", "XP")];

/// Versions that browsers say whatever the system's is.
const FROZEN_MACOS: [&str; 2] = ["10.15.7", "10.15"];
const FROZEN_IOS: [&str; 2] = ["18.6", "18.7"];

/// What the words that name televisions with Android begin with; others end with `TV`.
const ANDROID_TELEVISIONS: [&str; 6] = ["BRAVIA", "Chromecast", "CrKey", "MIBOX", "Nexus Player", "SHIELD"];
/// What tablets say of their model, where nothing else tells.
const TABLETS: [&str; 8] = ["Tablet", "SM-T", "SM-X", "SM-P", "Tab ", "TAB", " Pad", "Lenovo TB"];

impl System {
    pub fn of(agent: &str) -> Self {
        let word = WORDS.iter().find(|(word, ..)| agent.contains(word));
        if let Some((word, name, device)) = word {
            let device = if *device == MOBILE && agent.contains("Tablet") { TABLET } else { *device };
            let version = match *name {
                "tvOS" => version_behind(agent, "OS "),
                "webOS" | "Roku OS" | "KaiOS" | "HarmonyOS" | "Windows Phone" | "FreeBSD" => {
                    version_behind(agent, word)
                }
                _ => "", // what stands there is the number of something else
            };
            return Self::new(name, &version.replace('_', "."), device);
        }
        if agent.contains("Tizen") {
            let is_television = ["TV", "SMART-TV", "SmartTV"].iter().any(|word| agent.contains(word));
            return Self::new("Tizen", version_behind(agent, "Tizen"), if is_television { TELEVISION } else { MOBILE });
        }
        if agent.contains("Android") || agent.contains("; Adr ") {
            return Self::android(agent);
        }
        if agent.contains("Windows") {
            let kernel = version_behind(agent, "Windows NT");
            let version = WINDOWS.iter().find(|(number, _)| *number == kernel).map_or("", |(_, version)| version);
            return Self::new("Windows", version, DESKTOP);
        }
        if ["iPhone", "iPad", "iPod"].iter().any(|word| agent.contains(word)) {
            return Self::ios(agent);
        }
        if ["Macintosh", "Mac OS X", "macOS"].iter().any(|word| agent.contains(word)) {
            // No Mac says so, but an iPad that asks for pages as a Mac does, in some browsers.
            if [" Mobile/", "CriOS/", "FxiOS/", "EdgiOS/"].iter().any(|word| agent.contains(word)) {
                return Self::new("iPadOS", "", TABLET);
            }
            let version = version_behind(agent, "Mac OS X").replace('_', ".");
            return Self::new("macOS", if FROZEN_MACOS.contains(&&*version) { "" } else { &version }, DESKTOP);
        }
        if ["SMART-TV", "SmartTV", "CrKey", "HbbTV", "Smart TV"].iter().any(|word| agent.contains(word)) {
            return Self::new(if agent.contains("Linux") { "Linux" } else { "" }, "", TELEVISION);
        }
        if agent.contains("OculusBrowser") {
            return Self::new("Android", "", HEADSET);
        }
        if agent.contains("Linux") || agent.contains("X11;") {
            // Samsung's browser runs on Android alone, and on tablets asks for pages as a desktop does.
            if agent.contains("SamsungBrowser/") {
                return Self::new("Android", "", TABLET);
            }
            return Self::new("Linux", "", DESKTOP);
        }
        Self::default()
    }

    fn new(name: &'static str, version: &str, device: &'static str) -> Self {
        Self { name, version: version.into(), device }
    }

    fn android(agent: &str) -> Self {
        let model = android_model(agent).unwrap_or_default();
        let said = version_behind(agent, "Android");
        // Chrome says this of every Android.
        let version = if said == "10" && model.trim() == "K" { "" } else { said };
        if model.contains("Quest") {
            return Self::new("Android", version, HEADSET);
        }
        // Amazon's own devices: their system has other numbers.
        if model.trim_start().starts_with("AFT") {
            return Self::new("Fire OS", "", TELEVISION);
        }
        if model.trim_start().starts_with("KF") {
            return Self::new("Fire OS", "", TABLET);
        }
        let comment = agent.split_once(')').map_or(agent, |(comment, _)| comment);
        let mut words = comment.split(|character: char| !character.is_alphanumeric());
        let is_television =
            words.any(|word| word.ends_with("TV")) || ANDROID_TELEVISIONS.iter().any(|word| agent.contains(word));
        // Chrome says that it is on a phone; apps say nothing.
        let is_phone = agent.contains("Mobile") || agent.contains("Opera Mini") || !agent.starts_with("Mozilla/");
        let is_tablet = agent.contains("; Tablet;") || TABLETS.iter().any(|word| model.contains(word));
        let device = match (is_television, is_phone, is_tablet) {
            (true, ..) => TELEVISION,
            (_, true, false) => MOBILE,
            _ => TABLET,
        };
        Self::new("Android", version, device)
    }

    fn ios(agent: &str) -> Self {
        let major = |version: &str| version.split(['.', '_']).next().and_then(|major| major.parse::<u32>().ok());
        let told = ["FBSV/", "; iOS ", "(iOS ", " iOS/"].map(|before| version_behind(agent, before));
        let system = version_behind(agent, "OS ").replace('_', ".");
        // Safari has the number of its system, and has said another one of that since 26.
        let safari = if agent.contains(" Safari/") { version_behind(agent, " Version/") } else { "" };
        let version = match told.into_iter().find(|version| !version.is_empty()) {
            Some(by_app) => by_app.replace('_', "."),
            None if major(safari) > major(&system) => safari.to_owned(),
            None if safari.is_empty() && FROZEN_IOS.contains(&&*system) => String::new(),
            None => system,
        };
        let is_tablet = agent.contains("iPad");
        // An iPad's system was called iOS until 13.
        let name = if is_tablet && major(&version).is_none_or(|major| major >= 13) { "iPadOS" } else { "iOS" };
        Self { name, version, device: if is_tablet { TABLET } else { MOBILE } }
    }
}

/// The model that an agent of Android names: what stands behind the version and, perhaps, a language.
pub fn android_model(agent: &str) -> Option<&str> {
    let (_, behind) = agent.split_once("Android ")?;
    let behind = &behind[..behind.find(')').unwrap_or(behind.len())];
    let mut parts = behind.split(';').skip(1);
    let first = parts.next()?;
    let is_language = |part: &str| {
        let part = part.trim();
        part.len() == 5
            && part
                .bytes()
                .enumerate()
                .all(|(at, byte)| if at == 2 { matches!(byte, b'-' | b'_') } else { byte.is_ascii_alphabetic() })
    };
    if is_language(first) { parts.next() } else { Some(first) }
}
