//! Following what is stored (docs/contract.md, section 14).

mod support;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, signal, started, wait_for},
};

/// A block of a stream.
#[derive(Clone, Debug, Default)]
struct Block {
    comment: bool,
    id: Option<String>,
    event: Option<String>,
    data: String,
}

impl Block {
    fn record(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn event_id(&self) -> String {
        self.record()["id"].as_str().expect("a record").to_owned()
    }
}

/// The body of an answer in pieces (RFC 9112, section 7.1), without their frames.
struct Pieces {
    socket: BufReader<TcpStream>,
    left: usize,
    /// The last piece was read: the answer is whole.
    is_whole: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 && !self.is_whole {
            let mut line = String::new();
            if self.socket.read_line(&mut line)? == 0 {
                return Ok(0);
            }
            if line == "\r\n" {
                line.clear();
                self.socket.read_line(&mut line)?;
            }
            self.left = usize::from_str_radix(line.trim_end(), 16).expect("a length");
            self.is_whole = self.left == 0;
        }
        if self.is_whole {
            return Ok(0);
        }
        let most = buffer.len().min(self.left);
        let count = self.socket.read(&mut buffer[..most])?;
        self.left -= count;
        Ok(count)
    }
}

struct Stream {
    lines: BufReader<Pieces>,
    /// Where it stands: behind everything that was read.
    id: String,
}

impl Stream {
    fn open(daemon: &Daemon, path: &str, last: Option<&str>) -> Self {
        Self::over(daemon.connect().unwrap(), path, last)
    }

    fn over(mut socket: TcpStream, path: &str, last: Option<&str>) -> Self {
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{last}\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let mut socket = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(socket.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/event-stream\r\n"), "{head}");
        let mut lines = BufReader::new(Pieces { socket, left: 0, is_whole: false });
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        assert_eq!(first, "retry: 2000\n", "when to come again is said first");
        let mut stream = Self { lines, id: String::new() };
        stream.block().expect("where it begins");
        assert!(!stream.id.is_empty());
        stream
    }

    /// The next block; `None` when the stream has ended.
    fn block(&mut self) -> Option<Block> {
        let mut block = Block::default();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("the stream goes on") == 0 {
                return None;
            }
            let line = line.trim_end_matches('\n');
            match line.split_once(": ") {
                _ if line.is_empty() => break,
                Some(("", _)) => block.comment = true,
                Some(("id", id)) => block.id = Some(id.to_owned()),
                Some(("event", event)) => block.event = Some(event.to_owned()),
                Some(("data", data)) => block.data = data.to_owned(),
                _ => panic!("{line}"),
            }
        }
        if let Some(id) = &block.id {
            self.id.clone_from(id);
        }
        Some(block)
    }

    /// The next block that is no comment.
    fn event(&mut self) -> Block {
        loop {
            let block = self.block().expect("an event");
            if !block.comment {
                return block;
            }
        }
    }

    /// The ids of the next events.
    fn ids(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event().event_id()).collect()
    }

    /// Whether the answer ended as a whole one does.
    fn is_whole(&self) -> bool {
        self.lines.get_ref().is_whole
    }
}

fn event(id: &str, kind: &str, session: &str, price: u64) -> Value {
    json!({
        "source": {"id": "shop"}, "session": {"id": session},
        "events": [{"id": id, "type": kind, "properties": {"price": price, "text": "a\nb"}, "tags": [kind]}],
    })
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("e{number}")).collect()
}

