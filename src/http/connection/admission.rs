//! Who is let in: so many connections at a time, of which one address has a part.
//!
//! When there are as many as there may be, the connection that rested longest is asked to leave, and a new one has its
//! place. A connection rests while no request is under way; one whose request's head is not whole yet rests too, since
//! it began to wait for it: else whoever sends a byte now and then would hold places against everybody. From the head's
//! end to the answer's a connection is never asked to leave.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::activity::Activity;
use crate::{count::Counter, metrics::ConnectionFigures};

/// A client that was answered, or let in, less than this ago is about to ask.
const REST_MIN: Duration = Duration::from_millis(100);
/// How many connections that were asked to leave may still be there: one of them may have got a request in between.
const LEAVING_MAX: usize = 64;
/// How many that rest are found in one look through all.
const FOUND_MAX: usize = 64;
/// More connections than this are looked through only so often: a crowd at the door must not cost more than it gets.
const LOOKED_THROUGH_FREELY: usize = 1_024;
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There are as many as there may be.
    All,
    /// There are as many of this address.
    Address,
}

pub struct Admission {
    connections_max: usize,
    per_address_max: usize,
    /// Through these come the connections of many.
    proxies: Vec<IpNet>,
    table: Mutex<Table>,
    empty: Notify,
    refused_all: Counter,
    refused_address: Counter,
}

/// A connection's place; free once it is dropped.
pub struct Place {
    admission: Arc<Admission>,
    activity: Arc<Activity>,
    name: Name,
}

/// A connection's name in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    address: IpAddr,
    number: u64,
}

#[derive(Default)]
struct Table {
    addresses: HashMap<IpAddr, Members>,
    /// How many there are, without those that are asked to leave.
    staying: usize,
    leaving: usize,
    numbers: u64,
    resting: Resting,
}

/// The connections of an address.
#[derive(Default)]
struct Members {
    connections: HashMap<u64, Member>,
    staying: usize,
    resting: Resting,
}

struct Member {
    activity: Arc<Activity>,
    leaves: bool,
}

/// Connections that rested longest when all were looked through, the longest last. As long as one of them still rests
/// since then, no other can have rested longer.
#[derive(Default)]
struct Resting {
    found: Vec<(Instant, Name)>,
    looked: Option<Instant>,
}

impl Admission {
    /// `per_address_max` counts up to half of all: however few these are, one address never has them.
    pub fn new(connections_max: usize, per_address_max: usize, proxies: Vec<IpNet>) -> Self {
        let per_address_max = per_address_max.min((connections_max / 2).max(1));
        Self {
            connections_max,
            per_address_max,
            proxies,
            table: Mutex::default(),
            empty: Notify::new(),
            refused_all: Counter::default(),
            refused_address: Counter::default(),
        }
    }

    /// A place for a connection from `peer`; where all are taken, the one that rested longest leaves.
    ///
    /// # Errors
    /// There is no place, and none that rests.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Refused> {
        let admitted = self.admit_at(peer, Instant::now());
        match admitted {
            Ok(_) => {}
            Err(Refused::All) => self.refused_all.increment(),
            Err(Refused::Address) => self.refused_address.increment(),
        }
        admitted
    }

    pub fn figures(&self) -> ConnectionFigures {
        let open = {
            let table = self.table.lock();
            table.staying + table.leaving
        };
        ConnectionFigures { open, refused_all: self.refused_all.get(), refused_address: self.refused_address.get() }
    }

    fn admit_at(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Place, Refused> {
        let (peer, address) = (peer.to_canonical(), network(peer));
        let mut table = self.table.lock();
        if !self.is_of_many(peer)
            && table.addresses.get(&address).is_some_and(|members| members.staying >= self.per_address_max)
            && !table.make_room_at(address, now)
        {
            return Err(Refused::Address);
        }
        if table.staying >= self.connections_max && !table.make_room(now) {
            return Err(Refused::All);
        }
        let name = Name { address, number: table.numbers };
        table.numbers += 1;
        table.staying += 1;
        let activity = Arc::new(Activity::new());
        let members = table.addresses.entry(address).or_default();
        members.staying += 1;
        members.connections.insert(name.number, Member { activity: activity.clone(), leaves: false });
        Ok(Place { admission: self.clone(), activity, name })
    }

    /// Whether many may come from this address: a proxy's, and the machine's own, where a proxy mostly is.
    fn is_of_many(&self, peer: IpAddr) -> bool {
        peer.is_loopback() || self.proxies.iter().any(|net| net.contains(&peer))
    }

    /// Asks all connections to end, and waits until they have.
    pub async fn finish_all(&self) {
        for members in self.table.lock().addresses.values() {
            members.connections.values().for_each(|member| member.activity.ask_to_leave());
        }
        while !self.table.lock().addresses.is_empty() {
            self.empty.notified().await;
        }
    }
}

