//! Browsers and apps, by the words of theirs that a user agent has.

use super::{Named, version_behind};

/// Apps that show pages within themselves: a word that tells one, its name, and what stands before its version.
const APPS: [(&str, &str, &str); 47] = [
    ("MessengerForiOS", "Messenger", "FBAV/"),
    ("MessengerLiteForiOS", "Messenger", "FBAV/"),
    ("FB_IAB/MESSENGER", "Messenger", "FBAV/"),
    ("FB_IAB/Orca", "Messenger", "FBAV/"),
    ("Orca-Android", "Messenger", "FBAV/"),
    ("Barcelona ", "Threads", "Barcelona "),
    ("Instagram ", "Instagram", "Instagram "),
    ("MetaIAB Instagram", "Instagram", ""),
    ("FBAN/", "Facebook", "FBAV/"),
    ("FBAV/", "Facebook", "FBAV/"),
    ("FB_IAB/", "Facebook", "FBAV/"),
    ("MetaIAB Facebook", "Facebook", ""),
    ("TikTok ", "TikTok", "TikTok "),
    ("musical_ly", "TikTok", "app_version/"),
    ("trill_", "TikTok", "app_version/"),
    ("BytedanceWebview", "TikTok", "app_version/"),
    ("LinkedInApp", "LinkedIn", "LinkedInApp]/"),
    ("Snapchat/", "Snapchat", "Snapchat/"),
    ("Pinterest/", "Pinterest", "Pinterest/"),
    ("MicroMessenger/", "WeChat", "MicroMessenger/"),
    (" Line/", "LINE", " Line/"),
    ("KAKAOTALK", "KakaoTalk", "KAKAOTALK"),
    ("Twitter for ", "X", "Twitter for iPhone/"),
    ("TwitterAndroid", "X", "TwitterAndroid/"),
    ("Reddit/", "Reddit", "Reddit/"),
    ("Telegram-Android/", "Telegram", "Telegram-Android/"),
    ("Discord/", "Discord", "Discord/"),
    ("discord/", "Discord", "discord/"),
    ("Slack_SSB/", "Slack", "Slack_SSB/"),
    ("Teams/", "Microsoft Teams", "Teams/"),
    (" WhatsApp/", "WhatsApp", " WhatsApp/"),
    (" Viber/", "Viber", " Viber/"),
    ("__weibo__", "Weibo", "__weibo__"),
    (" QQ/", "QQ", " QQ/"),
    ("baiduboxapp/", "Baidu", "baiduboxapp/"),
    ("AlipayClient/", "Alipay", "AlipayClient/"),
    ("NAVER(inapp", "NAVER", ""),
    ("DaumApps/", "Daum", "DaumApps/"),
    ("GSA/", "Google", "GSA/"),
    ("BingSapphire/", "Bing", "BingSapphire/"),
    ("BingWeb/", "Bing", "BingWeb/"),
    ("GeminiiOS/", "Gemini", "GeminiiOS/"),
    ("ChatGPT/", "ChatGPT", "ChatGPT/"),
    ("Flipboard/", "Flipboard", "Flipboard/"),
    ("Spotify/", "Spotify", "Spotify/"),
    ("WindowsWechat", "WeChat", ""),
    ("YaApp_", "Yandex", ""),
];