#[test]
fn events_come_as_they_are_stored_each_to_those_whose_filters_take_it() {
    let (_folder, daemon) = started();
    daemon.tracked(&event("before", "seen", "s", 0));
    let mut streams = [
        ("/events/live", numbered(0..6)),
        ("/events/live?type=seen", vec!["e0".to_owned(), "e2".to_owned(), "e4".to_owned()]),
        ("/events/live?type=pa*&session=s1", vec!["e1".to_owned(), "e5".to_owned()]),
        ("/events/live?tag=paid&source=shop&valid=true", vec!["e1".to_owned(), "e3".to_owned(), "e5".to_owned()]),
        ("/events/live?where=event.properties.price%20%3E%203", vec!["e4".to_owned(), "e5".to_owned()]),
    ]
    .map(|(path, expected)| (Stream::open(&daemon, path, None), expected));
    let begun = Instant::now();
    for number in 0..6 {
        let kind = ["seen", "paid"][number % 2];
        daemon.tracked(&event(&format!("e{number}"), kind, &format!("s{}", number % 4), number as u64));
    }
    daemon.tracked(&event("last", "end", "end", 0));
    for (stream, expected) in &mut streams {
        assert_eq!(stream.ids(expected.len()), *expected);
    }
    println!("all were seen after {:?}", begun.elapsed());
    let whole = &mut streams[0].0;
    let last = whole.event();
    assert_eq!(last.event.as_deref(), Some("event"));
    assert_eq!(last.record(), daemon.record("/event/last")["event"], "the record as it is shown elsewhere");
    let mut fields = Stream::open(&daemon, "/events/live?fields=type,properties.price", None);
    daemon.tracked(&event("later", "seen", "s", 7));
    assert_eq!(fields.event().record(), json!({"type": "seen", "properties": {"price": 7}}));
}

#[test]
fn each_event_of_a_stream_is_as_described() {
    let (_folder, daemon) = started();
    daemon.tracked(&event("a", "page-view", "s", 1));
    let document = daemon.get("/openapi.json").json();
    let answer = &document["paths"]["/events/live"]["get"]["responses"]["200"];
    let validator = jsonschema::draft202012::new(&answer["content"]["text/event-stream"]["schema"]).unwrap();
    let Block { id, event, data, .. } = Stream::open(&daemon, "/events/live?from=-1h", None).event();
    let read = json!({"id": id, "event": event, "data": data});
    assert!(validator.is_valid(&read), "{read}");
    assert!(!validator.is_valid(&json!({"event": "another"})));
}

#[test]
fn a_person_is_followed_under_all_ids() {
    let (_folder, daemon) = started();
    let sign_in = |session: &str, id: &str| {
        let properties = json!({"email": {"main": "ada@example.com"}});
        let body = json!({
            "source": {"id": "shop"}, "session": {"id": session},
            "events": [{"id": id, "type": "sign-in", "properties": properties}],
        });
        daemon.tracked(&body)["profile"]["id"].as_str().unwrap().to_owned()
    };
    let ada = sign_in("phone", "a1");
    let desk = daemon.tracked(&event("b1", "seen", "desk", 1))["profile"]["id"].as_str().unwrap().to_owned();
    assert_ne!(ada, desk);
    let path = format!("/events/live?from=-1h&profile={desk}");
    let mut stream = Stream::open(&daemon, &path, None);
    assert_eq!(stream.ids(1), ["b1"]);
    daemon.tracked(&event("x1", "seen", "stranger", 1));
    sign_in("desk", "b2"); // from here on the two are one
    daemon.tracked(&event("a2", "seen", "phone", 1));
    daemon.tracked(&event("x2", "seen", "stranger", 1));
    daemon.tracked(&event("b3", "seen", "desk", 1));
    assert_eq!(stream.ids(3), ["b2", "a2", "b3"]);
    let mut past = Stream::open(&daemon, &path, None);
    assert_eq!(past.ids(5), ["a1", "b1", "b2", "a2", "b3"]);
}

