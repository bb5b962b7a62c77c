//! How often an address tried a wrong password.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::http::failure::Failure;

/// How many wrong passwords an address may try in a minute.
const TRIES_MAX: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// How many addresses are kept in mind; then those of the earliest minute are forgotten.
const ADDRESSES_MAX: usize = 10_000;

/// Wrong tries by address, within a minute from the first of them.
#[derive(Default)]
pub struct Tries(Mutex<HashMap<IpAddr, (Instant, u32)>>);

impl Tries {
    /// # Errors
    /// The address tried too often: in how many seconds it may again.
    pub fn check(&self, address: IpAddr) -> Result<(), Failure> {
        let tries = self.0.lock();
        let Some((begun, count)) = tries.get(&network(address)) else { return Ok(()) };
        let left = MINUTE.saturating_sub(begun.elapsed());
        if *count < TRIES_MAX || left.is_zero() { Ok(()) } else { Err(Failure::TooManyTries(left.as_secs() + 1)) }
    }

    pub fn note(&self, address: IpAddr) {
        let mut tries = self.0.lock();
        if tries.len() >= ADDRESSES_MAX {
            tries.retain(|_, (begun, _)| begun.elapsed() < MINUTE);
        }
        if tries.len() >= ADDRESSES_MAX
            && let Some(earliest) = tries.iter().min_by_key(|(_, (begun, _))| *begun).map(|(address, _)| *address)
        {
            tries.remove(&earliest);
        }
        let entry = tries.entry(network(address)).or_insert((Instant::now(), 0));
        if entry.0.elapsed() >= MINUTE {
            *entry = (Instant::now(), 0);
        }
        entry.1 += 1;
    }
}

/// Of an IPv6 address the network: one customer has all addresses of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tries_so_often_and_others_are_not_kept() {
        let tries = Tries::default();
        let [one, same, other]: [IpAddr; 3] = ["fd00::1", "fd00::2", "10.0.0.1"].map(|text| text.parse().unwrap());
        for _ in 0..TRIES_MAX {
            assert!(tries.check(one).is_ok());
            tries.note(one);
        }
        assert!(matches!(tries.check(one), Err(Failure::TooManyTries(1..=60))));
        assert!(tries.check(same).is_err() && tries.check(other).is_ok());
        for number in 0..ADDRESSES_MAX as u32 {
            tries.note(IpAddr::V4(number.into()));
        }
        assert!(tries.0.lock().len() <= ADDRESSES_MAX);
    }
}