impl Place {
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only there if the process ends meanwhile; it holds on to the activity that holds it.
        drop(self.activity.take_unfinished());
        let mut table = self.admission.table.lock();
        table.remove(self.name);
        if table.addresses.is_empty() {
            self.admission.empty.notify_one();
        }
    }
}

impl Table {
    /// Asks the one that rested longest to leave; whether there is one.
    fn make_room(&mut self, now: Instant) -> bool {
        let Self { addresses, resting, staying, .. } = self;
        let all = || {
            addresses.iter().flat_map(|(address, members)| {
                members.connections.iter().map(|(number, member)| (Name { address: *address, number: *number }, member))
            })
        };
        let of_name = |name: &Name| addresses.get(&name.address)?.connections.get(&name.number);
        let found = if self.leaving < LEAVING_MAX { resting.longest(of_name, all, *staying, now) } else { None };
        found.is_some_and(|name| self.ask_to_leave(name))
    }

    /// The same among the connections of an address.
    fn make_room_at(&mut self, address: IpAddr, now: Instant) -> bool {
        let Some(Members { connections, resting, staying }) = self.addresses.get_mut(&address) else { return false };
        let all = || connections.iter().map(|(number, member)| (Name { address, number: *number }, member));
        let of_name = |name: &Name| connections.get(&name.number);
        let found = if self.leaving < LEAVING_MAX { resting.longest(of_name, all, *staying, now) } else { None };
        found.is_some_and(|name| self.ask_to_leave(name))
    }

    fn ask_to_leave(&mut self, name: Name) -> bool {
        let Some(members) = self.addresses.get_mut(&name.address) else { return false };
        let Some(member) = members.connections.get_mut(&name.number) else { return false };
        member.leaves = true;
        member.activity.ask_to_leave();
        members.staying -= 1;
        self.staying -= 1;
        self.leaving += 1;
        true
    }

    fn remove(&mut self, name: Name) {
        let Some(members) = self.addresses.get_mut(&name.address) else { return };
        let Some(member) = members.connections.remove(&name.number) else { return };
        if member.leaves {
            self.leaving -= 1;
        } else {
            members.staying -= 1;
            self.staying -= 1;
        }
        if members.connections.is_empty() {
            self.addresses.remove(&name.address);
        }
    }
}

impl Resting {
    /// The connection that rested longest, if one rests long enough.
    fn longest<'a, All: Iterator<Item = (Name, &'a Member)>>(
        &mut self,
        of_name: impl Fn(&Name) -> Option<&'a Member>,
        all: impl Fn() -> All,
        count: usize,
        now: Instant,
    ) -> Option<Name> {
        if let Some(name) = self.next_found(&of_name) {
            return Some(name);
        }
        let looked_just_now = self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_PAUSE);
        if looked_just_now && count > LOOKED_THROUGH_FREELY {
            return None;
        }
        self.looked = Some(now);
        let mut longest = BinaryHeap::with_capacity(FOUND_MAX + 1); // the one that rested least of them on top
        for (name, member) in all() {
            let Some(since) = member.activity.rests_since() else { continue };
            if now.saturating_duration_since(since) < REST_MIN {
                continue;
            }
            longest.push((since, name));
            if longest.len() > FOUND_MAX {
                longest.pop();
            }
        }
        self.found = longest.into_iter().collect();
        self.found.sort_unstable_by_key(|found| Reverse(*found));
        self.next_found(&of_name)
    }

    /// The next of those found that has rested ever since.
    fn next_found<'a>(&mut self, of_name: impl Fn(&Name) -> Option<&'a Member>) -> Option<Name> {
        while let Some((since, name)) = self.found.pop() {
            if of_name(&name).is_some_and(|member| member.activity.rests_since() == Some(since)) {
                return Some(name);
            }
        }
        None
    }
}

