//! The console in a real browser (docs/contract.md, section 19). A picture of each page is written to
//! `target/screenshots`.

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::{
    Daemon,
    browser::Browser,
    daemon::{Response, TOKEN, started, wait_for},
    site::site,
};

/// Every page without anything chosen.
const PAGES: [&str; 14] = [
    "overview",
    "events",
    "people",
    "funnels",
    "retention",
    "sources",
    "sources/new",
    "sources/shop",
    "set-up",
    "set-up/workflow",
    "set-up/workflow/greet",
    "set-up/segment/new",
    "set-up/redirect",
    "system",
];

/// What stands under a name in the environment of every page: no script of it may run.
const HOSTILE: &str = "<script>window.hacked = 1</script><img src=x onerror=\"window.hacked = 1\">\"'><b>";

/// Visits of a few people, and something of everything that is set up.
fn seed(daemon: &Daemon) -> String {
    for (kind, body) in [
        (
            "workflow",
            json!({"id": "greet", "name": "Greet", "on": ["page-view"], "step": [{"response": {"hello": "again"}}]}),
        ),
        ("segment", json!({"id": "regular", "condition": "profile.stats.visits >= 2"})),
        ("consent", json!({"id": "marketing", "name": "Marketing"})),
        (
            "redirect",
            json!({"id": "spring", "url": "https://shop.example/", "event_type": "link-followed", "source": "shop"}),
        ),
        ("destination", json!({"id": "archive", "events": ["order-completed"], "file": "archive.ndjson"})),
    ] {
        assert_eq!(daemon.post_admin(&format!("/{kind}"), &body).status, 200);
    }
    let agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    let mut profile = String::new();
    for visit in 0..12 {
        let url = format!("https://shop.example/{}?utm_campaign=spring", ["", "shoes", "hats", "about"][visit % 4]);
        let body = json!({
            "source": {"id": "shop"}, "session": {"id": format!("visit-{visit}")},
            "context": {"page": {"url": url, "title": "Shop", "referer": {"host": "news.example"}}},
            "events": [
                {"type": "page-view"},
                {"type": "sign-in", "properties": {"email": {"main": format!("ada-{}@example.com", visit % 5)}}},
                {"type": "order-completed", "properties": {"total": visit * 10, "item": "hat"}},
            ],
        });
        let headers = [("Content-Type", "application/json"), ("User-Agent", agent)];
        let answer = daemon.request("POST", "/track", &headers, body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        profile = answer.json()["profile"]["id"].as_str().unwrap().to_owned();
    }
    profile
}

fn logged_in(daemon: &Daemon) -> Browser {
    let browser = Browser::start();
    browser.resize(1280, 900);
    browser.open(&format!("http://{}/console", daemon.address));
    browser.find("input[name=password]").fill(TOKEN);
    browser.find("input[name=name]").fill("Ada");
    browser.find("button").click();
    browser.find("nav");
    browser
}

fn open(browser: &Browser, daemon: &Daemon, page: &str) {
    browser.open(&format!("http://{}/console/{page}", daemon.address));
    settled(browser);
}

/// Waits until every part is there.
fn settled(browser: &Browser) {
    let busy = "return document.querySelectorAll('[aria-busy]').length";
    wait_for("all parts of the page", || (browser.run(busy) == 0).then_some(()));
}

/// Nothing was refused by the page's policy, or thrown.
fn assert_quiet(browser: &Browser, page: &str) {
    let said: Vec<String> = browser
        .console()
        .into_iter()
        .filter(|line| line.contains("Content Security Policy") || line.contains("Uncaught"))
        .collect();
    assert_eq!(said, [""; 0], "{page}");
}

fn picture(browser: &Browser, name: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{}.png", name.replace('/', "-"))), browser.screenshot()).unwrap();
}

/// What axe-core finds on the page that is not accessible.
fn accessibility(browser: &Browser) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("axe").join("package/axe.min.js");
    let axe = std::fs::read_to_string(&path);
    let axe = axe.unwrap_or_else(|error| {
        panic!("{}: {error}: npm's package axe-core, as .ci/run puts it there", path.display())
    });
    browser.run(&format!("{axe}; window.axe = axe"));
    let found = browser.run(
        "return axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations.flatMap(it => \
         it.nodes.map(node => `${it.id}: ${node.target} ${node.failureSummary}`)))",
    );
    found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_page_is_whole_in_light_and_dark_and_on_a_phone() {
    let (_folder, daemon) = started();
    let person = format!("people/{}", seed(&daemon));
    let event = daemon.admin("GET", "/events?limit=1").json()["result"][0]["id"].as_str().unwrap().to_owned();
    let event = format!("events/{event}");
    let erase = format!("{person}/erase");
    let funnel = "funnels?step=page-view&step=sign-in&step=order-completed&within=1d";
    let browser = logged_in(&daemon);
    for page in PAGES.into_iter().chain([&*person, &*event, &*erase, "sessions/visit-1", funnel]) {
        open(&browser, &daemon, page);
        let name = page.split(['?']).next().unwrap_or_default();
        let name = name.replace(&person[7..], "ada").replace(&event[7..], "one");
        let name = if page == funnel { "funnels-chosen".into() } else { name };
        for (scheme, is_dark) in [("light", false), ("dark", true)] {
            browser.dark(is_dark);
            assert_eq!(accessibility(&browser), [""; 0], "{page}, {scheme}");
            picture(&browser, &format!("{name}-{scheme}"));
        }
        browser.dark(false);
        browser.resize(360, 740);
        let width = "return document.documentElement.scrollWidth";
        assert_eq!(browser.run(width), 360, "{page} fits a phone");
        assert_eq!(accessibility(&browser), [""; 0], "{page}, 360 wide");
        picture(&browser, &format!("{name}-phone"));
        browser.resize(1280, 900);
        assert_quiet(&browser, page);
    }
}

#[test]
fn the_first_visit_is_seen_as_it_comes() {
    let (_folder, daemon) = started();
    let address = daemon.address.clone();
    let browser = logged_in(&daemon);
    browser.wait_for_text("Nothing has come yet");
    let line = browser.text_of("#snippet");
    picture(&browser, "overview-empty-light");
    // Whoever pastes the line, as it stands, into a page.
    let site = site(move |_| format!("<!doctype html><title>Mine</title><body>Hello{line}"));
    let visitor = Browser::start();
    visitor.open(&format!("http://{site}/first"));
    let begun = std::time::Instant::now();
    browser.wait_for_text(&format!("http://{site}/first"));
    println!("seen {} ms after the page was loaded", begun.elapsed().as_millis());
    wait_for("the hint to go", || (!browser.text().contains("Nothing has come yet")).then_some(()));
    assert!(browser.text().contains("page-view"), "{}", browser.text());
    // What comes is listed as it comes, too.
    open(&browser, &daemon, "events?type=order-completed");
    browser.wait_for_text("There are none.");
    visitor.run("return tracardi.track('order-completed', { total: 4711 })");
    browser.wait_for_text("4711");
    assert_quiet(&browser, &address);
}

#[test]
fn nothing_that_was_sent_runs_in_a_page() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "odd", "name": HOSTILE, "type": ["rest"], "description": HOSTILE, "groups": [HOSTILE], "tags": [HOSTILE]}));
    let segment = json!({"id": HOSTILE, "name": HOSTILE, "description": HOSTILE, "condition": "true"});
    assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
    let workflow = json!({"id": HOSTILE, "name": HOSTILE, "on": ["page-view"], "step": [
        {"id": HOSTILE, "set": {"profile.traits.name": HOSTILE, "profile.traits.x": HOSTILE}}, {"log": HOSTILE}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let visit = json!({
        "source": {"id": "odd"}, "session": {"id": HOSTILE},
        "context": {"page": {"url": format!("https://shop.example/{HOSTILE}"), "title": HOSTILE, "referer": {"host": HOSTILE}},
            "utm": {"campaign": HOSTILE}, "location": {"country": {"name": HOSTILE}}, HOSTILE: HOSTILE},
        "events": [
            {"type": HOSTILE, "id": HOSTILE, "tags": [HOSTILE], "properties": {HOSTILE: HOSTILE}},
            {"type": "page-view", "properties": {HOSTILE: [HOSTILE]}},
            {"type": "sign-in", "properties": {"email": {"main": HOSTILE}, "name": HOSTILE, "firstname": HOSTILE}},
            {"type": "consent-update", "properties": {"consents": {HOSTILE: HOSTILE}}},
        ],
    });
    let headers = [("Content-Type", "application/json"), ("User-Agent", HOSTILE), ("Accept-Language", "en")];
    let answer = daemon.request("POST", "/track", &headers, visit.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let person = format!("people/{}", answer.json()["profile"]["id"].as_str().unwrap());
    let encoded: String = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect::<String>().replace('+', "%20");
    let browser = logged_in(&daemon);
    let more = [
        person.clone(),
        format!("{person}/erase"),
        format!("events/{encoded}"),
        format!("sessions/{encoded}"),
        "sources/odd".into(),
        format!("set-up/segment/{encoded}"),
        format!("set-up/workflow/{encoded}"),
        format!("events?type={encoded}&where={encoded}&session={encoded}"),
        format!("people?q={encoded}&where={encoded}"),
        format!("funnels?step={encoded}&step={encoded}&within={encoded}"),
        format!("retention?by={encoded}"),
        format!("overview?period={encoded}&source={encoded}"),
        format!("{encoded}/{encoded}"),
    ];
    for page in PAGES.into_iter().map(str::to_owned).chain(more) {
        open(&browser, &daemon, &page);
        assert_eq!(browser.run("return window.hacked || null"), Value::Null, "{page}");
        assert_eq!(browser.run("return document.scripts.length"), 1, "{page}");
        assert_eq!(browser.run("return document.querySelectorAll('main img, main b').length"), 0, "{page}");
        assert_quiet(&browser, &page);
    }
    open(&browser, &daemon, &person);
    assert!(browser.text().contains("<script>window.hacked = 1</script>"), "it is shown as it was sent");
}

#[test]
fn a_workflow_is_set_up_and_tried() {
    let (_folder, daemon) = started();
    seed(&daemon);
    let browser = logged_in(&daemon);
    open(&browser, &daemon, "set-up/workflow");
    browser.find("a.button").click();
    let mistaken = "[[workflow]]\nid = \"big\"\non = [\"order-completed\"]\n\n[[workflow.step]]\nif = \"event.properties.total >\"\n\
                    set = { \"profile.traits.big\" = true }\n";
    browser.find("textarea[name=text]").fill(mistaken);
    browser.find("button[value=check]").click();
    assert!(browser.text_of("mark").contains("event.properties.total >"), "{}", browser.text());
    picture(&browser, "set-up-mistake");
    assert_eq!(accessibility(&browser), [""; 0]);
    browser.find("textarea[name=text]").fill(&mistaken.replace("total >", "total > 20"));
    browser.find("button[value=try]").click();
    browser.wait_for_text("What would happen");
    // The newest order is offered.
    browser.find("textarea[name=payload]");
    let offered = browser.run("return document.querySelector('textarea[name=payload]').value");
    assert!(offered.as_str().unwrap().contains("order-completed"), "{offered}");
    let tried = browser.text_of("#tried");
    assert!(tried.contains("big: ") && tried.contains("\"big\": true"), "{tried}");
    picture(&browser, "set-up-tried");
    assert_eq!(daemon.admin("GET", "/workflow/big").status, 404, "nothing is saved yet");
    browser.find("button[value=check]").click();
    // The page before shows a difference, too: of the person.
    assert!(browser.text_of("section:not(#tried) ins").contains("{"), "{}", browser.text());
    picture(&browser, "set-up-difference");
    browser.find("button[value=save]").click();
    browser.find("h1");
    wait_for("the workflow", || (daemon.admin("GET", "/workflow/big").status == 200).then_some(()));
    open(&browser, &daemon, "set-up/workflow/big");
    // Two who change the same: the later one does not undo what they did not see.
    let changed = json!({"id": "big", "on": ["order-completed"], "step": [{"log": "changed meanwhile"}]});
    browser.find("textarea[name=text]").fill(&mistaken.replace("total >", "total > 30"));
    browser.find("button[value=check]").click();
    browser.find("ins");
    assert_eq!(daemon.post_admin("/workflow", &changed).status, 200);
    browser.find("button[value=save]").click();
    browser.wait_for_text("it was changed meanwhile");
    assert_eq!(daemon.record("/workflow/big")["step"][0]["log"], "changed meanwhile");
    for (page, text, wrong) in [
        ("big", "[[workflow]]\nid = \"other\"\non = [\"t\"]\nstep = []\n", "the id stays"),
        ("new", "[[workflow]]\nid = \"big\"\non = [\"t\"]\nstep = []\n", "there is one with this id"),
        ("new", " ", "field required"),
    ] {
        open(&browser, &daemon, &format!("set-up/workflow/{page}"));
        browser.find("textarea[name=text]").fill(text);
        browser.find("button[value=check]").click();
        browser.wait_for_text(wrong);
    }
    open(&browser, &daemon, "set-up/workflow/big");
    browser.find("button[value=delete]").click();
    browser.find("button[value=delete-surely]").click();
    wait_for("its end", || (daemon.admin("GET", "/workflow/big").status == 404).then_some(()));
    assert_quiet(&browser, "set-up");
}

#[test]
fn a_person_is_found_by_their_address_and_erased() {
    let (_folder, daemon) = started();
    seed(&daemon);
    let browser = logged_in(&daemon);
    let today = browser.run("return new Date().toISOString().slice(0, 10)");
    open(&browser, &daemon, &format!("events?from={0}&to={0}", today.as_str().unwrap()));
    browser.wait_for_text("order-completed");
    open(&browser, &daemon, "people");
    browser.find("input[name=q]").fill("ADA-1@example.com");
    browser.press("\u{e007}");
    browser.wait_for_text("ada-1@example.com");
    browser.find("main table a").click();
    settled(&browser);
    assert!(browser.text().contains("order-completed"), "the timeline is there");
    let exported = browser.run(
        "return fetch(document.querySelector('a[download]').href).then(it => it.text()).then(it => JSON.parse(it))",
    );
    assert!(exported.to_string().contains("ada-1@example.com"));
    browser.find("a[href$='/erase']").click();
    browser.wait_for_text("It cannot be taken back.");
    browser.find("button.danger").click();
    browser.wait_for_text("are gone from every page and answer");
    browser.run("location.reload()");
    browser.wait_for_text("are gone from every page and answer");
    assert_eq!(daemon.admin("GET", "/profiles?email=ada-1@example.com").json()["result"], json!([]));
    open(&browser, &daemon, "people?q=ada-1%40example.com");
    browser.wait_for_text("Nobody is known by this.");
    assert_quiet(&browser, "people");
}

#[test]
fn a_source_is_made_changed_and_ended() {
    let (_folder, daemon) = started();
    let browser = logged_in(&daemon);
    open(&browser, &daemon, "sources/new");
    browser.find("input[name=id]").fill("blog");
    browser.find("input[name=name]").fill("Blog");
    browser.find("textarea[name=origins]").fill("https://*.blog.example");
    browser.find("main form button").click();
    browser.wait_for_text("* stands for nothing in an origin");
    assert_eq!(
        browser.find("input[name=name]").attribute("value").as_deref(),
        Some("Blog"),
        "what was filled in stays"
    );
    picture(&browser, "sources-mistake");
    browser.find("textarea[name=origins]").fill("https://blog.example");
    browser.find("main form button").click();
    browser.wait_for_text("Copy the line");
    let source = daemon.record("/event-source/blog");
    assert_eq!((&source["name"], &source["config"]["origins"]), (&json!("Blog"), &json!(["https://blog.example"])));
    browser.find("form[action$='/secret'] button").click();
    let secret = browser.text_of("#secret");
    assert!(secret.starts_with("trs_"), "{secret}");
    browser.run("location.reload()");
    wait_for("the page without it", || browser.try_find("#secret").is_none().then_some(()));
    assert_eq!(daemon.record("/event-source/blog")["secrets"].as_array().unwrap().len(), 1, "nothing is made again");
    open(&browser, &daemon, "sources/blog");
    assert!(
        !browser.run("return document.documentElement.outerHTML").to_string().contains(&secret),
        "it is shown once"
    );
    browser.find("a[href$='/delete']").click();
    browser.find("button.danger").click();
    wait_for("its end", || (daemon.admin("GET", "/event-source/blog").status == 404).then_some(()));
    assert_quiet(&browser, "sources");
}

/// Tab, Enter and typing are enough.
#[test]
fn the_keyboard_alone_is_enough() {
    let (_folder, daemon) = started();
    seed(&daemon);
    let browser = Browser::start();
    browser.open(&format!("http://{}/console", daemon.address));
    browser.find("input[name=password]");
    browser.press(&format!("{TOKEN}\tAda\u{e007}"));
    browser.find("nav");
    let focused = "return document.activeElement.innerText || document.activeElement.name";
    let tab_to = |text: &str| {
        for _ in 0..60 {
            browser.press("\t");
            if browser.run(focused) == text {
                return;
            }
        }
        panic!("{text} is not reached");
    };
    browser.press("\t");
    assert_eq!(browser.run(focused), "Skip to the content");
    tab_to("People");
    browser.press("\u{e007}");
    wait_for("the page", || (browser.title().starts_with("People")).then_some(()));
    tab_to("q");
    browser.press("ada-2@example.com\u{e007}");
    browser.wait_for_text("ada-2@example.com");
    tab_to("ada-2@example.com");
    browser.press("\u{e007}");
    browser.wait_for_text("Timeline");
    tab_to("Log out");
    browser.press("\u{e007}");
    browser.find("input[name=password]");
}

fn post(daemon: &Daemon, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    daemon.request("POST", path, &[&[form], headers].concat(), body.as_bytes())
}

#[test]
fn nobody_else_gets_in_and_no_other_site_sends() {
    let (_folder, daemon) = started();
    let own = format!("http://{}", daemon.address);
    for page in PAGES.into_iter().chain(["live", "people/x/export", "overview/chart"]) {
        let answer = daemon.get(&format!("/console/{page}"));
        let location = answer.header("location").unwrap_or_default();
        assert_eq!((answer.status, location.starts_with("/console/log-in?to=%2Fconsole%2F")), (303, true), "{page}");
    }
    let password = format!("password={TOKEN}&name=Ada&tz=Europe/Warsaw");
    for foreign in ["https://elsewhere.example", "null", ""] {
        assert_eq!(post(&daemon, "/console/log-in", &[("Origin", foreign)], &password).status, 400, "{foreign}");
    }
    let logged_in = post(&daemon, "/console/log-in", &[("Origin", &own)], &password);
    assert_eq!((logged_in.status, logged_in.header("location")), (303, Some("/console/overview")));
    // To what was asked for, and nowhere else.
    for (to, location) in [
        ("%2Fconsole%2Fevents%3Ftype%3Dpage-view", "/console/events?type=page-view"),
        ("%2F%2Felsewhere.example%2F", "/console/overview"),
        ("https%3A%2F%2Felsewhere.example", "/console/overview"),
        ("%2Fconsole%2Fa%0D%0ASet-Cookie%3Ab%3Dc", "/console/overview"),
    ] {
        let on = post(&daemon, "/console/log-in", &[("Origin", &own)], &format!("{password}&to={to}"));
        assert_eq!(on.header("location"), Some(location), "{to}");
    }
    let cookie = logged_in.header("set-cookie").unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/console", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains(TOKEN), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let get = |page: &str| daemon.request("GET", page, &[("Cookie", &cookie)], b"");
    let overview = get("/console");
    assert_eq!(overview.status, 200);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(overview.header(name), Some(value));
    }
    let policy = overview.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!overview.text().contains(TOKEN));
    // The cookie counts under /console alone.
    assert_eq!(daemon.request("GET", "/events", &[("Cookie", &cookie)], b"").status, 401);
    // A form needs the token and the origin.
    let text = overview.text();
    let token = text.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let body = format!("token={token}&id=x&name=X&rest=on&enabled=on");
    let send = |origin: &str, body: &str| {
        post(&daemon, "/console/sources/new", &[("Cookie", &*cookie), ("Origin", origin)], body).status
    };
    assert_eq!(send("https://elsewhere.example", &body), 400);
    assert_eq!(send(&own, &body.replace(token, "forged")), 400);
    assert_eq!(send(&own, "id=x&name=X&rest=on"), 400);
    assert_eq!(daemon.admin("GET", "/event-source/x").status, 404);
    assert_eq!(send(&own, &body), 303);
    assert_eq!(daemon.admin("GET", "/event-source/x").status, 200);
    assert_eq!(get("/console/nowhere").status, 404);
    assert_eq!(get("/console/overview?period=ever").status, 422);
    for day in ["262142-12-31", "-0001-01-01", "0001-01-01", "9999-12-31"] {
        assert_eq!(get(&format!("/console/overview?from={day}")).status, 422, "{day}");
        assert_eq!(get(&format!("/console/overview?from=2020-01-01&to={day}")).status, 422, "{day}");
        assert!(matches!(get(&format!("/console/events?from={day}&to={day}")).status, 200 | 422), "{day}");
    }
    assert_eq!(get("/console/overview?from=0002-01-01&to=9998-12-31").status, 200);
    let odd = get("/console/%ff");
    assert_eq!(
        (odd.status, odd.header("x-frame-options"), odd.header("cache-control")),
        (404, Some("DENY"), Some("no-store"))
    );
    // It ends with its owner, and with the process.
    let ended = post(&daemon, "/console/log-out", &[("Cookie", &*cookie), ("Origin", &own)], &format!("token={token}"));
    assert_eq!(ended.status, 303);
    assert_eq!(get("/console/overview").status, 303);
}

#[test]
fn passwords_are_tried_ten_times_a_minute() {
    let (_folder, daemon) = started();
    let own = format!("http://{}", daemon.address);
    let log_in =
        |password: &str| post(&daemon, "/console/log-in", &[("Origin", &own)], &format!("password={password}"));
    let token = |password: &str| post(&daemon, "/user/token", &[], &format!("username=admin&password={password}"));
    for _ in 0..5 {
        assert_eq!((log_in("wrong").status, token("wrong").status), (401, 400));
    }
    let refused = log_in(TOKEN);
    assert_eq!(refused.status, 429);
    assert!(refused.text().contains("Too many tries"));
    let refused = token(TOKEN);
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    // Whoever has the token goes on.
    assert_eq!(daemon.admin("GET", "/events").status, 200);
}