/// Browsers, likewise; each before the one that it says it is like.
const BROWSERS: [(&str, &str, &str); 62] = [
    ("EdgiOS/", "Edge", "EdgiOS/"),
    ("EdgA/", "Edge", "EdgA/"),
    ("Edg/", "Edge", "Edg/"),
    ("Edge/", "Edge", "Edge/"),
    ("Opera Mini/", "Opera Mini", "Opera Mini/"),
    ("OPRGX/", "Opera GX", "OPRGX/"),
    ("OPX/", "Opera GX", "OPX/"),
    ("OPR/", "Opera", "OPR/"),
    ("OPiOS/", "Opera", "OPiOS/"),
    ("OPT/", "Opera", "OPT/"),
    ("Opera", "Opera", "Version/"),
    ("SamsungBrowser/", "Samsung Internet", "SamsungBrowser/"),
    ("Vivaldi/", "Vivaldi", "Vivaldi/"),
    ("YaBrowser/", "Yandex Browser", "YaBrowser/"),
    ("HuaweiBrowser/", "Huawei Browser", "HuaweiBrowser/"),
    ("MiuiBrowser/", "Mi Browser", "MiuiBrowser/"),
    ("HeyTapBrowser/", "HeyTap Browser", "HeyTapBrowser/"),
    ("VivoBrowser/", "Vivo Browser", "VivoBrowser/"),
    ("HonorBrowser/", "Honor Browser", "HonorBrowser/"),
    ("UCBrowser/", "UC Browser", "UCBrowser/"),
    ("UBrowser/", "UC Browser", "UBrowser/"),
    ("MQQBrowser/", "QQ Browser", "MQQBrowser/"),
    ("QQBrowser/", "QQ Browser", "QQBrowser/"),
    ("SogouMobileBrowser/", "Sogou", "SogouMobileBrowser/"),
    ("MetaSr", "Sogou", ""),
    ("Whale/", "Whale", "Whale/"),
    ("coc_coc_browser/", "Cốc Cốc", "coc_coc_browser/"),
    ("CocCoc/", "Cốc Cốc", "CocCoc/"),
    ("Ddg/", "DuckDuckGo", "Ddg/"),
    ("DuckDuckGo/", "DuckDuckGo", "DuckDuckGo/"),
    ("Brave/", "Brave", "Brave/"),
    ("Brave Chrome/", "Brave", "Brave Chrome/"),
    ("brave/", "Brave", "brave/"),
    ("Ecosia ", "Ecosia", "@"),
    ("Silk/", "Silk", "Silk/"),
    ("OculusBrowser/", "Meta Quest Browser", "OculusBrowser/"),
    ("FocusiOS/", "Firefox Focus", "FocusiOS/"),
    ("Focus/", "Firefox Focus", "Focus/"),
    ("Klar/", "Firefox Focus", "Klar/"),
    ("FxiOS/", "Firefox", "FxiOS/"),
    ("PaleMoon/", "Pale Moon", "PaleMoon/"),
    ("SeaMonkey/", "SeaMonkey", "SeaMonkey/"),
    ("Waterfox/", "Waterfox", "Waterfox/"),
    ("LibreWolf/", "LibreWolf", "LibreWolf/"),
    ("Avast/", "Avast Secure Browser", "Avast/"),
    ("AVG/", "AVG Secure Browser", "AVG/"),
    ("CCleaner/", "CCleaner Browser", "CCleaner/"),
    ("Norton/", "Norton Private Browser", "Norton/"),
    ("Maxthon", "Maxthon", "Maxthon/"),
    ("Puffin/", "Puffin", "Puffin/"),
    ("Sleipnir/", "Sleipnir", "Sleipnir/"),
    ("Konqueror/", "Konqueror", "Konqueror/"),
    ("Epiphany/", "GNOME Web", "Epiphany/"),
    ("Falkon/", "Falkon", "Falkon/"),
    ("NintendoBrowser/", "Nintendo Browser", "NintendoBrowser/"),
    ("PlayStation", "PlayStation Browser", ""),
    ("Firefox/", "Firefox", "Firefox/"),
    ("CriOS/", "Chrome", "CriOS/"),
    ("MSIE ", "Internet Explorer", "MSIE "),
    ("Trident/", "Internet Explorer", "rv:"),
    ("Electron/", "Electron", "Electron/"),
    ("CrKey/", "Chromecast", "CrKey/"),
];

/// What shows a page within an app that does not say its name.
const WEB_VIEW: &str = "WebView";

/// The browser, or the app that shows the page.
pub fn browser(agent: &str) -> Option<Named> {
    if let Some((_, name, before)) = APPS.iter().chain(&BROWSERS).find(|(word, ..)| agent.contains(word)) {
        return Some(named(agent, name, before));
    }
    if agent.contains("Chrome/") {
        let within_app = agent.contains("; wv)") || agent.contains("Version/4.0 Chrome/");
        return Some(named(agent, if within_app { WEB_VIEW } else { "Chrome" }, "Chrome/"));
    }
    if !agent.contains("AppleWebKit/") {
        return None;
    }
    if agent.contains("Android") {
        return Some(named(agent, "Android Browser", "Version/"));
    }
    if agent.contains("Safari/") {
        return Some(named(agent, "Safari", "Version/"));
    }
    agent.contains("Mobile/").then(|| named(agent, WEB_VIEW, ""))
}

/// An app that asks by itself, by the way of its system: what it says first.
pub fn native_app(agent: &str) -> Option<Named> {
    let is_app = ["CFNetwork/", "Dalvik/", "(iOS ", "; iOS ", "(iPhone", "(iPad", "(Android ", "; Android "];
    if agent.starts_with("Mozilla/") || !is_app.iter().any(|word| agent.contains(word)) {
        return None;
    }
    let name = agent[..agent.find(['/', '(']).unwrap_or(agent.len())].trim();
    let is_system = ["CFNetwork", "Dalvik"].contains(&name) || name.is_empty();
    if is_system {
        Some(Named::default())
    } else {
        Some(Named { name: name.into(), version: version_behind(agent, name).into() })
    }
}

fn named(agent: &str, name: &str, before_version: &str) -> Named {
    let version = if before_version.is_empty() { "" } else { version_behind(agent, before_version) };
    Named { name: name.into(), version: version.into() }
}