#[test]
fn who_comes_again_misses_nothing_and_gets_nothing_twice_while_collecting_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("storage.segment_bytes", 65_536).start();
    daemon.shop();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let (daemon, stop) = (&daemon, &stop);
                scope.spawn(move || {
                    let mut connection = daemon.kept().unwrap();
                    let mut sent = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let id = format!("{sender}-{}", sent.len());
                        let kind = ["seen", "paid"][sent.len() % 2];
                        let body = event(&id, kind, &format!("s{sender}"), 1).to_string();
                        assert_eq!(connection.post("/track", &body).unwrap().status, 200);
                        sent.push((id, kind));
                    }
                    sent
                })
            })
            .collect();
        // One that goes on all the while, and for each type one that comes again and again, by its last id: what is read
        // for all changes each time.
        let path = |kind: &str| format!("/events/live?from=-1h&type={kind}");
        let mut steady = Stream::open(&daemon, &path("seen"), None);
        let mut coming = ["seen", "paid"].map(|kind| (kind, Vec::new(), None));
        for round in 0..12 {
            for (kind, got, last) in &mut coming {
                let mut stream = Stream::open(&daemon, &path(kind), last.as_deref());
                got.extend(stream.ids(1 + 17 * (round % 4)));
                *last = Some(stream.id.clone());
            }
        }
        stop.store(true, Ordering::Relaxed);
        let sent: Vec<_> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        for (kind, got, last) in &mut coming {
            let expected: BTreeSet<String> =
                sent.iter().filter(|(_, sent)| sent == kind).map(|(id, _)| id.clone()).collect();
            let mut rest = Stream::open(&daemon, &path(kind), last.as_deref());
            got.extend(rest.ids(expected.len() - got.len()));
            let once: BTreeSet<String> = got.iter().cloned().collect();
            assert_eq!((once.len(), &once), (got.len(), &expected));
        }
        let [(_, seen, _), _] = coming;
        assert_eq!(steady.ids(seen.len()), seen, "both in the order of the log");
    });
}

#[test]
fn an_id_is_worth_something_before_any_event_came_and_after_a_restart() {
    let (_folder, daemon) = started();
    let first = Stream::open(&daemon, "/events/live?type=seen", None).id;
    daemon.tracked(&event("e0", "seen", "s", 0));
    daemon.tracked(&event("other", "paid", "s", 0));
    let daemon = daemon.restart();
    let mut stream = Stream::open(&daemon, "/events/live?type=seen", Some(&first));
    assert_eq!(stream.ids(1), ["e0"]);
    let daemon = daemon.restart();
    assert!(stream.block().is_none() && stream.is_whole());
    daemon.tracked(&event("e1", "seen", "s", 0));
    let mut again = Stream::open(&daemon, "/events/live?type=seen", Some(&stream.id));
    daemon.tracked(&event("e2", "seen", "s", 0));
    assert_eq!(again.ids(2), ["e1", "e2"]);
    // Where it began is no part of what it is: it goes on however it began, and long behind it.
    let mut began = Stream::open(&daemon, "/events/live?type=seen&from=-1s", Some(&first));
    assert_eq!(began.ids(3), ["e0", "e1", "e2"]);
}

#[test]
fn deleted_events_do_not_come() {
    let (_folder, daemon) = started();
    for number in 0..5 {
        daemon.tracked(&event(&format!("e{number}"), "seen", "s", 0));
    }
    assert_eq!(daemon.admin("DELETE", "/event/e2").status, 200);
    let mut stream = Stream::open(&daemon, "/events/live?from=-1h", None);
    assert_eq!(stream.ids(4), ["e0", "e1", "e3", "e4"]);
    daemon.tracked(&event("e5", "seen", "s", 0));
    assert_eq!(stream.ids(1), ["e5"]);
    // Also one that the follower keeps in memory by now.
    let before = stream.id.clone();
    daemon.tracked(&event("e6", "seen", "s", 0));
    daemon.tracked(&event("e7", "seen", "s", 0));
    assert_eq!(stream.ids(2), ["e6", "e7"]);
    assert_eq!(daemon.admin("DELETE", "/event/e6").status, 200);
    assert_eq!(daemon.record("/events?limit=1")["result"][0]["id"], "e7", "what is queued is applied by then");
    assert_eq!(Stream::open(&daemon, "/events/live", Some(&before)).ids(1), ["e7"]);
}

