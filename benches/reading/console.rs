//! Asks for the console's pages, and what they weigh.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    super::{Result, server},
    fill,
};

/// The pages as people open them. What takes longer than a moment is a part, which is loaded behind its page.
const PAGES: [&str; 14] = [
    "overview",
    "overview?period=30d",
    "overview?period=30d&bots=out",
    "events",
    "events?type=page-view",
    "people",
    "people/PROFILE",
    "people/PROFILE/timeline",
    "sessions/SESSION",
    "funnels?step=page-view&step=action-03&within=1d",
    "retention?period=30d",
    "sources",
    "set-up",
    "system",
];
const PARTS: [&str; 8] = [
    "overview/chart?period=30d",
    "overview/visits?period=30d",
    "overview/bots?period=30d",
    "overview/page?period=30d",
    "overview/referrer?period=30d",
    "overview/browser?period=30d",
    "funnels/steps?period=30d&step=page-view&step=action-03&within=1d",
    "retention/cohorts?period=30d&by=week",
];
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Measures each page, and prints a table.
pub fn measure(server: &server::Server, rounds: u64) -> Result<()> {
    let cookie = log_in(server)?;
    println!("\n{:<70} {:>9} {:>9} {:>9} {:>9}", "page of the console", "first ms", "median", "p99", "bytes");
    for page in PAGES.iter().chain(&PARTS) {
        let page = page.replace("PROFILE", &fill::profile(3)).replace("SESSION", &fill::session(5));
        let (first, bytes) = ask(server, &page, &cookie)?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            times.push(ask(server, &page, &cookie)?.0);
        }
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!("{page:<70} {:>9.2} {:>9.2} {:>9.2} {bytes:>9}", first.as_secs_f64() * 1e3, at(0.5), at(0.99));
    }
    Ok(())
}

/// Logs in; the cookie.
fn log_in(server: &server::Server) -> Result<String> {
    let body = format!("password={}&name=benchmark", server::ADMIN_TOKEN);
    let host = server.address;
    let answer = exchange(
        server,
        &format!(
            "POST /console/log-in HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
    Ok(cookie.ok_or("nobody was logged in")?.to_owned())
}

fn ask(server: &server::Server, page: &str, cookie: &str) -> Result<(Duration, usize)> {
    let begun = Instant::now();
    let request = format!(
        "GET /console/{page} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n",
        server.address
    );
    let answer = exchange(server, &request)?;
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err(format!("{page} was answered {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok((begun.elapsed(), answer.len()))
}

fn exchange(server: &server::Server, request: &str) -> Result<Vec<u8>> {
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_read_timeout(Some(ANSWER_LIMIT))?;
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    Ok(answer)
}
