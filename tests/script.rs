//! The browser script in a real browser, on pages of another origin (docs/contract.md, section 18).

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use support::{
    Daemon,
    browser::Browser,
    daemon::{started, wait_for},
    site::{Fate, site, way},
};

/// A page with the one line; `attributes` are more of its own, `body` stands before it.
fn page(daemon: &str, attributes: &str, body: &str) -> String {
    format!(
        "<!doctype html><title>A page</title><body>{body}\
         <script async src=\"http://{daemon}/tracker/tracardi.js\" data-source=\"shop\" {attributes}></script>"
    )
}

/// A site each of whose pages has the one line, with these attributes and this body.
fn pages(daemon: &str, attributes: &'static str, body: &'static str) -> String {
    let daemon = daemon.to_owned();
    format!("http://{}", site(move |_| page(&daemon, attributes, body)))
}

fn events(daemon: &Daemon, kind: &str) -> Vec<Value> {
    let response = daemon.admin("GET", &format!("/events?order=oldest&type={kind}&limit=1000"));
    response.json()["result"].as_array().expect("a list").clone()
}

/// The events of a type, once there are so many.
fn arrived(daemon: &Daemon, kind: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} of {kind}"), || Some(events(daemon, kind)).filter(|events| events.len() >= count))
}

/// How many events wait in the browser.
fn waiting(browser: &Browser) -> u64 {
    let waiting = "return Object.keys(localStorage).filter(key => key.startsWith('tracardi-event-')).length";
    browser.run(waiting).as_u64().expect("a number")
}

fn settle(browser: &Browser) {
    wait_for("everything to be confirmed", || (waiting(browser) == 0).then_some(()));
}

/// Nothing was thrown into the page.
fn assert_no_error(browser: &Browser) {
    let thrown: Vec<String> = browser.console().into_iter().filter(|line| line.contains("Uncaught")).collect();
    assert_eq!(thrown, [""; 0]);
}

#[test]
fn one_line_counts_pages_visits_and_people() {
    let (_folder, daemon) = started();
    let site = pages(&daemon.address, "", "<p>Hello");
    let browser = Browser::start();
    browser.open(&format!("{site}/first?utm_campaign=spring"));
    let first = arrived(&daemon, "page-view", 1).remove(0);
    settle(&browser);
    browser.open(&format!("{site}/second"));
    let second = arrived(&daemon, "page-view", 2).remove(1);
    assert_eq!(first["context"]["page"]["url"], format!("{site}/first?utm_campaign=spring"));
    assert_eq!((&first["context"]["page"]["title"], &first["hit"]["name"]), (&json!("A page"), &json!("A page")));
    assert_eq!(first["utm"]["campaign"], "spring");
    assert_eq!(first["app"]["name"].as_str().map(|name| name.contains("Chrom")), Some(true), "{}", first["app"]);
    assert_eq!(
        (&first["session"]["id"], &first["profile"]["id"]),
        (&second["session"]["id"], &second["profile"]["id"])
    );
    assert!(first["id"].as_str().is_some_and(|id| id.len() == 36), "the client makes ids of events");
    let profile = daemon.record(&format!("/profile/{}", first["profile"]["id"].as_str().unwrap()));
    assert_eq!(profile["stats"], json!({"visits": 1, "views": 2}));
    settle(&browser);
    assert_eq!(browser.run("return document.cookie"), "");
    // Half an hour of rest, and a minute.
    browser.run(
        "const visit = JSON.parse(localStorage['tracardi-session']); visit.at -= 31 * 60e3; \
         localStorage['tracardi-session'] = JSON.stringify(visit)",
    );
    browser.open(&format!("{site}/third"));
    let third = arrived(&daemon, "page-view", 3).remove(2);
    assert_ne!(third["session"]["id"], first["session"]["id"]);
    assert_eq!(third["profile"]["id"], first["profile"]["id"]);
    assert_no_error(&browser);
}