#[test]
fn what_is_wrong_is_named() {
    let (_folder, daemon) = started();
    for query in ["tpye=seen", "to=-1m", "order=oldest", "limit=5", "cursor=x", "from=yesterday", "where=event."] {
        let response = daemon.admin("GET", &format!("/events/live?{query}"));
        let name = query.split('=').next().unwrap();
        assert_eq!((response.status, response.loc()), (422, json!(["query", name])), "{query}");
    }
    let id = Stream::open(&daemon, "/events/live?type=seen", None).id;
    let token = format!("Bearer {TOKEN}");
    let page = daemon.record("/events?limit=1&order=oldest");
    let of_page = page["cursor"].as_str().unwrap_or("x").to_owned();
    for last in [id.as_str(), "abc", of_page.as_str()] {
        let headers = [("Authorization", token.as_str()), ("Last-Event-ID", last)];
        let response = daemon.request("GET", "/events/live?type=paid", &headers, b"");
        assert_eq!((response.status, response.loc()), (422, json!(["header", "Last-Event-ID"])), "{last}");
    }
    assert_eq!(daemon.get("/events/live").status, 401);
    // A log that ends before the id is another one.
    daemon.tracked(&event("e0", "seen", "s", 0));
    let mut stream = Stream::open(&daemon, "/events/live?type=seen&from=-1h", None);
    stream.ids(1);
    let (_other_folder, other) = started();
    let headers = [("Authorization", token.as_str()), ("Last-Event-ID", stream.id.as_str())];
    let response = other.request("GET", "/events/live?type=seen", &headers, b"");
    assert_eq!((response.status, response.loc()), (422, json!(["header", "Last-Event-ID"])));
}

#[test]
fn so_many_follow_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("read.max_live", 2).start();
    daemon.shop();
    let mut streams = [Stream::open(&daemon, "/events/live", None), Stream::open(&daemon, "/events/live", None)];
    let refused = daemon.admin("GET", "/events/live");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.text().contains("read.max_live"), "{}", refused.text());
    assert_eq!(daemon.record("/system")["http"]["live_readers"], 2);
    let [kept, gone] = &mut streams;
    gone.lines.get_ref().socket.get_ref().shutdown(std::net::Shutdown::Both).unwrap();
    // That it is gone is seen once something is sent to it.
    wait_for("its place to be free", || {
        daemon.tracked(&event(&format!("e{}", uuid::Uuid::new_v4()), "seen", "s", 0));
        (daemon.record("/system")["http"]["live_readers"] == 1).then_some(())
    });
    let mut next = Stream::open(&daemon, "/events/live", None);
    daemon.tracked(&event("last", "end", "s", 0));
    assert_eq!(next.ids(1), ["last"]);
    while kept.event().event_id() != "last" {}
}

#[test]
fn a_quiet_stream_is_alive_and_keeps_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("server.idle_timeout_ms", 300).set("server.max_connections", 3);
    let daemon = setup.start();
    daemon.shop();
    let mut stream = Stream::open(&daemon, "/events/live", None);
    let begun = Instant::now();
    // Others come and go, also more than there is room for: the stream is not one that rests.
    while begun.elapsed() < Duration::from_secs(2) {
        let _crowd: Vec<_> = (0..5).map(|_| daemon.connect().unwrap()).collect();
        wait_for("the crowd to be let in or refused", || {
            daemon.try_request("GET", "/health", &[], b"").is_ok_and(|it| it.status == 200).then_some(())
        });
    }
    let alive = stream.block().expect("a sign of life");
    assert!(alive.comment && alive.event.is_none() && alive.id.is_some(), "{alive:?}");
    assert!((14..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    wait_for("an event to be taken", || {
        daemon
            .try_request(
                "POST",
                "/track",
                &[("Content-Type", "application/json")],
                event("e0", "seen", "s", 0).to_string().as_bytes(),
            )
            .is_ok_and(|it| it.status == 200)
            .then_some(())
    });
    assert_eq!(stream.ids(1), ["e0"]);
}

/// A connection that the system takes little for that its client does not read.
fn narrow(daemon: &Daemon) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&daemon.address.parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket.into()
}

