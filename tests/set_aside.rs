//! Deliveries that are not taken: one bad item stops nobody, and a system that is down gets everything once it is up.

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::wait_for,
    external::{Asked, External},
};

/// A system that takes what it is told to take.
struct Receiver {
    external: External,
    /// What was taken, delivery by delivery.
    taken: Arc<Mutex<Vec<Vec<Value>>>>,
}

impl Receiver {
    /// `answer` says the status and the lines of the head for the items of a delivery.
    fn start(answer: impl Fn(&[Value]) -> (u16, String) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", answer)
    }

    fn start_at(address: &str, answer: impl Fn(&[Value]) -> (u16, String) + Send + Sync + 'static) -> Self {
        let taken: Arc<Mutex<Vec<Vec<Value>>>> = Arc::default();
        let known = taken.clone();
        let external = External::start_at(address, move |asked: &Asked| {
            let items: Vec<Value> = serde_json::from_str(&asked.body).unwrap();
            let (status, head) = answer(&items);
            if (200..300).contains(&status) {
                known.lock().unwrap().push(items);
            }
            (status, head, "{}".into())
        });
        Self { external, taken }
    }

    /// Answers this status to a delivery that holds the event `bad`, as long as `is_bad` says so.
    fn with_bad(status: u16, is_bad: &Arc<AtomicBool>) -> Self {
        let is_bad = is_bad.clone();
        Self::start(move |items| {
            let holds = items.iter().any(|item| item["event"]["id"] == "bad");
            (if holds && is_bad.load(Ordering::SeqCst) { status } else { 200 }, String::new())
        })
    }

    fn webhook(&self) -> Value {
        json!({"url": format!("http://{}/", self.external.address)})
    }

    fn taken(&self) -> Vec<String> {
        self.taken
            .lock()
            .unwrap()
            .iter()
            .flatten()
            .map(|item| item["event"]["id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn wait_for(&self, ids: &[&str]) {
        wait_for(&format!("{ids:?}"), || (self.taken().len() >= ids.len()).then_some(()));
        assert_eq!(self.taken(), ids);
    }
}

fn setup(folder: &Path) -> Setup {
    Setup::new(folder).set("lookup.allowed_hosts", "127.0.0.1")
}

fn send(daemon: &Daemon, session: &str, id: &str) -> String {
    let answer = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": session}, "events": [{"id": id, "type": "order"}]
    }));
    answer["profile"]["id"].as_str().unwrap().to_owned()
}