#[test]
fn pages_that_change_by_the_history_are_counted_once_each() {
    let (_folder, daemon) = started();
    let site = pages(&daemon.address, "", "");
    let browser = Browser::start();
    browser.open(&format!("{site}/"));
    arrived(&daemon, "page-view", 1);
    browser.run("history.pushState({}, '', '/a'); document.title = 'A'");
    arrived(&daemon, "page-view", 2);
    browser.run("history.replaceState({}, '', '/a'); history.replaceState({}, '', '/a#part')");
    browser.run("location.hash = '#/route'");
    arrived(&daemon, "page-view", 3);
    browser.back();
    arrived(&daemon, "page-view", 4);
    browser.run("tracardi.track('last')");
    arrived(&daemon, "last", 1);
    let views = events(&daemon, "page-view");
    let pages: Vec<String> =
        views.iter().map(|view| view["context"]["page"]["url"].as_str().unwrap().replace(&site, "")).collect();
    assert_eq!(pages, ["/", "/a", "/a#/route", "/a#part"]);
    assert_eq!(views[1]["context"]["page"]["title"], "A");
    assert_no_error(&browser);
}

#[test]
fn each_event_is_stored_once_where_every_second_answer_is_lost() {
    let (_folder, daemon) = started();
    let way = way(&daemon.address, |number, _| if number % 2 == 0 { Fate::AnswerLost } else { Fate::Answered });
    let address = daemon.address.clone();
    let site = site(move |_| page(&address, &format!("data-endpoint=\"http://{way}\""), ""));
    let browser = Browser::start();
    browser.open(&format!("http://{site}/"));
    browser.run("setTimeout(() => { for (let n = 0; n < 30; n++) tracardi.track('step', { n }) }, 300)");
    let steps = arrived(&daemon, "step", 30);
    settle(&browser);
    let numbers: Vec<u64> = steps.iter().map(|step| step["properties"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>(), "in their order");
    assert_eq!((events(&daemon, "step").len(), events(&daemon, "page-view").len()), (30, 1));
    let id = |step: &Value| uuid::Uuid::try_parse(step["id"].as_str().unwrap()).unwrap();
    assert!(steps.iter().all(|step| id(step).get_version_num() == 7), "they stand together in the store: {steps:?}");
    let profiles: std::collections::HashSet<&str> =
        steps.iter().map(|step| step["profile"]["id"].as_str().unwrap()).collect();
    assert_eq!(profiles.len(), 1);
    assert_no_error(&browser);
}

#[test]
fn what_is_tracked_while_the_page_goes_is_sent_and_stays_until_it_is_confirmed() {
    let (_folder, daemon) = started();
    let site = pages(&daemon.address, "", "<a href=\"/next\">on</a>");
    let browser = Browser::start();
    browser.open(&format!("{site}/"));
    arrived(&daemon, "page-view", 1);
    settle(&browser);
    browser.run("addEventListener('pagehide', () => tracardi.track('leaving'), true)");
    browser.open("about:blank");
    assert_eq!(arrived(&daemon, "leaving", 1).len(), 1);
    browser.open(&format!("{site}/next"));
    arrived(&daemon, "page-view", 2);
    settle(&browser);
    assert_eq!(events(&daemon, "leaving").len(), 1);
    assert_no_error(&browser);
}

#[test]
fn nothing_is_sent_or_kept_before_the_consent_and_nothing_is_left_after_it_ends() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": ["rest"], "requires_consent": true}));
    let site = pages(&daemon.address, "data-consent=\"required\"", "");
    let browser = Browser::start();
    browser.open(&format!("{site}/"));
    wait_for("the script", || browser.run("return !!window.tracardi").as_bool().filter(|there| *there));
    browser.run("tracardi.track('early', { n: 1 })");
    browser.open(&format!("{site}/second"));
    wait_for("the script", || browser.run("return !!window.tracardi").as_bool().filter(|there| *there));
    browser.run("tracardi.track('early', { n: 2 })");
    assert_eq!(browser.run("return Object.keys(localStorage).length"), 0);
    assert_eq!(daemon.admin("GET", "/events").json()["result"], json!([]));
    browser.run("tracardi.consent({ statistics: 'grant' })");
    let early = arrived(&daemon, "early", 1);
    assert_eq!((early.len(), &early[0]["properties"]["n"]), (1, &json!(2)), "what was held on this page");
    let view = arrived(&daemon, "page-view", 1).remove(0);
    assert!(view["profile"]["id"].is_string(), "the consent comes before it: {view}");
    settle(&browser);
    browser.open(&format!("{site}/third"));
    arrived(&daemon, "page-view", 2);
    settle(&browser);
    browser.run("tracardi.consent({ statistics: false })");
    arrived(&daemon, "consent-update", 2);
    settle(&browser);
    assert_eq!(browser.run("return Object.keys(localStorage).length"), 0);
    browser.run("history.pushState({}, '', '/fourth'); tracardi.track('late')");
    browser.open(&format!("{site}/fifth"));
    wait_for("the script", || browser.run("return !!window.tracardi").as_bool().filter(|there| *there));
    assert_eq!((events(&daemon, "page-view").len(), events(&daemon, "late").len()), (2, 0));
    let profile = daemon.record(&format!("/profile/{}", view["profile"]["id"].as_str().unwrap()));
    assert_ne!(profile["consents"]["statistics"], "grant", "{}", profile["consents"]);
    assert_no_error(&browser);
}

