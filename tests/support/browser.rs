//! A real browser: Debian's Chromium, told what to do by ChromeDriver over the WebDriver protocol (W3C), of which a test
//! needs a few calls.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use super::daemon::{read_answer, wait_for};

/// The key under which WebDriver tells of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// As root, and without asking hosts that a test has no business with.
const ARGUMENTS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost , EXCLUDE *.localhost",
];

/// A window of a browser of its own: it knows nothing of what others stored.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    _folder: tempfile::TempDir,
}

pub struct Element<'a> {
    browser: &'a Browser,
    id: String,
}

impl Browser {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments of Chromium's.
    pub fn start_with(more: &[&str]) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there (Debian: package chromium-driver)");
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            line.split_once("started successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        let address = format!("127.0.0.1:{}", port.expect("chromedriver tells its port"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let profile = format!("--user-data-dir={}", folder.path().display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain(more.iter().copied()).chain([&*profile]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver, address, session: String::new(), _folder: folder };
        let session = browser.send("POST", "/session", Some(&wanted)).expect("a browser");
        browser.session = session["sessionId"].as_str().expect("its id").to_owned();
        browser
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        self.send(method, &format!("/session/{}{path}", self.session), body.as_ref())
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let body = body.map_or_else(|| if method == "POST" { "{}".into() } else { String::new() }, Value::to_string);
        let mut socket = TcpStream::connect(&self.address).map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(CALL_LIMIT)).map_err(|error| error.to_string())?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.address,
            body.len()
        );
        socket.write_all(format!("{head}{body}").as_bytes()).map_err(|error| error.to_string())?;
        let answer = read_answer(socket).map_err(|error| error.to_string())?.json();
        match answer["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", answer["value"]["message"])),
            None => Ok(answer["value"].clone()),
        }
    }

    pub fn open(&self, url: &str) {
        self.call("POST", "/url", Some(json!({ "url": url }))).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    pub fn url(&self) -> String {
        self.call("GET", "/url", None).expect("an address").as_str().unwrap_or_default().to_owned()
    }

    pub fn title(&self) -> String {
        self.call("GET", "/title", None).expect("a title").as_str().unwrap_or_default().to_owned()
    }

    pub fn back(&self) {
        self.call("POST", "/back", None).expect("there is a page before");
    }

    /// What a script's `return` gives; a promise is waited for.
    pub fn run(&self, script: &str) -> Value {
        self.try_run(script).unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    pub fn try_run(&self, script: &str) -> Result<Value, String> {
        self.call("POST", "/execute/sync", Some(json!({ "script": script, "args": [] })))
    }

    /// The first element that a CSS selector finds, once there is one.
    pub fn find(&self, selector: &str) -> Element<'_> {
        wait_for(selector, || self.try_find(selector))
    }

    pub fn try_find(&self, selector: &str) -> Option<Element<'_>> {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.call("POST", "/element", Some(by)).ok()?;
        Some(Element { browser: self, id: found[ELEMENT].as_str()?.to_owned() })
    }

    /// What the first element that a CSS selector finds says, once there is one that stays.
    pub fn text_of(&self, selector: &str) -> String {
        wait_for(selector, || self.try_find(selector)?.text())
    }

    /// What the page says to who reads it.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page says `text`.
    pub fn wait_for_text(&self, text: &str) {
        // Between two pages there is no text to be had.
        let said = || self.try_run("return document.body.innerText").ok();
        wait_for(text, || said()?.as_str()?.contains(text).then_some(()));
    }

    /// Presses keys where the focus is.
    pub fn press(&self, keys: &str) {
        let key = |kind: &'static str| move |key: char| json!({ "type": kind, "value": key.to_string() });
        let actions: Vec<Value> =
            keys.chars().flat_map(|pressed| [key("keyDown")(pressed), key("keyUp")(pressed)]).collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.call("POST", "/actions", Some(keyboard)).expect("keys are pressed");
    }

    /// The window's size in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Whether pages are asked to be dark.
    pub fn dark(&self, is_dark: bool) {
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Whether the browser has a network.
    pub fn network(&self, is_there: bool) {
        let conditions = json!({ "network_conditions": {
            "offline": !is_there, "latency": 0, "throughput": 100_000_000,
        } });
        self.call("POST", "/chromium/network_conditions", Some(conditions)).expect("the network is set");
    }

    /// Calls Chromium's own protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.call("POST", "/goog/cdp/execute", Some(body)).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// What pages wrote to the console since it was last asked for.
    pub fn console(&self) -> Vec<String> {
        let log = self.call("POST", "/se/log", Some(json!({ "type": "browser" }))).expect("a log");
        let lines = log.as_array().into_iter().flatten();
        lines.filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
    }

    /// A picture of the page, as PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let picture = self.call("GET", "/screenshot", None).expect("a picture");
        BASE64_STANDARD.decode(picture.as_str().unwrap_or_default()).expect("base64")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.call("DELETE", "", None);
        _ = self.driver.kill();
        _ = self.driver.wait();
    }
}

impl Element<'_> {
    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        self.browser.call(method, &format!("/element/{}{path}", self.id), body)
    }

    pub fn click(&self) {
        self.call("POST", "/click", None).expect("it can be clicked");
    }

    /// What it says; `None`: the page is another one by now.
    pub fn text(&self) -> Option<String> {
        Some(self.call("GET", "/text", None).ok()?.as_str()?.to_owned())
    }

    pub fn attribute(&self, name: &str) -> Option<String> {
        self.call("GET", &format!("/attribute/{name}"), None).ok()?.as_str().map(str::to_owned)
    }

    /// Writes over what a field holds.
    pub fn fill(&self, text: &str) {
        self.call("POST", "/clear", None).expect("it is a field");
        self.type_in(text);
    }

    pub fn type_in(&self, text: &str) {
        self.call("POST", "/value", Some(json!({ "text": text }))).expect("it is a field");
    }
}
