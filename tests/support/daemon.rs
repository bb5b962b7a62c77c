//! The real binary on a free port and a folder of its own, and a small HTTP client for it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// The administrator's token of every daemon that tests start.
pub const TOKEN: &str = "test-token";
/// How long anything may take before a test gives up on it.
const DEADLINE: Duration = Duration::from_secs(30);

/// How to start a daemon.
#[derive(Clone)]
pub struct Setup {
    storage: PathBuf,
    environment: Vec<(String, String)>,
    /// How many files the daemon may have open.
    open_files: Option<u32>,
}

impl Setup {
    pub fn new(storage: &Path) -> Self {
        let environment = vec![
            ("TRACARDI__SERVER__LISTEN".into(), "127.0.0.1:0".into()),
            ("TRACARDI__ADMIN__TOKEN".into(), TOKEN.into()),
            ("TRACARDI__STORAGE__RESERVE_BYTES".into(), "0".into()),
        ];
        Self { storage: storage.to_owned(), environment, open_files: None }
    }

    /// Sets a setting (`server.listen`) or, by its own name, a variable of the environment.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        let name = match key.split_once('.') {
            Some((section, key)) => {
                format!("TRACARDI__{}__{}", section.to_uppercase(), key.to_uppercase().replace('.', "__"))
            }
            None => key.to_owned(),
        };
        self.environment.push((name, value.to_string()));
        self
    }

    /// Lets the daemon have so many files open.
    pub fn open_files(mut self, most: u32) -> Self {
        self.open_files = Some(most);
        self
    }

    /// The command that runs the binary with `arguments` on this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let binary = env!("CARGO_BIN_EXE_tracardi");
        let mut command = match self.open_files {
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\""), binary]);
                shell
            }
            None => Command::new(binary),
        };
        command.args(arguments).env("TRACARDI__STORAGE__PATH", &self.storage).current_dir(env!("CARGO_TARGET_TMPDIR"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the daemon and waits until it takes requests.
    pub fn start(&self) -> Daemon {
        self.try_start().unwrap_or_else(|(status, stderr)| panic!("the daemon ended with {status}: {stderr}"))
    }

    /// As [`Setup::start`]; what it said and how it ended if it did not start.
    pub fn try_start(&self) -> Result<Daemon, (ExitStatus, String)> {
        let (mut child, stderr) = self.spawn();
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let first = lines.next().and_then(Result::ok);
        let Some(address) = first.as_deref().and_then(|line| line.strip_prefix("listening on ")) else {
            let status = child.wait().expect("it is a child");
            assert_eq!(first, None, "a start that is refused says why, and nothing before");
            return Err((status, stderr.whole_text()));
        };
        let address = address.split_once("://").map_or(address, |(_, address)| address).to_owned();
        let stdout = Arc::new(Mutex::new(String::new()));
        std::thread::spawn({
            let stdout = stdout.clone();
            move || lines.map_while(Result::ok).for_each(|line| *stdout.lock().unwrap() += &format!("{line}\n"))
        });
        Ok(Daemon { child, address, stdout, stderr, setup: self.clone() })
    }

    /// Starts the daemon and kills it while it opens its store.
    pub fn start_and_kill(&self) {
        let (mut child, stderr) = self.spawn();
        wait_for("the store to be opened", || stderr.text().contains("opening the store").then_some(()));
        child.kill().expect("it is a child");
        child.wait().expect("it is a child");
        assert!(!stderr.whole_text().contains("panicked"), "{}", stderr.text());
    }

    /// Starts the daemon, expecting that it does not come up; returns how it ended and what it said.
    pub fn start_refused(&self) -> (ExitStatus, String) {
        self.try_start().map(|_| "it started").expect_err("it is to be refused")
    }

    fn spawn(&self) -> (Child, Collected) {
        let spawned = self.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.expect("the binary was built for this test");
        let stderr = collect(child.stderr.take().expect("it is piped"));
        (child, stderr)
    }
}

/// A daemon with the source `shop`, and the folder it keeps things in.
pub fn started() -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    (folder, daemon)
}