/// What counts as one address: of IPv6 the network of 64 bits, all of which one client may have.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections_max: usize, per_address_max: usize) -> Arc<Admission> {
        Arc::new(Admission::new(connections_max, per_address_max, vec!["10.0.0.0/8".parse().unwrap()]))
    }

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    /// A moment at which everything that began until now has rested long enough.
    fn later() -> Instant {
        Instant::now() + REST_MIN + Duration::from_millis(20)
    }

    fn was_asked(place: &Place) -> bool {
        place.activity.was_asked_to_leave()
    }

    #[test]
    fn one_address_has_a_part_of_the_connections() {
        let admission = admission(100, 2);
        let others = ["198.51.100.7", "127.0.0.1", "::1", "10.1.2.3"];
        let now = Instant::now();
        let _kept =
            [admission.admit_at(ip("192.0.2.1"), now).unwrap(), admission.admit_at(ip("192.0.2.1"), now).unwrap()];
        assert_eq!(admission.admit_at(ip("192.0.2.1"), now).err(), Some(Refused::Address));
        assert_eq!(admission.admit_at(ip("::ffff:192.0.2.1"), now).err(), Some(Refused::Address));
        assert!(others.iter().all(|other| admission.admit_at(ip(other), now).is_ok()));
        let _of_many: Vec<_> = (0..9).map(|_| admission.admit_at(ip("127.0.0.1"), now).unwrap()).collect();
        let _of_proxy: Vec<_> = (0..9).map(|_| admission.admit_at(ip("::ffff:10.9.9.9"), now).unwrap()).collect();
        // A client may have all of a network.
        let _v6 = ["2001:db8::1", "2001:db8::2:1"].map(|it| admission.admit_at(ip(it), now).unwrap());
        assert_eq!(admission.admit_at(ip("2001:db8::3"), now).err(), Some(Refused::Address));
        assert!(admission.admit_at(ip("2001:db8:0:1::1"), now).is_ok());
    }

    #[test]
    fn one_address_never_has_more_than_half_of_the_connections() {
        for (connections_max, part) in [(1, 1), (3, 1), (10, 5)] {
            let admission = admission(connections_max, 1_000);
            let now = Instant::now();
            let kept: Vec<_> = (0..part).map(|_| admission.admit_at(ip("192.0.2.1"), now).unwrap()).collect();
            assert_eq!(admission.admit_at(ip("192.0.2.1"), now).err(), Some(Refused::Address));
            assert_eq!(admission.admit_at(ip("192.0.2.2"), now).is_ok(), connections_max > 1);
            drop(kept);
        }
    }

    #[test]
    fn an_address_s_own_resting_connection_leaves_for_its_new_one() {
        let admission = admission(100, 2);
        let other = admission.admit(ip("198.51.100.7")).unwrap();
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let busy = admission.admit(ip("192.0.2.1")).unwrap();
        busy.activity.request_begins(false);
        let third = admission.admit_at(ip("192.0.2.1"), later()).unwrap();
        assert_eq!(
            [&other, &first, &busy, &third].map(was_asked),
            [false, true, false, false],
            "busy ones do not rest"
        );
        third.activity.request_begins(false);
        assert_eq!(admission.admit_at(ip("192.0.2.1"), later()).err(), Some(Refused::Address));
        drop(busy);
        assert!(admission.admit_at(ip("192.0.2.1"), later()).is_ok(), "its place is free");
    }

    #[test]
    fn the_one_that_rested_longest_leaves() {
        let admission = admission(3, 3);
        let places = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|it| admission.admit(ip(it)).unwrap());
        // The first is answered last, the second has begun to send a head, the third has a request under way.
        places[1].activity.head_begins();
        places[2].activity.request_begins(true);
        places[0].activity.answer_ends(Instant::now() + Duration::from_millis(10));
        assert_eq!(admission.admit(ip("192.0.2.4")).err(), Some(Refused::All), "nobody has rested long enough");
        let fourth = admission.admit_at(ip("192.0.2.4"), later()).unwrap();
        assert!(was_asked(&places[1]) && !was_asked(&places[0]));
        fourth.activity.request_begins(false);
        let fifth = admission.admit_at(ip("192.0.2.5"), later()).unwrap();
        assert!(was_asked(&places[0]));
        fifth.activity.request_begins(false);
        assert_eq!(admission.admit_at(ip("192.0.2.6"), later()).err(), Some(Refused::All));
    }

    #[test]
    fn who_was_found_resting_and_has_asked_since_stays() {
        let admission = admission(3, 3);
        let places: Vec<_> = (0..3).map(|_| admission.admit(ip("127.0.0.1")).unwrap()).collect();
        let _fourth = admission.admit_at(ip("127.0.0.1"), later()).unwrap();
        let asked: Vec<_> = places.iter().filter(|place| was_asked(place)).collect();
        assert_eq!(asked.len(), 1);
        let stays = places.iter().find(|place| !was_asked(place)).unwrap();
        stays.activity.request_begins(false);
        _ = admission.admit_at(ip("127.0.0.1"), later());
        stays.activity.answer_ends(later());
        assert!(!was_asked(stays));
    }

    #[test]
    fn only_so_many_may_be_leaving() {
        let admission = admission(LEAVING_MAX, LEAVING_MAX);
        let crowd = || -> Vec<_> { (0..LEAVING_MAX).map(|_| admission.admit_at(ip("127.0.0.1"), later())).collect() };
        let (first, second) = (crowd(), crowd());
        assert!(first.iter().chain(&second).all(Result::is_ok));
        assert_eq!(admission.admit_at(ip("127.0.0.1"), later()).err(), Some(Refused::All));
        drop(first);
        assert!(admission.admit_at(ip("127.0.0.1"), later()).is_ok());
    }

    #[tokio::test]
    async fn the_end_waits_for_every_place() {
        let admission = admission(3, 3);
        let place = admission.admit(ip("192.0.2.1")).unwrap();
        let ends = tokio::spawn({
            let admission = admission.clone();
            async move { admission.finish_all().await }
        });
        place.activity.asked_to_leave().await;
        assert!(!ends.is_finished());
        drop(place);
        ends.await.unwrap();
    }
}