fn save(daemon: &Daemon, destination: &Value) {
    let response = daemon.post_admin("/destination", destination);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// What is set aside, by the ids of events: the number, and whether it is tried again.
fn asides(daemon: &Daemon, destination: &str) -> BTreeMap<String, (u64, bool, String)> {
    let list = daemon.record(&format!("/destination/{destination}/aside"));
    let result = list["result"].as_array().unwrap();
    assert_eq!(list["total"].as_u64(), Some(result.len() as u64), "{list}");
    let shown = result.iter().map(|aside| {
        let id = aside["item"]["event"]["id"].as_str().unwrap().to_owned();
        assert_eq!(aside["number"], aside["item"]["offset"]);
        let told = (aside["number"].as_u64(), aside["retried"].as_bool(), aside["reason"].as_str());
        (id, (told.0.unwrap(), told.1.unwrap(), told.2.unwrap().to_owned()))
    });
    shown.collect()
}

fn given_up(daemon: &Daemon, destination: &str, id: &str) -> (u64, String) {
    wait_for("it to be given up", || {
        let found = asides(daemon, destination).remove(id);
        found.filter(|(_, retried, _)| !retried).map(|(number, _, reason)| (number, reason))
    })
}

fn status(daemon: &Daemon, destination: &str) -> Value {
    daemon.record(&format!("/destination/{destination}/status"))
}

#[test]
fn one_bad_item_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = setup(folder.path()).start();
    daemon.shop();
    let is_bad = Arc::new(AtomicBool::new(true));
    let receivers = [400, 422, 413, 500, 403].map(|status| (status, Receiver::with_bad(status, &is_bad)));
    for (status, receiver) in &receivers {
        let id = format!("d{status}");
        save(&daemon, &json!({"id": id, "events": ["order"], "webhook": receiver.webhook(), "retry_for": "3s"}));
        save(
            &daemon,
            &json!({"id": id, "events": ["order"], "webhook": receiver.webhook(), "retry_for": "3s", "enabled": false}),
        );
    }
    let mut expected = Vec::new();
    for number in 0..20 {
        expected.push(format!("e{number}"));
        send(&daemon, &format!("s{number}"), &format!("e{number}"));
        if number == 7 {
            send(&daemon, "theirs", "bad");
        }
    }
    send(&daemon, "theirs", "behind it");
    for (status, receiver) in &receivers {
        let id = format!("d{status}");
        save(&daemon, &json!({"id": id, "events": ["order"], "webhook": receiver.webhook(), "retry_for": "3s"}));
    }
    for (status, receiver) in &receivers {
        let id = format!("d{status}");
        wait_for("the others", || (receiver.taken().len() >= 20).then_some(()));
        // The others arrive while it is tried again; what is theirs waits behind it.
        let mut others = receiver.taken()[..20].to_vec();
        others.sort_by_key(|id| id.trim_start_matches('e').parse::<u32>().unwrap());
        assert_eq!(others, expected, "{status}");
        let (number, reason) = given_up(&daemon, &id, "bad");
        assert_eq!(reason, format!("it answered {status}"));
        wait_for("what waited behind it", || (receiver.taken().len() == 21).then_some(()));
        assert_eq!(receiver.taken()[20], "behind it", "{status}");
        // It is kept across a restart, and counted.
        if *status == 400 {
            daemon = daemon.restart();
        }
        assert_eq!(given_up(&daemon, &id, "bad").0, number);
        wait_for("the status", || (self::status(&daemon, &id)["aside"] == 1).then_some(()));
        let figures = daemon.record("/system");
        assert_eq!(figures["destinations"][&*id]["aside"], 1);
        let metrics = daemon.admin("GET", "/metrics").text();
        let line = format!("tracardi_destination_aside_items{{destination=\"{id}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    // It is sent again when somebody says so.
    let number = given_up(&daemon, "d400", "bad").0;
    let path = format!("/destination/d400/aside/{number}/send");
    assert_eq!(daemon.post_admin(&path, &json!({})).json(), json!({"taken": false, "error": "it answered 400"}));
    is_bad.store(false, Ordering::SeqCst);
    assert_eq!(daemon.post_admin(&path, &json!({})).json(), json!({"taken": true, "error": null}));
    assert_eq!(receivers[0].1.taken()[21], "bad");
    assert!(asides(&daemon, "d400").is_empty());
    assert_eq!(daemon.post_admin(&path, &json!({})).status, 404);
    wait_for("the status", || (status(&daemon, "d400")["aside"] == 0).then_some(()));
    // Or forgotten.
    let path = format!("/destination/d422/aside/{}", given_up(&daemon, "d422", "bad").0);
    assert_eq!(daemon.admin("DELETE", &path).json(), json!(true));
    assert_eq!(daemon.admin("DELETE", &path).status, 404);
    assert!(asides(&daemon, "d422").is_empty());
    assert_eq!(daemon.admin("GET", "/destination/nobody/aside").status, 404);
    assert_eq!(daemon.admin("GET", "/destination/d422/aside?limit=0").status, 422);
    assert_eq!(daemon.post_admin("/destination/d422/aside/x/send", &json!({})).status, 404);
    // What is sent again from the beginning and taken is set aside no more.
    assert_eq!(daemon.post_admin("/destination/d500/replay", &json!({"from": 0})).json(), json!(true));
    wait_for("it to be taken", || asides(&daemon, "d500").is_empty().then_some(()));
    // With the destination goes what is set aside for it.
    assert_eq!(daemon.admin("DELETE", "/destination/d413").json(), json!(true));
    let receiver = &receivers[2].1;
    save(&daemon, &json!({"id": "d413", "events": ["order"], "webhook": receiver.webhook()}));
    assert!(asides(&daemon, "d413").is_empty());
}

#[test]
fn many_bad_items_together_stop_nobody_either() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let receiver = with_bad_ones(400);
    // Each delivery has one item, so others are looked for farther on.
    save(
        &daemon,
        &json!({
            "id": "d", "events": ["order"], "webhook": receiver.webhook(), "retry_for": "1s", "batch": 1, "enabled": false
        }),
    );
    for number in 0..12 {
        send(&daemon, &format!("s{number}"), &format!("bad {number}"));
    }
    send(&daemon, "good", "good");
    save(
        &daemon,
        &json!({"id": "d", "events": ["order"], "webhook": receiver.webhook(), "retry_for": "1s", "batch": 1}),
    );
    receiver.wait_for(&["good"]);
    send(&daemon, "good", "better");
    wait_for("it", || receiver.taken().contains(&"better".to_owned()).then_some(()));
    wait_for("all to be given up", || {
        let asides = asides(&daemon, "d");
        (asides.len() == 12 && asides.values().all(|(_, retried, _)| !retried)).then_some(())
    });
    assert_eq!(receiver.taken(), ["good", "better"]);
}

/// Refuses each delivery that holds an event whose id begins with `bad`.
fn with_bad_ones(status: u16) -> Receiver {
    Receiver::start(move |items| {
        let holds = items.iter().any(|item| item["event"]["id"].as_str().unwrap().starts_with("bad"));
        (if holds { status } else { 200 }, String::new())
    })
}

#[test]
fn many_bad_items_of_which_the_answer_says_nothing_stop_nobody_either() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let receivers = [500, 403].map(|status| (format!("d{status}"), with_bad_ones(status)));
    let destination = |id: &str, receiver: &Receiver, enabled: bool| {
        json!({
            "id": id, "events": ["order"], "webhook": receiver.webhook(), "retry_for": "1s", "enabled": enabled
        })
    };
    receivers.iter().for_each(|(id, receiver)| save(&daemon, &destination(id, receiver, false)));
    (0..6).for_each(|number| _ = send(&daemon, &format!("s{number}"), &format!("bad {number}")));
    (0..6).for_each(|number| _ = send(&daemon, &format!("s{number}"), &format!("behind {number}")));
    send(&daemon, "good", "good");
    receivers.iter().for_each(|(id, receiver)| save(&daemon, &destination(id, receiver, true)));
    for (id, receiver) in &receivers {
        wait_for(id, || (receiver.taken().len() == 7).then_some(()));
        wait_for("all to be given up", || {
            let asides = asides(&daemon, id);
            (asides.len() == 6 && asides.values().all(|(_, retried, _)| !retried)).then_some(())
        });
        wait_for("the end", || (status(&daemon, id)["lag"] == 0).then_some(()));
    }
}