#[test]
fn who_asks_not_to_be_tracked_is_not_unless_the_page_says_otherwise() {
    let (_folder, daemon) = started();
    let address = daemon.address.clone();
    let site = site(move |path| page(&address, if path == "/ignored" { "data-dnt=\"ignore\"" } else { "" }, ""));
    for signal in ["globalPrivacyControl', { value: true", "doNotTrack', { value: '1'"] {
        let browser = Browser::start();
        let script = format!("Object.defineProperty(navigator, '{signal} }})");
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
        browser.open(&format!("http://{site}/"));
        wait_for("the script", || browser.run("return !!window.tracardi").as_bool().filter(|there| *there));
        browser.run("tracardi.track('one'); tracardi.identify({}); tracardi.consent({ a: true }); tracardi.reset()");
        assert_eq!(browser.run("return Object.keys(localStorage).length"), 0);
        assert_eq!(browser.run("return tracardi.track('one') instanceof Promise"), true);
        let before = events(&daemon, "page-view").len();
        browser.open(&format!("http://{site}/ignored"));
        arrived(&daemon, "page-view", before + 1);
        assert_no_error(&browser);
    }
    let views = events(&daemon, "page-view");
    assert!(views.iter().all(|view| view["context"]["page"]["path"] == "/ignored"));
    assert_eq!(daemon.admin("GET", "/events?type=one").json()["result"], json!([]));
}

#[test]
fn clicks_and_forms_are_noted_where_the_page_asks_for_it() {
    let (_folder, daemon) = started();
    let body = "<a id=out href=\"http://elsewhere.localhost:1/x\" onclick=\"event.preventDefault()\"><b>out</b></a>\
                <a id=file href=\"/price-list.PDF?v=1\" onclick=\"event.preventDefault()\">list</a>\
                <a id=within href=\"/within\" onclick=\"event.preventDefault()\">within</a>\
                <form id=letter name=newsletter onsubmit=\"return false\"><input name=mail value=ada@example.com>\
                <button id=send>send</button></form>\
                <form id=search onsubmit=\"return false\"><button id=seek>seek</button></form>";
    let site = pages(&daemon.address, "data-outbound data-downloads data-forms=\"[name=newsletter]\"", body);
    let browser = Browser::start();
    browser.open(&format!("{site}/"));
    arrived(&daemon, "page-view", 1);
    for id in ["#out", "#file", "#within", "#send", "#seek"] {
        browser.find(id).click();
    }
    browser.run("tracardi.track('last')");
    arrived(&daemon, "last", 1);
    let properties =
        |kind: &str| -> Vec<Value> { events(&daemon, kind).iter().map(|event| event["properties"].clone()).collect() };
    assert_eq!(properties("outbound-link-clicked"), [json!({"url": "http://elsewhere.localhost:1/x"})]);
    assert_eq!(properties("file-downloaded"), [json!({"url": format!("{site}/price-list.PDF?v=1")})]);
    assert_eq!(properties("form-submitted"), [json!({"id": "letter", "name": "newsletter"})]);
    assert_no_error(&browser);
}

