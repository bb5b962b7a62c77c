//! Names to addresses: from /etc/hosts, then from name servers, without a thread that waits for them.
//!
//! A name server that does not answer costs those who ask for the names that it should know, and nobody else: a name is
//! asked for once at a time, however many wait for it, and no more than [`NAMES_MAX`] at once.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{
        ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
        ServerOrderingStrategy,
    },
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::Query,
        rr::{Name, RecordType},
    },
    system_conf::parse_resolv_conf,
};
use parking_lot::Mutex;
use tokio::sync::watch;

/// How long a name is asked for at all; whoever waits may give up earlier.
const RESOLVE_TIME_MAX: Duration = Duration::from_secs(10);
/// How many names are asked for at a time.
const NAMES_MAX: usize = 128;
/// How often it is looked whether the system's files have changed.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// What is read of a file of the system.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How many answers of name servers are remembered, and how long an answer that there is no such name: who has just
/// made an entry wants to see it.
const CACHED_MAX: u64 = 1_000;
const NEGATIVE_TIME_MAX: Duration = Duration::from_secs(10);

/// A name's addresses, or why there are none, for people.
type Found = Result<Arc<[IpAddr]>, String>;
/// The names that are being asked for, with where each one's answer will be.
type UnderWay = Arc<Mutex<HashMap<Box<str>, watch::Receiver<Option<Found>>>>>;

/// Finds the addresses of names.
pub struct Resolver {
    hosts: PathBuf,
    /// `None`: `servers` are asked.
    resolv_conf: Option<PathBuf>,
    servers: Vec<SocketAddr>,
    time_max: Duration,
    system: Mutex<Option<System>>,
    under_way: UnderWay,
}

/// What the system's files said when they were read last.
#[derive(Clone)]
struct System {
    looked: Instant,
    states: [Option<(SystemTime, u64)>; 2],
    hosts: Arc<Hosts>,
    servers: TokioResolver,
}

impl Resolver {
    /// Asks `servers`; if there are none, those that the system asks.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self::reading("/etc/hosts".into(), servers, RESOLVE_TIME_MAX)
    }

    fn reading(hosts: PathBuf, servers: Vec<SocketAddr>, time_max: Duration) -> Self {
        let resolv_conf = servers.is_empty().then(|| "/etc/resolv.conf".into());
        Self { hosts, resolv_conf, servers, time_max, system: Mutex::default(), under_way: UnderWay::default() }
    }

    /// The addresses of `name`. Needs a tokio runtime.
    ///
    /// # Errors
    /// There is no such name, nobody answers in time, or too many names are being asked for; the message says which.
    pub async fn addresses(&self, name: &str) -> Found {
        let system = self.system()?;
        let parsed = Name::from_str_relaxed(name).map_err(|_| format!("{name} is no name of a host"))?;
        if let Some(found) = system.in_hosts(&parsed) {
            return Ok(found);
        }
        let mut answer = self.ask(name, parsed, system.servers)?;
        let answer = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        answer.unwrap_or_else(|| Err(format!("{name} cannot be resolved")))
    }

    /// Asks the name servers, unless they are being asked for the same name already. The question is followed to its
    /// end also if nobody waits any more: then the answer is known to whoever asks next.
    fn ask(&self, name: &str, parsed: Name, servers: TokioResolver) -> Result<watch::Receiver<Option<Found>>, String> {
        let mut under_way = self.under_way.lock();
        if let Some(answer) = under_way.get(name) {
            return Ok(answer.clone());
        }
        if under_way.len() >= NAMES_MAX {
            return Err(format!("{NAMES_MAX} other names are being looked up"));
        }
        let (tell, answer) = watch::channel(None);
        under_way.insert(name.into(), answer.clone());
        let asked = Asked { name: name.into(), under_way: self.under_way.clone() };
        let time_max = self.time_max;
        tokio::spawn(async move {
            let found = tokio::time::timeout(time_max, servers.lookup_ip(parsed)).await;
            let found = match found.unwrap_or(Err(NetError::Timeout)) {
                Ok(found) => Ok(found.iter().collect()),
                Err(error) if error.is_nx_domain() || error.is_no_records_found() => {
                    Err(format!("the name servers do not know {}", asked.name))
                }
                Err(NetError::Timeout) => Err(format!("no name server answered for {}", asked.name)),
                Err(error) => Err(format!("the name servers did not tell about {}: {error}", asked.name)),
            };
            tell.send_replace(Some(found));
        });
        Ok(answer)
    }

    /// What the system's files say, as they are now or were a moment ago. They are small and on the machine's own disk:
    /// reading them is no work for another thread.
    fn system(&self) -> Result<System, String> {
        let mut known = self.system.lock();
        if let Some(system) = &*known
            && system.looked.elapsed() < LOOK_AGAIN
        {
            return Ok(system.clone());
        }
        let states = [Some(&self.hosts), self.resolv_conf.as_ref()].map(|file| {
            let metadata = fs::metadata(file?).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        });
        let system = match known.take() {
            Some(system) if system.states == states => System { looked: Instant::now(), ..system },
            _ => self.read(states).map_err(|error| format!("no name server can be asked: {error}"))?,
        };
        *known = Some(system.clone());
        Ok(system)
    }

    fn read(&self, states: [Option<(SystemTime, u64)>; 2]) -> Result<System, NetError> {
        let mut hosts = Hosts::default();
        if let Ok(file) = File::open(&self.hosts) {
            _ = hosts.read_hosts_conf(file.take(FILE_BYTES_MAX));
        }
        let (config, mut options) = match &self.resolv_conf {
            // As every program does that finds no name server there.
            Some(path) => read_resolv_conf(path)
                .unwrap_or_else(|| (in_order([SocketAddr::from((Ipv4Addr::LOCALHOST, 53))]), ResolverOpts::default())),
            None => (in_order(self.servers.iter().copied()), ResolverOpts::default()),
        };
        options.cache_size = CACHED_MAX;
        options.negative_max_ttl = Some(NEGATIVE_TIME_MAX);
        options.use_hosts_file = ResolveHosts::Never; // it was looked at before, for both kinds of addresses at once
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        Ok(System { looked: Instant::now(), states, hosts: Arc::new(hosts), servers: builder.build()? })
    }
}