#[test]
fn where_nobody_else_is_there_their_next_item_tells_whether_it_is_the_item() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let failing = Arc::new(AtomicU16::new(500));
    let (bad, down) = (with_bad_ones(500), {
        let failing = failing.clone();
        Receiver::start(move |_| (failing.load(Ordering::SeqCst), String::new()))
    });
    for (id, receiver) in [("bad", &bad), ("down", &down)] {
        save(&daemon, &json!({"id": id, "events": ["order"], "webhook": receiver.webhook(), "retry_for": "1s"}));
    }
    ["bad", "next", "last"].iter().for_each(|id| _ = send(&daemon, "s", id));
    given_up(&daemon, "bad", "bad");
    bad.wait_for(&["next", "last"]);
    // A system that takes nothing is waited for.
    wait_for("many tries", || (status(&daemon, "down")["failures"].as_u64() >= Some(6)).then_some(()));
    assert!(asides(&daemon, "down").is_empty());
    failing.store(200, Ordering::SeqCst);
    down.wait_for(&["bad", "next", "last"]);
}

#[test]
fn what_is_down_gets_everything_once_it_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let failing = Arc::new(AtomicU16::new(500));
    let receiver = Receiver::start({
        let failing = failing.clone();
        move |_| (failing.load(Ordering::SeqCst), String::new())
    });
    // Nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let absent = json!({"url": format!("http://{address}/")});
    save(&daemon, &json!({"id": "failing", "events": ["order"], "webhook": receiver.webhook(), "retry_for": "1s"}));
    save(&daemon, &json!({"id": "absent", "events": ["order"], "webhook": absent, "retry_for": "1s"}));
    let ids: Vec<String> = (0..10).map(|number| format!("e{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        send(&daemon, &format!("s{}", number % 3), id);
    }
    // Longer than anything is tried again that is not taken while others are.
    wait_for("many tries", || {
        let tried = |id: &str, tries: u64| status(&daemon, id)["failures"].as_u64() >= Some(tries);
        (tried("failing", 9) && tried("absent", 4)).then_some(())
    });
    for id in ["failing", "absent"] {
        assert_eq!((&status(&daemon, id)["aside"], &status(&daemon, id)["delivered"]), (&json!(0), &json!(0)));
        assert_eq!(status(&daemon, id)["lasting"], false);
    }
    assert!(asides(&daemon, "failing").is_empty() && asides(&daemon, "absent").is_empty());
    failing.store(200, Ordering::SeqCst);
    let there = Receiver::start_at(&address, |_| (200, String::new()));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    receiver.wait_for(&ids);
    there.wait_for(&ids);
}