pub struct Daemon {
    child: Child,
    /// Where it listens first, without the scheme.
    pub address: String,
    stdout: Arc<Mutex<String>>,
    stderr: Collected,
    setup: Setup,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is gone; a child that nobody waited for yet is.
    pub fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, behind)| behind.trim_start().starts_with('Z'))
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, &[], b"")
    }

    pub fn admin(&self, method: &str, path: &str) -> Response {
        self.request(method, path, &[("Authorization", &format!("Bearer {TOKEN}"))], b"")
    }

    pub fn post_json(&self, path: &str, body: &str) -> Response {
        self.request("POST", path, &[("Content-Type", "application/json")], body.as_bytes())
    }

    pub fn track(&self, body: &Value) -> Response {
        self.post_json("/track", &body.to_string())
    }

    /// Sends a payload that must be taken; the answer.
    pub fn tracked(&self, body: &Value) -> Value {
        let response = self.track(body);
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    /// As [`Daemon::tracked`], as the administrator, who is told everything.
    pub fn tracked_by_admin(&self, body: &Value) -> Value {
        let response = self.post_admin("/track", body);
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()
    }

    /// Posts JSON as the administrator.
    pub fn post_admin(&self, path: &str, body: &Value) -> Response {
        let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/json")];
        self.request("POST", path, &headers, body.to_string().as_bytes())
    }

    /// Saves a source; its id.
    pub fn source(&self, body: &Value) -> String {
        let response = self.post_admin("/event-source", body);
        assert_eq!(response.status, 200, "{}", response.text());
        response.json()["ids"][0].as_str().expect("the source's id").to_owned()
    }

    /// Saves the source `shop`, of both types.
    pub fn shop(&self) -> String {
        self.source(&json!({"id": "shop", "name": "Shop", "type": ["rest", "webhook"]}))
    }

    /// The record that the path names; it must be there.
    pub fn record(&self, path: &str) -> Value {
        let response = self.admin("GET", path);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        response.json()
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_request(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        if method == "POST" || !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        self.try_raw(&[head.as_bytes(), b"\r\n", body].concat())
    }

    /// Sends bytes as they are and reads the answer.
    pub fn raw(&self, bytes: &[u8]) -> Response {
        self.try_raw(bytes).expect("an answer")
    }

    fn try_raw(&self, bytes: &[u8]) -> std::io::Result<Response> {
        let mut socket = self.connect()?;
        // A refusal may come, and the connection end, before everything is sent.
        let sent = socket.write_all(bytes);
        let head_only = bytes.starts_with(b"HEAD ");
        read_response(&mut BufReader::new(socket), head_only).or_else(|error| sent.and(Err(error)))
    }

    pub fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpStream::connect(&self.address)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        Ok(socket)
    }

    /// A connection that is kept for many requests.
    pub fn kept(&self) -> std::io::Result<Kept> {
        Ok(Kept { socket: BufReader::new(self.connect()?) })
    }

    /// Ends the process as a power switch would, but the machine goes on.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is a child");
        self.child.wait().expect("it is a child");
        self.assert_no_panic();
    }

    /// Ends the daemon in good order.
    pub fn stop(self) -> Setup {
        self.stop_with("TERM")
    }

    /// Ends the daemon in good order by a signal, within the ten seconds that it may take.
    pub fn stop_with(self, name: &str) -> Setup {
        let begun = Instant::now();
        signal(self.pid(), name);
        let setup = self.wait_ended();
        assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
        setup
    }

    /// Waits until the daemon has ended in good order, as somebody else asked it to.
    pub fn wait_ended(mut self) -> Setup {
        let status = wait_for("the daemon to end", || self.child.try_wait().expect("it is a child"));
        assert!(status.success(), "{status}: {}", self.stderr());
        self.assert_no_panic();
        self.setup.clone()
    }

    /// Everything that the ended process said, and no panic in it.
    fn assert_no_panic(&self) {
        let said = self.stderr.whole_text();
        assert!(!said.contains("panicked"), "{said}");
    }

    /// Ends the daemon in good order and starts it again.
    pub fn restart(self) -> Self {
        self.stop().start()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A connection for many requests.
pub struct Kept {
    socket: BufReader<TcpStream>,
}

impl Kept {
    pub fn post(&mut self, path: &str, body: &str) -> std::io::Result<Response> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.get_mut().write_all(head.as_bytes())?;
        read_response(&mut self.socket, false)
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Where the first fault of a 422 stands, in its `loc`.
    pub fn loc(&self) -> Value {
        self.json()["detail"][0]["loc"].clone()
    }
}

/// Reads an answer, and no more.
pub fn read_answer(socket: TcpStream) -> std::io::Result<Response> {
    read_response(&mut BufReader::new(socket), false)
}

fn read_response(socket: &mut BufReader<TcpStream>, head_only: bool) -> std::io::Result<Response> {
    let mut line = String::new();
    let mut status = 100;
    let mut headers = Vec::new();
    while status == 100 {
        line.clear();
        socket.read_line(&mut line)?;
        let word = line.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        status = word.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        headers.clear();
        loop {
            line.clear();
            socket.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    let mut response = Response { status, headers, body: Vec::new() };
    let length = response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if head_only {
        return Ok(response);
    }
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = read_chunks(socket)?;
    } else {
        response.body = vec![0; length];
        socket.read_exact(&mut response.body)?;
    }
    Ok(response)
}

/// The pieces of an answer whose length was not known when it began (RFC 9112, section 7.1).
fn read_chunks(socket: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        socket.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
        let from = body.len();
        body.resize(from + length, 0);
        socket.read_exact(&mut body[from..])?;
        socket.read_exact(&mut [0; 2])?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// What a pipe brings, gathered as it comes.
#[derive(Clone, Default)]
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Arc<AtomicBool>,
}

impl Collected {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Everything that came, once the pipe is closed.
    fn whole_text(&self) -> String {
        wait_for("the end of the pipe", || self.ended.load(Ordering::Acquire).then_some(()));
        self.text()
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let collected = Collected::default();
    std::thread::spawn({
        let collected = collected.clone();
        move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                collected.bytes.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
            collected.ended.store(true, Ordering::Release);
        }
    });
    collected
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill is there");
    assert!(sent.success());
}

/// Waits until `what` is there, at most for the deadline.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