impl System {
    fn in_hosts(&self, name: &Name) -> Option<Arc<[IpAddr]>> {
        let found: Arc<[IpAddr]> = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind)))
            .flat_map(|found| found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
            .collect();
        (!found.is_empty()).then_some(found)
    }
}

/// A name that is being asked for; dropped, it may be asked for again, however the question ended.
struct Asked {
    name: Box<str>,
    under_way: UnderWay,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.name);
    }
}

/// `None`: it is not there, or names no server.
fn read_resolv_conf(path: &Path) -> Option<(ResolverConfig, ResolverOpts)> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    parse_resolv_conf(&bytes).ok()
}

fn in_order(servers: impl IntoIterator<Item = SocketAddr>) -> ResolverConfig {
    let servers = servers.into_iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    ResolverConfig::from_name_servers(servers.collect())
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;

    async fn silent_server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn the_hosts_file_comes_first_and_counts_as_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        fs::write(&hosts, "10.1.2.3 crm.example Crm # ours\n10.1.2.4 crm.example\nfd00::1 crm.example\n").unwrap();
        let (_silent, server) = silent_server().await;
        let resolver = Resolver::reading(hosts.clone(), vec![server], RESOLVE_TIME_MAX);
        let found = |text: &str| text.parse::<IpAddr>().unwrap();
        let crm = resolver.addresses("CRM.example").await.unwrap();
        assert_eq!(*crm, [found("10.1.2.3"), found("10.1.2.4"), found("fd00::1")]);
        assert_eq!(*resolver.addresses("crm").await.unwrap(), [found("10.1.2.3")]);
        fs::write(&hosts, "10.9.9.9 crm.example\n").unwrap();
        resolver.system.lock().as_mut().unwrap().looked -= LOOK_AGAIN;
        assert_eq!(*resolver.addresses("crm.example").await.unwrap(), [found("10.9.9.9")]);
        assert!(resolver.addresses("localhost").await.unwrap().contains(&found("127.0.0.1")), "it needs no server");
        assert!(resolver.addresses("not a name..").await.unwrap_err().contains("no name"));
    }

    #[tokio::test]
    async fn a_name_is_asked_for_once_at_a_time_and_not_too_many_are() {
        let (silent, server) = silent_server().await;
        let resolver = Arc::new(Resolver::reading("/nowhere".into(), vec![server], RESOLVE_TIME_MAX));
        let ask = |name: String| {
            let resolver = resolver.clone();
            tokio::spawn(async move { resolver.addresses(&name).await })
        };
        let waiting: Vec<_> = (0..20).map(|_| ask("dead.example".into())).collect();
        let mut bytes = [0; 512];
        silent.recv(&mut bytes).await.unwrap(); // it is asked
        assert_eq!(resolver.under_way.lock().len(), 1);
        for number in 1..NAMES_MAX {
            ask(format!("n{number}.example"));
        }
        while resolver.under_way.lock().len() < NAMES_MAX {
            tokio::task::yield_now().await;
        }
        let refused = resolver.addresses("one.more.example").await.unwrap_err();
        assert!(refused.contains("other names"), "{refused}");
        // Who gave up leaves the question under way, for whoever asks next.
        waiting.iter().for_each(tokio::task::JoinHandle::abort);
        assert!(resolver.under_way.lock().contains_key("dead.example"));
    }

    #[tokio::test]
    async fn a_name_that_could_not_be_resolved_can_be_asked_for_again() {
        let (_silent, server) = silent_server().await;
        let resolver = Resolver::reading("/nowhere".into(), vec![server], Duration::from_millis(20));
        for _ in 0..2 {
            let error = resolver.addresses("dead.example").await.unwrap_err();
            assert_eq!(error, "no name server answered for dead.example");
            while !resolver.under_way.lock().is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
}