#[test]
fn what_is_too_large_is_halved_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let receiver = Receiver::start(|items| (if items.len() > 3 { 413 } else { 200 }, String::new()));
    let destination = json!({"id": "d", "events": ["order"], "webhook": receiver.webhook()});
    let mut off = destination.clone();
    off["enabled"] = json!(false);
    save(&daemon, &off);
    let ids: Vec<String> = (0..40).map(|number| format!("e{number}")).collect();
    ids.iter().for_each(|id| _ = send(&daemon, "s", id));
    let begun = Instant::now();
    save(&daemon, &destination);
    receiver.wait_for(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let asked = receiver.external.asked().len();
    assert!(asked < 30, "what is known to be too large is not tried again: {asked} deliveries");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn an_answer_that_asks_to_wait_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let receiver = Receiver::start({
        let times = times.clone();
        move |_| {
            let mut times = times.lock().unwrap();
            times.push(Instant::now());
            let until = std::time::SystemTime::now() + Duration::from_secs(4);
            match times.len() {
                1 => (429, "Retry-After: 3\r\n".into()),
                2 => (503, format!("Retry-After: {}\r\n", httpdate::fmt_http_date(until))),
                _ => (200, String::new()),
            }
        }
    });
    save(&daemon, &json!({"id": "d", "events": ["order"], "webhook": receiver.webhook()}));
    send(&daemon, "s", "e");
    receiver.wait_for(&["e"]);
    let times = times.lock().unwrap();
    let waited = |between: usize| times[between + 1] - times[between];
    assert!(waited(0) >= Duration::from_secs(3), "{:?}", waited(0));
    assert!(waited(1) >= Duration::from_millis(2_900), "the time is told in whole seconds: {:?}", waited(1));
}

#[test]
fn an_item_alone_of_which_the_answer_says_that_it_is_at_fault_is_given_up_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let is_bad = Arc::new(AtomicBool::new(true));
    let receiver = Receiver::with_bad(400, &is_bad);
    save(&daemon, &json!({"id": "d", "events": ["order"], "webhook": receiver.webhook(), "retry_for": "2s"}));
    send(&daemon, "s", "bad");
    let told = wait_for("the status", || Some(status(&daemon, "d")).filter(|status| status["failures"] != 0));
    assert_eq!((&told["error"], &told["lasting"]), (&json!("it answered 400"), &json!(true)), "it is said at once");
    given_up(&daemon, "d", "bad");
    // It was nothing but this item.
    wait_for("the status", || (status(&daemon, "d")["lag"] == 0).then_some(()));
    send(&daemon, "s", "good");
    receiver.wait_for(&["good"]);
}

#[test]
fn of_who_is_deleted_nothing_stays_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).set("storage.erase_within", "1s").start();
    daemon.shop();
    let receiver = Receiver::start(|items| {
        let holds = items.iter().any(|item| item["event"]["id"].as_str().is_some_and(|id| id.starts_with("bad")));
        (if holds { 400 } else { 200 }, String::new())
    });
    save(&daemon, &json!({"id": "d", "events": ["order"], "webhook": receiver.webhook(), "retry_for": "1s"}));
    let people: Vec<String> =
        (0..4).map(|number| send(&daemon, &format!("s{number}"), &format!("bad {number}"))).collect();
    send(&daemon, "other", "good");
    (0..4).for_each(|number| _ = given_up(&daemon, "d", &format!("bad {number}")));
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{}", people[0])).json(), json!(true));
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{}?events=true", people[1])).status, 200);
    assert_eq!(daemon.admin("DELETE", "/event/bad%202").status, 200);
    // At once for whoever looks.
    let left = asides(&daemon, "d");
    assert_eq!(left.keys().collect::<Vec<_>>(), ["bad 3"]);
    wait_for("the status", || (status(&daemon, "d")["aside"] == 1).then_some(()));
    let daemon = daemon.restart();
    assert_eq!(asides(&daemon, "d"), left);
}

