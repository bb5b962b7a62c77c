//! A server under measurement: a child process that says where it listens, what it uses, and that never outlives the
//! benchmark.

use super::Result;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const CONTROL_LIMIT: Duration = Duration::from_secs(5);
const LISTENING: &str = "listening on http://";
pub const ADMIN_TOKEN: &str = "bench-token";
/// The unit of the times in /proc: fixed on Linux, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// What a process has used so far and holds now.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub resident_bytes_max: u64,
}

/// The daemon on a free port, with `storage` as its store; its standard error goes to `log`.
pub fn start_daemon(program: &Path, storage: &Path, log: &Path) -> Result<Server> {
    start_daemon_with(program, storage, log, &[])
}

/// As [`start_daemon`], with settings as variables of the environment.
pub fn start_daemon_with(program: &Path, storage: &Path, log: &Path, settings: &[(&str, &str)]) -> Result<Server> {
    let mut command = Command::new(program);
    command
        .arg("serve")
        .current_dir(storage)
        .env_remove("TRACARDI_BIN")
        .env("TRACARDI__SERVER__LISTEN", "127.0.0.1:0")
        .env("TRACARDI__STORAGE__PATH", storage)
        .env("TRACARDI__ADMIN__TOKEN", ADMIN_TOKEN)
        .envs(settings.iter().copied())
        .stderr(File::create(log)?);
    Server::start(command)
}

impl Server {
    /// Runs `command` and waits until it says on its standard output where it listens.
    #[expect(unsafe_code, reason = "a server must not outlive the benchmark")]
    pub fn start(mut command: Command) -> Result<Server> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: the closure makes one system call and touches no memory of the parent, which is all that is allowed
        // between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let mut child = command.spawn()?;
        let output = child.stdout.take().expect("standard output is piped");
        let mut server = Server { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let (found, waiting) = mpsc::channel();
        // Reads to the end: a child whose output nobody takes would stop at a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(|line| line.ok()) {
                if let Some((_, address)) = line.split_once(LISTENING) {
                    let _ = found.send(address.split('/').next().unwrap_or_default().trim().to_owned());
                }
            }
        });
        let address = waiting.recv_timeout(START_LIMIT).map_err(|_| "it never said where it listens")?;
        server.address = address.parse().map_err(|_| format!("it listens at {address}, which is no address"))?;
        if !server.address.ip().is_loopback() {
            return Err(format!("it listens at {address}: the benchmark speaks to this machine alone").into());
        }
        Ok(server)
    }

    /// Asks until the answer is 200.
    pub fn wait_for(&self, path: &str) -> Result<()> {
        let give_up = Instant::now() + START_LIMIT;
        loop {
            match self.ask("GET", path, "") {
                Ok(200) => return Ok(()),
                Ok(status) if Instant::now() > give_up => return Err(format!("{path} still answers {status}").into()),
                Err(error) if Instant::now() > give_up => return Err(error),
                _ => thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    pub fn register_source(&self, id: &str) -> Result<()> {
        let source = format!(r#"{{"id":"{id}","name":"{id}","type":["rest","webhook"]}}"#);
        match self.ask("POST", "/event-source", &source)? {
            200 => Ok(()),
            status => Err(format!("registering the source was answered {status}").into()),
        }
    }

    /// Sets up what a configuration says.
    pub fn configure(&self, configuration: &str) -> Result<()> {
        match self.ask("POST", "/configuration", configuration)? {
            200 => Ok(()),
            status => Err(format!("the configuration was answered {status}").into()),
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<u16> {
        let mut stream = TcpStream::connect_timeout(&self.address, CONTROL_LIMIT)?;
        stream.set_read_timeout(Some(CONTROL_LIMIT))?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        status.ok_or_else(|| format!("{path} was answered without a status").into())
    }

    pub fn usage(&self) -> Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let bytes = |key: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Ok(Usage {
            cpu_seconds: cpu_seconds(&self.child.id().to_string())?,
            resident_bytes: bytes("VmRSS:").ok_or("the process shows no VmRSS: it has ended")?,
            resident_bytes_max: bytes("VmHWM:").ok_or("the process shows no VmHWM: it has ended")?,
        })
    }

    /// Asks the process to end and returns how long it took. Any other end than with success is an error.
    pub fn stop(mut self) -> Result<Duration> {
        let asked = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(asked.elapsed()),
                Some(status) => return Err(format!("the daemon ended with {status} when asked to stop").into()),
                None if asked.elapsed() > STOP_LIMIT => return Err("the daemon does not stop".into()),
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the process has ended and was waited for, as after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time that this process, which is the load generator, has used.
pub fn own_cpu_seconds() -> Result<f64> {
    cpu_seconds("self")
}

/// The processor time that everything on this machine has used, on all cores together.
pub fn machine_cpu_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    // "cpu", then user, nice, system, idle, iowait, irq, softirq and steal; the guests after it are counted in user.
    let ticks: Vec<f64> = stat.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, nice, system, _idle, _iowait, irq, softirq, steal] => {
            Ok((user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND)
        }
        _ => Err("/proc/stat without times".into()),
    }
}

fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the program's name in parentheses and may hold anything; user and system time are 14 and 15.
    let after_name = stat.rsplit_once(')').ok_or("/proc/PID/stat without a name")?.1;
    let ticks: Vec<f64> =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err("/proc/PID/stat without times".into()),
    }
}
