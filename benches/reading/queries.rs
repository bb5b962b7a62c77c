//! Asks the queries, and how long each takes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    super::{Result, server},
    console, exports, fill,
};

const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// A query, made of the number of its round.
type Query = (&'static str, fn(u64) -> String);

const QUERIES: [Query; 17] = [
    ("a session's events", |round| format!("/session/{}/events", fill::session(round * 37 + 5))),
    ("a person's events", |round| format!("/profile/{}/events", fill::profile(round * 41 + 3))),
    ("a type over a day, first 100", |_| "/events?type=action-03&from=-1d".into()),
    ("the newest 100", |_| "/events".into()),
    ("where over properties, first 100", |_| {
        "/events?where=event.properties.price%20%3E%2019900%20%26%26%20event.properties.item%20%3D%3D%20%22item-7%22"
            .into()
    }),
    ("a rare tag that is nowhere", |_| "/events?tag=nowhere".into()),
    ("counts by day and type", |_| "/stats/events?by=day,type".into()),
    ("counts by hour, a week", |_| "/stats/events?by=hour&from=-7d&tz=Europe/Warsaw".into()),
    ("a funnel of four steps", |_| {
        "/stats/funnel?step=page-view&step=action-03&step=action-05&step=page-view&within=1d".into()
    }),
    ("weekly retention", |_| "/stats/retention?by=week".into()),
    ("counts by tag (rows)", |_| "/stats/events?by=tag".into()),
    ("counts by day and type, a year", |_| "/stats/events?by=day,type&from=-365d".into()),
    ("top pages, 30 days", |_| "/stats/top?of=page&from=-31d".into()),
    ("top browsers", |_| "/stats/top?of=browser".into()),
    ("top entries", |_| "/stats/top?of=entry".into()),
    ("top items (properties), a day", |_| "/stats/top?of=event.properties.item&from=-1d".into()),
    ("visits by day", |_| "/stats/visits?by=day&tz=Europe/Warsaw".into()),
];

/// Looked for among all events, and hardly found.
const SCANS: [(&str, &str); 4] = [
    ("columns: invalid events", "/events?valid=false"),
    ("columns: a tag of many types", "/events?tag=nowhere&type=page-view&type=action-*"),
    ("blocks: where over properties", "/events?where=event.properties.price%20%3E%2090000"),
    ("blocks: where over traits", "/events?where=event.traits.price%20%3E%2090000"),
];

/// Measures each query against `daemon` on `store`, and prints a table.
pub fn measure(daemon: &Path, store: &Path, rounds: u64) -> Result<()> {
    let log = store.with_extension("log");
    let begun = Instant::now();
    let server = server::start_daemon(daemon, store, &log)?;
    server.wait_for("/ready")?;
    println!("ready after {:.1} s", begun.elapsed().as_secs_f64());
    println!("{:<34} {:>9} {:>9} {:>9} {:>9}", "query", "first ms", "median", "p99", "bytes");
    for (name, query) in QUERIES {
        let (first, answer) = ask(&server, &query(0))?;
        let bytes = answer.len();
        let mut times = Vec::new();
        for round in 1..=rounds {
            times.push(ask(&server, &query(round))?.0);
        }
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("{name:<34} {:>9.2} {:>9.2} {:>9.2} {bytes:>9}", first.as_secs_f64() * 1e3, at(0.5), at(0.99));
    }
    let memory = |when: &str| -> Result<()> {
        let usage = server.usage()?;
        println!("memory {when}: {} MB, at most {} MB", usage.resident_bytes >> 20, usage.resident_bytes_max >> 20);
        Ok(())
    };
    let events = stored_events(&server)?;
    scan_all(&server, events)?;
    console::measure(&server, rounds)?;
    memory("after the queries")?;
    let parquet = exports::measure(&server, store.parent().unwrap_or(store), events)?;
    memory("after the exports")?;
    server.stop()?;
    exports::compare(&parquet)?;
    Ok(std::fs::remove_file(parquet)?)
}

/// Goes through all events for those that are meant, page by page.
fn scan_all(server: &server::Server, events: u64) -> Result<()> {
    println!("\n{:<34} {:>9} {:>12} {:>14}", "scan", "seconds", "events/s", "of a core, too");
    for (name, query) in SCANS {
        let cpu = server.usage()?.cpu_seconds;
        let begun = Instant::now();
        let mut cursor = String::new();
        loop {
            let (_, answer) = ask(server, &format!("{query}&limit=1000{cursor}"))?;
            let text = String::from_utf8_lossy(&answer);
            let behind = text.rsplit_once("\"cursor\":\"").and_then(|(_, behind)| behind.split_once('"'));
            let Some((next, _)) = behind else { break };
            cursor = format!("&cursor={next}");
        }
        let (seconds, cpu) = (begun.elapsed().as_secs_f64(), server.usage()?.cpu_seconds - cpu);
        println!("{name:<34} {seconds:>9.2} {:>12.0} {:>14.0}", events as f64 / seconds, events as f64 / cpu);
    }
    Ok(())
}

fn stored_events(server: &server::Server) -> Result<u64> {
    let (_, answer) = ask(server, "/stats/events?by=source")?;
    let text = String::from_utf8_lossy(&answer);
    let events = text.split("\"events\":").nth(1).and_then(|behind| behind.split(['}', ',']).next());
    Ok(events.ok_or("how many events there are is not told")?.parse()?)
}

/// How long the answer took, and what it was.
fn ask(server: &server::Server, path: &str) -> Result<(Duration, Vec<u8>)> {
    let begun = Instant::now();
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    let token = server::ADMIN_TOKEN;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(format!("{path} was answered {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok((begun.elapsed(), answer))
}