#[test]
fn a_webhook_has_headers_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).set("TRACARDI_SECRET_CRM", "s3cret").start();
    daemon.shop();
    let receiver = Receiver::start(|_| (200, String::new()));
    let webhook = |headers: Value| {
        let mut webhook = receiver.webhook();
        webhook["headers"] = headers;
        json!({"id": "d", "events": ["order"], "webhook": webhook})
    };
    for (headers, loc) in [
        (json!({"Host": "x"}), json!(["body", "webhook", "headers", "Host"])),
        (json!({"X-Who": "{{ event.id }}"}), json!(["body", "webhook", "headers", "x-who"])),
        (json!({"Tracardi-Signature": "x"}), json!(["body", "webhook", "headers", "tracardi-signature"])),
        (json!({"a b": "x"}), json!(["body", "webhook", "headers", "a b"])),
        (json!({"X": 7}), json!(["body", "webhook", "headers", "X"])),
        (json!("x"), json!(["body", "webhook", "headers"])),
    ] {
        let response = daemon.post_admin("/destination", &webhook(headers));
        assert_eq!((response.status, response.loc()), (422, loc), "{}", response.text());
    }
    save(&daemon, &webhook(json!({"Authorization": "Bearer {{ secret.crm }}", "X-Team": "shop"})));
    send(&daemon, "s", "e");
    receiver.wait_for(&["e"]);
    let headers = receiver.external.asked()[0].headers.clone();
    let has = |line: &str| headers.iter().any(|header| header == line);
    assert!(has("authorization: bearer s3cret") && has("x-team: shop") && has("content-type: application/json"));
    let shown = daemon.admin("GET", "/destination/d").text();
    assert!(!shown.contains("s3cret"), "{shown}");
    // What is missing is said, and nothing is sent without it.
    save(&daemon, &webhook(json!({"Authorization": "Bearer {{ secret.other }}"})));
    send(&daemon, "s", "e2");
    let told = wait_for("the status", || Some(status(&daemon, "d")).filter(|status| status["failures"] != 0));
    assert_eq!(told["error"], "there is no secret other");
    assert_eq!(receiver.external.asked().len(), 1);
}

#[test]
fn what_is_set_aside_stays_whatever_the_destination_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let receiver = Receiver::with_bad(400, &Arc::new(AtomicBool::new(true)));
    let destination = |events: &str, condition: &str| json!({"id": "d", "events": [events], "if": condition, "webhook": receiver.webhook(), "retry_for": "1s"});
    save(&daemon, &destination("order", "!has(event.properties.price)"));
    send(&daemon, "s", "bad");
    send(&daemon, "s2", "e1");
    given_up(&daemon, "d", "bad");
    for (events, condition) in [("other", "true"), ("order", "event.properties.price == 1"), ("order", "true")] {
        save(&daemon, &destination(events, condition));
        send(&daemon, "s3", "e2");
        assert_eq!(asides(&daemon, "d").len(), 1, "{events} {condition}");
    }
    let (number, _) = given_up(&daemon, "d", "bad");
    let sent = daemon.post_admin(&format!("/destination/d/aside/{number}/send"), &json!({}));
    assert_eq!(sent.json()["error"], "it answered 400");
}

/// A row of README's table: what is answered, and what comes of it.
struct Row {
    /// Statuses; 0 stands for no answer.
    statuses: Vec<u16>,
    head: &'static str,
    lasting: bool,
    halves: bool,
    alone: String,
    nothing: String,
}

/// README's table of what a webhook answers, but for what is taken.
fn table() -> Vec<Row> {
    let readme = include_str!("../README.md");
    let (_, rows) = readme.split_once("| it answers | that is | `lasting` |").expect("the table is there");
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut table = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [answers, what, lasting, delivery, alone, nothing] = cells[..] else { panic!("{row}") };
        let statuses = |answers: &str| -> Vec<u16> {
            let ranges = answers.split(',').map(str::trim);
            let range = |range: &str| match range.split_once(" to ") {
                Some((first, last)) => vec![first.parse().unwrap(), last.parse().unwrap()],
                None => vec![range.parse().unwrap()],
            };
            ranges.flat_map(range).collect()
        };
        let mut add = |statuses: Vec<u16>, head| {
            let (lasting, halves) = (lasting == "yes", delivery.contains("halve"));
            table.push(Row { statuses, head, lasting, halves, alone: alone.into(), nothing: nothing.into() });
        };
        match (what, answers) {
            ("taken", _) => {}
            ("busy", _) => {
                let (plain, with) = answers.split_once(", and ").unwrap();
                assert_eq!(with, "503 with `Retry-After`");
                add(statuses(plain), "");
                add(vec![503], "Retry-After: 1\r\n");
            }
            (_, "nothing, or nothing in `timeout`") => add(vec![0], ""),
            // Whoever is not there says nothing of an item: `what_is_down_gets_everything_once_it_is_up`.
            (_, "no connection") => assert_eq!((alone, nothing), ("waits", "waits")),
            _ => add(statuses(answers), ""),
        }
    }
    assert_eq!(table.len(), 7, "each row is walked");
    table
}