fn large(number: usize) -> Value {
    let mut body = event(&format!("e{number}"), "large", &format!("s{}", number % 9), 1);
    body["events"][0]["properties"]["text"] = "x".repeat(200_000).into();
    body
}

#[test]
fn a_slow_reader_is_told_where_to_go_on_and_costs_no_memory() {
    const COUNT: usize = 200;
    let (_folder, daemon) = started();
    let resident = || daemon.record("/system")["process"]["resident_bytes"].as_u64().unwrap() >> 20;
    let mut quick = Stream::open(&daemon, "/events/live?fields=id", None);
    let mut slow: Vec<Stream> =
        (0..10).map(|_| Stream::over(narrow(&daemon), "/events/live?type=large", None)).collect();
    let begun = resident();
    // So few at a time that whoever reads them keeps up, however slow the machine is.
    for few in (0..COUNT).step_by(10) {
        (few..few + 10).for_each(|number| _ = daemon.tracked(&large(number)));
        assert_eq!(quick.ids(10), numbered(few..few + 10), "who reads is not held up");
    }
    let grown = resident().saturating_sub(begun);
    assert!(grown < 100, "memory grew by {grown} MiB with 40 MiB of events, and 11 readers");
    let mut stream = slow.pop().unwrap();
    let mut got = Vec::new();
    let behind = loop {
        let block = stream.event();
        match block.event.as_deref() {
            Some("event") => got.push(block.event_id()),
            _ => break block,
        }
    };
    assert!(got.len() < COUNT / 2, "{} events were kept for it", got.len());
    assert_eq!(behind.event.as_deref(), Some("behind"));
    assert!(stream.block().is_none() && stream.is_whole(), "it is closed in good order");
    let cursor = behind.record()["cursor"].as_str().unwrap().to_owned();
    assert_eq!(behind.id.as_ref(), Some(&cursor));
    let mut again = Stream::open(&daemon, "/events/live?type=large", Some(&cursor));
    got.extend(again.ids(COUNT - got.len()));
    assert_eq!(got, numbered(0..COUNT));
}

#[test]
fn a_stop_ends_streams_in_good_order_and_waits_for_no_reader() {
    let (_folder, daemon) = started();
    let mut reads = Stream::open(&daemon, "/events/live", None);
    let stuck = Stream::over(narrow(&daemon), "/events/live?from=-1h", None);
    let mut past = Stream::open(&daemon, "/events/live?from=-1h&type=never", None);
    for number in 0..12 {
        daemon.tracked(&large(number));
    }
    assert_eq!(reads.ids(12), numbered(0..12));
    let begun = Instant::now();
    signal(daemon.pid(), "TERM");
    for stream in [&mut reads, &mut past] {
        assert!(stream.block().is_none() && stream.is_whole(), "its end is the answer's");
    }
    daemon.wait_ended();
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    drop(stuck);
}

#[test]
fn in_relaxed_mode_events_come_once_they_are_synced() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("storage.durability", "relaxed");
    let daemon = setup.set("storage.flush_interval_ms", 1_500).start();
    daemon.shop();
    let mut stream = Stream::open(&daemon, "/events/live", None);
    daemon.tracked(&event("e0", "seen", "s", 0));
    assert_eq!(stream.ids(1), ["e0"]);
    // Everything is synced by now: the next sync comes an interval after the next event.
    let begun = Instant::now();
    daemon.tracked(&event("e1", "seen", "s", 0));
    let taken = begun.elapsed();
    assert_eq!(daemon.record("/events?limit=1")["result"][0]["id"], "e1", "a query has it before");
    assert_eq!(stream.ids(1), ["e1"]);
    assert!(begun.elapsed() >= Duration::from_millis(1_500), "{taken:?} {:?}", begun.elapsed());
}