#[test]
fn who_follows_a_link_to_another_of_the_domains_stays_who_they_are() {
    let (_folder, daemon) = started();
    let there = pages(&daemon.address, "", "<p>there").replace("127.0.0.1", "shop.localhost");
    let link = there.clone();
    let address = daemon.address.clone();
    let body = move |_: &str| {
        let link = format!("<a id=link href=\"{link}/landing?a=1#top\">go</a>");
        page(&address, "data-domains=\"shop.localhost, other.localhost\"", &link)
    };
    let here = format!("http://{}", site(body));
    let browser = Browser::start();
    browser.open(&here);
    let first = arrived(&daemon, "page-view", 1).remove(0);
    settle(&browser);
    browser.run("link.addEventListener('click', event => event.preventDefault(), { once: true })");
    browser.find("#link").click();
    wait_for("the link as it was", || {
        browser.run("return link.href").as_str().filter(|url| *url == format!("{there}/landing?a=1#top")).map(drop)
    });
    browser.find("#link").click();
    let second = arrived(&daemon, "page-view", 2).remove(1);
    assert_eq!(second["profile"]["id"], first["profile"]["id"]);
    assert_ne!(second["session"]["id"], first["session"]["id"]);
    assert_eq!(second["context"]["page"]["url"], format!("{there}/landing?a=1#top"), "who it is stands in no address");
    assert_eq!(browser.url(), format!("{there}/landing?a=1#top"));
    browser.run("history.pushState({}, '', '/on')");
    assert_eq!(arrived(&daemon, "page-view", 3)[2]["profile"]["id"], first["profile"]["id"]);
    assert_no_error(&browser);
}