#[test]
fn what_comes_of_an_answer_is_what_readme_says() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let is_bad = Arc::new(AtomicBool::new(true));
    let (mut alone, mut nothing) = (Vec::new(), Vec::new());
    for row in table() {
        for status in row.statuses.clone() {
            let (head, is_bad) = (row.head, is_bad.clone());
            let answer = move |refuses: bool| {
                let refuses = refuses && is_bad.load(Ordering::SeqCst);
                (if refuses { status } else { 200 }, if refuses { head.to_owned() } else { String::new() })
            };
            let others = answer.clone();
            let id = format!("{status}{}", if head.is_empty() { "" } else { "-with" });
            let holds = |items: &[Value]| items.iter().any(|item| item["event"]["id"] == "bad");
            let one = Receiver::start(move |items| answer(holds(items)));
            let all = Receiver::start(move |_| others(true));
            let mut destination = json!({"events": ["order"], "retry_for": "1s"});
            (destination["id"], destination["webhook"]) = (json!(format!("one-{id}")), one.webhook());
            save(&daemon, &destination);
            (destination["id"], destination["webhook"]) = (json!(format!("all-{id}")), all.webhook());
            destination["retry_for"] = json!("1h");
            save(&daemon, &destination);
            alone.push((format!("one-{id}"), status, row.alone.clone(), one));
            nothing.push((format!("all-{id}"), status, row.lasting, row.halves, row.nothing.clone(), all));
        }
    }
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "b"}, "events": [
        {"id": "first", "type": "order"}, {"id": "bad", "type": "order"}
    ]}));
    (0..6).for_each(|number| _ = send(&daemon, &format!("s{number}"), &format!("e{number}")));
    for (id, status, lasting, halves, rule, receiver) in &nothing {
        let told = wait_for("the status", || Some(self::status(&daemon, id)).filter(|it| it["failures"] != 0));
        if *status != 0 {
            assert_eq!(told["error"], format!("it answered {status}"));
        }
        assert_eq!(told["lasting"], json!(lasting), "{status}");
        assert!(rule == "waits" || rule.starts_with("is given up after `retry_for`"), "{rule}");
        let sizes = || -> Vec<usize> {
            let asked = receiver.external.asked().into_iter();
            asked.map(|asked| serde_json::from_str::<Vec<Value>>(&asked.body).unwrap().len()).collect()
        };
        if *halves {
            wait_for("halves", || (sizes().last() == Some(&1)).then_some(()));
        } else {
            wait_for("another try", || (sizes().len() >= 3).then_some(()));
            assert!(sizes().iter().rev().take(2).all(|size| *size > 1), "{status}: {:?}", sizes());
        }
        assert!(asides(&daemon, id).is_empty(), "{status}");
    }
    for (id, status, rule, receiver) in &alone {
        match rule.as_str() {
            "is set aside" | "is set aside, but waits for `retry_for` first" => {
                let (_, reason) = given_up(&daemon, id, "bad");
                assert!(*status == 0 || reason == format!("it answered {status}"), "{reason}");
                wait_for("the others", || (receiver.taken().len() >= 7).then_some(()));
            }
            "waits" => assert!(asides(&daemon, id).is_empty(), "{status}"),
            other => panic!("no such rule: {other}"),
        }
    }
    // Once they take what they are sent, everything arrives, but for what was given up.
    is_bad.store(false, Ordering::SeqCst);
    for (id, status, _, receiver) in &alone {
        wait_for("what waited", || (receiver.taken().len() + asides(&daemon, id).len() >= 8).then_some(()));
        assert!(status == &429 || receiver.taken().len() >= 7);
    }
    for (id, .., receiver) in &nothing {
        wait_for(&format!("what {id} waited for"), || (receiver.taken().len() >= 8).then_some(()));
        let theirs: Vec<String> = receiver.taken().into_iter().filter(|id| !id.starts_with('e')).collect();
        assert_eq!(theirs, ["first", "bad"], "{id}");
    }
}
