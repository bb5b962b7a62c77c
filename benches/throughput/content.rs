//! What visitors look at and with what: short lists to draw from, so that bodies differ about as much as those of a
//! real shop do. A payload repeated word for word would flatter a store that compresses.

pub struct Browser {
    pub name: &'static str,
    pub user_agent: &'static str,
    pub platform: &'static str,
}

pub struct Screen {
    pub width: &'static str,
    pub height: &'static str,
    pub inner_width: &'static str,
    pub inner_height: &'static str,
    pub available_height: &'static str,
    pub orientation: &'static str,
}

pub struct Region {
    pub language: &'static str,
    pub time_zone: &'static str,
}

pub struct Campaign {
    pub source: &'static str,
    pub name: &'static str,
    /// Where the visitor came from, as the JSON value of `referer.host`.
    pub referer_host: &'static str,
}

pub struct Page {
    pub path: &'static str,
    pub title: &'static str,
}

const fn browser(name: &'static str, platform: &'static str, user_agent: &'static str) -> Browser {
    Browser { name, user_agent, platform }
}

const fn screen(size: [&'static str; 5], orientation: &'static str) -> Screen {
    let [width, height, inner_width, inner_height, available_height] = size;
    Screen { width, height, inner_width, inner_height, available_height, orientation }
}

const fn region(language: &'static str, time_zone: &'static str) -> Region {
    Region { language, time_zone }
}

const fn campaign(source: &'static str, name: &'static str, referer_host: &'static str) -> Campaign {
    Campaign { source, name, referer_host }
}

const fn page(path: &'static str, title: &'static str) -> Page {
    Page { path, title }
}

#[rustfmt::skip]
pub static BROWSERS: [Browser; 12] = [
    browser("chrome", "Linux x86_64", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"),
    browser("chrome", "Win32", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"),
    browser("chrome", "Win32", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/155.0.0.0 Safari/537.36"),
    browser("chrome", "MacIntel", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"),
    browser("chrome", "Linux armv8l", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36"),
    browser("edge", "Win32", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0"),
    browser("firefox", "Win32", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    browser("firefox", "Linux x86_64", "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
    browser("safari", "MacIntel", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15"),
    browser("safari", "iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1"),
    browser("safari", "iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1"),
    browser("chrome", "Linux armv81", "Mozilla/5.0 (Linux; Android 15; SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/150.0.0.0 Mobile Safari/537.36"),
];

pub static SCREENS: [Screen; 10] = [
    screen(["1280", "720", "1280", "605", "680"], "landscape-primary"),
    screen(["1366", "768", "1349", "641", "728"], "landscape-primary"),
    screen(["1440", "900", "1425", "761", "860"], "landscape-primary"),
    screen(["1536", "864", "1519", "730", "824"], "landscape-primary"),
    screen(["1920", "1080", "1903", "947", "1040"], "landscape-primary"),
    screen(["2560", "1440", "2543", "1307", "1400"], "landscape-primary"),
    screen(["390", "844", "390", "664", "844"], "portrait-primary"),
    screen(["393", "873", "393", "753", "873"], "portrait-primary"),
    screen(["412", "915", "412", "785", "915"], "portrait-primary"),
    screen(["430", "932", "430", "739", "932"], "portrait-primary"),
];

pub static REGIONS: [Region; 12] = [
    region("en-US", "America/New_York"),
    region("en-US", "America/Chicago"),
    region("en-US", "America/Los_Angeles"),
    region("en-GB", "Europe/London"),
    region("de-DE", "Europe/Berlin"),
    region("fr-FR", "Europe/Paris"),
    region("es-ES", "Europe/Madrid"),
    region("it-IT", "Europe/Rome"),
    region("pl-PL", "Europe/Warsaw"),
    region("nl-NL", "Europe/Amsterdam"),
    region("pt-BR", "America/Sao_Paulo"),
    region("ja-JP", "Asia/Tokyo"),
];

pub static CAMPAIGNS: [Campaign; 10] = [
    campaign("news", "spring", "null"),
    campaign("news", "summer-sale", "null"),
    campaign("newsletter", "week-47", "null"),
    campaign("newsletter", "black-friday", "null"),
    campaign("google", "brand", "\"www.google.com\""),
    campaign("google", "running-shoes", "\"www.google.com\""),
    campaign("bing", "brand", "\"www.bing.com\""),
    campaign("facebook", "retargeting", "\"l.facebook.com\""),
    campaign("instagram", "story-autumn", "\"l.instagram.com\""),
    campaign("partner", "review-2026", "\"reviews.example\""),
];

pub static PAGES: [Page; 50] = [
    page("/", "Shop"),
    page("/new", "New arrivals | Shop"),
    page("/sale", "Sale | Shop"),
    page("/cart", "Your cart | Shop"),
    page("/checkout", "Checkout | Shop"),
    page("/account", "My account | Shop"),
    page("/account/orders", "My orders | Shop"),
    page("/help/shipping", "Shipping and delivery | Shop"),
    page("/help/returns", "Returns | Shop"),
    page("/help/sizes", "Size guide | Shop"),
    page("/stores", "Find a store | Shop"),
    page("/blog", "Journal | Shop"),
    page("/blog/first-marathon", "Your first marathon in 16 weeks | Shop"),
    page("/blog/trail-running-alps", "Trail running in the Alps | Shop"),
    page("/blog/how-to-wash-merino", "How to wash merino wool | Shop"),
    page("/women", "Women | Shop"),
    page("/women/shoes", "Women's shoes | Shop"),
    page("/women/shoes/running", "Women's running shoes | Shop"),
    page("/women/jackets", "Women's jackets | Shop"),
    page("/women/tights", "Women's tights | Shop"),
    page("/men", "Men | Shop"),
    page("/men/shoes", "Men's shoes | Shop"),
    page("/men/shoes/running", "Men's running shoes | Shop"),
    page("/men/jackets", "Men's jackets | Shop"),
    page("/men/shorts", "Men's shorts | Shop"),
    page("/kids", "Kids | Shop"),
    page("/kids/shoes", "Kids' shoes | Shop"),
    page("/accessories", "Accessories | Shop"),
    page("/accessories/socks", "Socks | Shop"),
    page("/accessories/watches", "Watches | Shop"),
    page("/p/10412-nike-pegasus-41", "Nike Pegasus 41 | Shop"),
    page("/p/10413-nike-vomero-18", "Nike Vomero 18 | Shop"),
    page("/p/11876-adidas-adizero-evo", "adidas Adizero Evo SL | Shop"),
    page("/p/11902-asics-gel-nimbus-27", "ASICS Gel-Nimbus 27 | Shop"),
    page("/p/12055-brooks-ghost-17", "Brooks Ghost 17 | Shop"),
    page("/p/12311-hoka-clifton-10", "HOKA Clifton 10 | Shop"),
    page("/p/12318-hoka-speedgoat-6", "HOKA Speedgoat 6 | Shop"),
    page("/p/12760-saucony-ride-18", "Saucony Ride 18 | Shop"),
    page("/p/13001-salomon-sense-ride-5", "Salomon Sense Ride 5 | Shop"),
    page("/p/13477-on-cloudmonster-2", "On Cloudmonster 2 | Shop"),
    page("/p/20018-merino-base-layer", "Merino base layer 200 | Shop"),
    page("/p/20144-rain-jacket-ultralight", "Ultralight rain jacket | Shop"),
    page("/p/20390-wind-vest", "Wind vest | Shop"),
    page("/p/20771-split-shorts-3", "Split shorts 3\u{201d} | Shop"),
    page("/p/30005-soft-flask-500", "Soft flask 500 ml | Shop"),
    page("/p/30042-running-vest-8l", "Running vest 8 l | Shop"),
    page("/p/30107-headlamp-450", "Headlamp 450 lm | Shop"),
    page("/p/30555-gps-watch-265", "GPS watch 265 | Shop"),
    page("/search/waterproof", "Search: waterproof | Shop"),
    page("/search/wide-fit", "Search: wide fit | Shop"),
];

pub static PRODUCTS: [&str; 20] = [
    "Nike shoes",
    "Nike Pegasus 41",
    "Nike Vomero 18",
    "adidas Adizero Evo SL",
    "ASICS Gel-Nimbus 27",
    "Brooks Ghost 17",
    "HOKA Clifton 10",
    "HOKA Speedgoat 6",
    "Saucony Ride 18",
    "Salomon Sense Ride 5",
    "On Cloudmonster 2",
    "Merino base layer 200",
    "Ultralight rain jacket",
    "Wind vest",
    "Running socks, 3 pairs",
    "Soft flask 500 ml",
    "Running vest 8 l",
    "Headlamp 450 lm",
    "GPS watch 265",
    "Gift card",
];

pub static QUANTITIES: [&str; 5] = ["1", "1", "1", "2", "3"];