#[test]
fn what_workflows_draw_runs_no_script() {
    let (_folder, daemon) = started();
    let ux = json!([
        {"tag": "div", "props": {"id": "drawn", "class": "note", "data-x": "1"}, "content": "<b>Hello</b>"},
        {"tag": "a", "props": {"id": "safe", "href": "https://shop.example/"}, "content": "go"},
        {"tag": "script", "content": "window.injected = 1"},
        {"tag": "a", "props": {"id": "js", "href": " java\nscript:window.injected = 1"}, "content": "x"},
        {"tag": "img", "props": {"id": "img", "src": "x", "onerror": "window.injected = 1", "srcdoc": "x"}},
        {"tag": "iframe", "props": {"srcdoc": "<script>parent.injected = 1</script>"}},
        {"tag": "svg", "props": {"onload": "window.injected = 1"}},
        {"tag": "b><script>window.injected = 1</script>"},
        {"tag": "p", "props": {"id": "last", "onclick": "window.injected = 1", "style": "color: red"}, "content": "end"}
    ]);
    let workflow = json!({"id": "draw", "on": ["page-view"], "step": [{"ux": ux}, {"response": {"hello": "Ada"}}]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let site = pages(&daemon.address, "", "");
    let browser = Browser::start();
    browser.open(&site);
    assert_eq!(browser.text_of("#drawn"), "<b>Hello</b>");
    browser.find("#last").click();
    assert_eq!(browser.find("#safe").attribute("href").as_deref(), Some("https://shop.example/"));
    assert_eq!(browser.find("#js").attribute("href"), None);
    assert_eq!(
        browser.run("return document.querySelectorAll('body > script, iframe, svg').length"),
        1,
        "its own script"
    );
    assert_eq!(browser.run("return window.injected || null"), Value::Null);
    let said = "return new Promise(resolve => tracardi.ready(resolve)).then(answer => answer.response.hello)";
    assert_eq!(browser.run(said), "Ada");
    assert_no_error(&browser);
}

#[test]
fn people_are_identified_and_forgotten() {
    let (_folder, daemon) = started();
    let early = "<script>(window.tracardi = window.tracardi || []).push(['track', 'early', { n: 1 }])</script>";
    let site = pages(&daemon.address, "data-auto=\"false\"", early);
    let browser = Browser::start();
    browser.open(&site);
    let first = arrived(&daemon, "early", 1).remove(0);
    assert_eq!(first["properties"]["n"], 1, "what was called before the script was there");
    let identified = "return tracardi.identify({ email: { main: 'ada@example.com' }, name: 'Ada' })\
                      .then(answer => answer.profile.id)";
    assert_eq!(browser.run(identified), first["profile"]["id"]);
    let profile = daemon.record(&format!("/profile/{}", first["profile"]["id"].as_str().unwrap()));
    assert!(profile["data"].to_string().contains("ada@example.com"), "{profile}");
    // Somebody else at the same device, while the browser has no network.
    browser.network(false);
    browser.run("tracardi.track('hers'); tracardi.reset(); tracardi.track('theirs')");
    browser.network(true);
    browser.run("dispatchEvent(new Event('online'))");
    let hers = arrived(&daemon, "hers", 1).remove(0);
    let theirs = arrived(&daemon, "theirs", 1).remove(0);
    assert_eq!(hers["profile"]["id"], first["profile"]["id"]);
    assert_ne!(theirs["profile"]["id"], first["profile"]["id"]);
    assert_ne!(theirs["session"]["id"], first["session"]["id"]);
    settle(&browser);
    browser.run("return tracardi.track('again')");
    assert_eq!(events(&daemon, "again")[0]["profile"]["id"], theirs["profile"]["id"]);
    assert_eq!(events(&daemon, "page-view").len(), 0, "the page asked for no automatic ones");
    assert_no_error(&browser);
}

#[test]
fn one_wrong_event_does_not_keep_the_others() {
    let (_folder, daemon) = started();
    let site = pages(&daemon.address, "", "");
    let browser = Browser::start();
    browser.open(&site);
    arrived(&daemon, "page-view", 1);
    browser.run(
        "localStorage['tracardi-event-0'] = '{'; localStorage['tracardi-event-1'] = '{\"event\":7}'; \
         for (let n = 0; n < 9; n++) tracardi.track(n == 4 ? 'x'.repeat(200) : 'right', { n })",
    );
    let right = arrived(&daemon, "right", 8);
    settle(&browser);
    let numbers: Vec<u64> = right.iter().map(|event| event["properties"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 5, 6, 7, 8]);
    assert_no_error(&browser);
}

#[test]
fn who_gets_no_answer_waits_longer_each_time() {
    const ANSWERS: [&str; 3] =
        ["Promise.reject(Error())", "Promise.resolve(new Response('null'))", "Promise.resolve(new Response('<p>'))"];
    let (_folder, daemon) = started();
    let site = pages(&daemon.address, "", "");
    let browser = Browser::start();
    for (turn, answer) in ANSWERS.into_iter().enumerate() {
        browser.open(&site);
        arrived(&daemon, "page-view", turn + 1);
        settle(&browser);
        browser.run(&format!(
            "window.asked = []; window.fetch = () => (asked.push(Date.now()), {answer}); tracardi.track('x')"
        ));
        let waited = "return asked.length > 1 ? asked[1] - asked[0] : null";
        let waited = wait_for("two requests", || browser.run(waited).as_u64());
        assert!(waited >= 900, "{answer}: {waited} ms");
    }
}

#[test]
fn what_others_left_in_the_storage_is_no_id() {
    let (_folder, daemon) = started();
    let address = daemon.address.clone();
    let spoiled = "<script>localStorage['tracardi-profile-id'] = '{\"a\": 1}'; localStorage['tracardi-session'] = \
                   JSON.stringify({ id: [1], at: Date.now() })</script>";
    let site = site(move |_| format!("{spoiled}{}", page(&address, "", "")));
    let browser = Browser::start();
    browser.open(&format!("http://{site}/"));
    let view = arrived(&daemon, "page-view", 1).remove(0);
    assert!(view["session"]["id"].as_str().is_some_and(|id| id.len() == 36), "{view}");
    assert_no_error(&browser);
}

#[test]
fn a_page_without_storage_or_network_goes_on() {
    let (_folder, daemon) = started();
    let address = daemon.address.clone();
    let site = site(move |path| {
        // Only in the head is it obeyed.
        let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"connect-src 'none'\">\
                      <script>addEventListener('securitypolicyviolation', () => (window.refused = 1))</script>";
        let inner = page(&address, "", "<p id=inner>inner").replace('"', "&quot;");
        match path {
            "/no-storage" => format!("<iframe sandbox=\"allow-scripts\" srcdoc=\"{inner}\"></iframe>"),
            _ => page(&address, "", "").replace("<body>", &format!("{policy}<body>")),
        }
    });
    let browser = Browser::start();
    browser.open(&format!("http://{site}/no-storage"));
    arrived(&daemon, "page-view", 1);
    browser.open(&format!("http://{site}/no-network"));
    wait_for("the event to wait", || (waiting(&browser) == 1).then_some(()));
    browser.run("addEventListener('error', () => (window.failed = 1)); tracardi.track('one'); tracardi.track()");
    browser.run("tracardi.consent(); tracardi.identify(); tracardi.ready(7); tracardi.ready(); tracardi.push()");
    wait_for("a request to be refused", || browser.run("return window.refused || null").as_u64());
    // The page's view, `one`, what has no type, and who it is.
    assert_eq!(waiting(&browser), 4);
    assert_eq!((events(&daemon, "page-view").len(), events(&daemon, "one").len()), (1, 0));
    assert_eq!(browser.run("return window.failed || null"), Value::Null);
    assert_no_error(&browser);
}

/// What Tracardi's own snippet does around its script, in a few lines: it queues calls, loads `liliput.min.js`, hands the
/// calls to what the script left as `tracardi.default`, and `onTracardiReady` calls whom it bound.
const SNIPPET: &str = "
    const bound = [];
    window.response = { context: { profile: true } };
    window.onTracardiReady = { bind: it => bound.push(it), call: told => bound.forEach(it => it(told)) };
    const early = [];
    window.tracker = { track: (...said) => early.push(said) };
    const options = {
        tracker: {
            url: { script: 'http://DAEMON/tracker', api: 'http://DAEMON' },
            source: { id: 'shop' },
            auto: { events: [['automatic', { a: 1 }]] },
        },
    };
    document.addEventListener('DOMContentLoaded', () => {
        const script = document.createElement('script');
        script.async = true;
        script.src = options.tracker.url.script + '/liliput.min.js';
        script.addEventListener('load', () => {
            if (!window.tracardi.default.getState().plugins['tracardi'].initialized) return;
            window.tracker = window.tracardi.default;
            early.splice(0).forEach(said => window.tracker.track(...said));
        });
        document.head.append(script);
    });
    window.tracker.track('page-view', {});
    window.tracker.track('order', { total: 7 }, { context: { shop: 'main' } });
    window.onTracardiReady.bind(({ helpers, tracker, context, config }) => {
        window.told = [!!tracker.track, context.profile.metadata !== undefined, config.tracker.source.id];
        helpers.onClick(document.querySelector('#button'), async () => {
            const response = await helpers.track('pressed', { page: 'hello' });
            document.querySelector('#said').innerText = response.data.profile.id;
        });
    });
";

#[test]
fn the_reference_s_snippet_and_calls_go_on_working() {
    let (_folder, daemon) = started();
    let snippet = SNIPPET.replace("DAEMON", &daemon.address);
    let site = site(move |_| {
        format!("<!doctype html><script>{snippet}</script><title>Old</title><button id=button>x</button><p id=said>")
    });
    let browser = Browser::start();
    browser.open(&format!("http://{site}/"));
    let view = arrived(&daemon, "page-view", 1).remove(0);
    assert_eq!(arrived(&daemon, "automatic", 1)[0]["properties"], json!({"a": 1}));
    let order = arrived(&daemon, "order", 1).remove(0);
    assert_eq!((&order["properties"]["total"], &order["context"]["shop"]), (&json!(7), &json!("main")));
    assert_eq!(
        wait_for("the page to be told", || browser.run("return window.told || null").as_array().cloned()),
        [json!(true), json!(true), json!("shop")]
    );
    browser.find("#button").click();
    wait_for("the answer", || (browser.text_of("#said") == view["profile"]["id"].as_str().unwrap()).then_some(()));
    assert_eq!(events(&daemon, "pressed").len(), 1);
    // Who Tracardi's own script knew stays who they are.
    let known = daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "old"}, "events": []}));
    let known = known["profile"]["id"].as_str().unwrap();
    let other = Browser::start();
    other.open(&format!("http://{site}/favicon.ico"));
    other.run(&format!("localStorage['tracardi-profile-id'] = '\"{known}\"'"));
    other.open(&format!("http://{site}/"));
    assert_eq!(arrived(&daemon, "page-view", 2)[1]["profile"]["id"], known);
    assert_no_error(&browser);
}

/// Visits of browsers that lose their network at random moments, also while they leave; `TRACARDI_ROUNDS` says how many.
/// Each event arrives exactly once, after one later load of a page with network and storage.
#[test]
fn each_event_of_visits_that_lose_their_network_arrives_exactly_once() {
    let rounds: usize = std::env::var("TRACARDI_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    let (_folder, daemon) = started();
    let is_lossy = Arc::new(AtomicBool::new(true));
    let seed = Arc::new(AtomicUsize::new(1));
    let fate = {
        let (is_lossy, seed) = (is_lossy.clone(), seed.clone());
        move |_, _: &support::site::Sent| {
            if !is_lossy.load(Ordering::Relaxed) {
                return Fate::Answered;
            }
            // A linear congruential generator: the same fates each time.
            let next =
                |seed: usize| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = next(seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)) >> 33;
            match drawn % 8 {
                0 | 1 => Fate::AnswerLost,
                2 | 3 => Fate::Lost,
                4 => Fate::Refused(503),
                _ => Fate::Answered,
            }
        }
    };
    let way = way(&daemon.address, fate);
    let address = daemon.address.clone();
    let site = site(move |_| page(&address, &format!("data-endpoint=\"http://{way}\""), "<p>visit"));
    let browser = Browser::start();
    let mut sent = 0;
    for visit in 0..rounds {
        browser.open(&format!("http://{site}/visit/{visit}"));
        wait_for("the script", || browser.run("return !!window.tracardi").as_bool().filter(|there| *there));
        let offline = visit % 3 == 1;
        if offline {
            browser.network(false);
        }
        browser.run(&format!(
            "tracardi.track('step', {{ n: '{visit}-a' }}); setTimeout(() => tracardi.track('step', {{ n: '{visit}-b' }}), \
             {}); addEventListener('pagehide', () => tracardi.track('step', {{ n: '{visit}-c' }}), true); {}",
            visit % 7 * 10,
            if visit % 2 == 0 { "return new Promise(resolve => setTimeout(resolve, 60))" } else { "return 0" },
        ));
        sent += if visit % 2 == 0 || visit % 7 == 0 { 3 } else { 2 };
        // Away while things are under way.
        if offline {
            browser.network(visit % 2 == 0);
        }
        if browser.try_run("location = 'about:blank'").is_err() {
            browser.open("about:blank");
        }
        browser.network(true);
    }
    is_lossy.store(false, Ordering::Relaxed);
    browser.open(&format!("http://{site}/last"));
    settle(&browser);
    let mut stored = std::collections::BTreeMap::<String, usize>::new();
    let mut cursor = String::new();
    loop {
        let page = daemon.record(&format!("/events?type=step&limit=1000&fields=properties{cursor}"));
        for event in page["result"].as_array().unwrap() {
            *stored.entry(event["properties"]["n"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(stored.values().all(|count| *count == 1), "{stored:?}");
    for visit in 0..rounds {
        for part in ["a", "c"] {
            assert!(stored.contains_key(&format!("{visit}-{part}")), "{visit}-{part} of {stored:?}");
        }
    }
    println!("{rounds} visits, {} events, at least {sent} were tracked", stored.len());
    assert_no_error(&browser);
}
