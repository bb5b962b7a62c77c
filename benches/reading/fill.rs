//! A store of visits: thirty days, returning people, forty types; the same each time.

use std::{path::Path, sync::Arc, time::Duration, time::Instant};

use tracardi::{
    admin::{Admin, Author},
    clock::Clock,
    collect::{Bots, CollectSettings, Collector, Credentials, Disclosure, Incoming},
    model::{ClientFacts, Payload, Source, SourceType, Time, Zone},
    process::{AllowedHosts, Identity, IdentitySettings, Lookups, Rules, RulesInForce, Secrets},
    store::{Durability, Folder, Store, StoreSettings},
};

use super::super::Result;

pub const SOURCE: &str = "shop";
const DAYS: i64 = 30;
const EVENTS_A_REQUEST: usize = 2;
const REQUESTS_A_VISIT: usize = 5;
const TYPES: u64 = 40;
/// How many visits begin between two requests of one.
const VISITS_BETWEEN: usize = 6;
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Fills a new store with about `events` events. Its days lie ahead of the machine's clock, which a store only lets go on.
pub fn fill(path: &Path, events: usize) -> Result<()> {
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(fill_all(path, events))?;
    println!("{events} events made in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

async fn fill_all(path: &Path, events: usize) -> Result<()> {
    let clock = Arc::new(Clock::default());
    let settings = StoreSettings {
        path: path.to_owned(),
        durability: Durability::Relaxed,
        flush_interval: Duration::from_secs(1),
        segment_bytes: SEGMENT_BYTES,
        reserve_bytes: 0,
    };
    let store = Arc::new(Store::open(&settings, Folder::take(path)?, clock.clone(), &|_, _, _| {})?);
    let rules = Arc::new(RulesInForce::new(Rules::compile_saved(&store.definitions(), Zone::default())?));
    let admin = Admin::new(store.clone(), clock.clone(), rules.clone());
    let source = format!(r#"{{"id":"{SOURCE}","name":"Shop","type":["rest"],"permanent_profile_id":true}}"#);
    let source = Source::parse(source.as_bytes(), clock.now(), || clock.make_id());
    admin.save_source(source.map_err(|fault| fault.to_string())?, &Author::named("the benchmark")).await?;
    let lookups = Arc::new(Lookups::new(AllowedHosts::default(), Vec::new(), Secrets::load(None)?));
    let collect = CollectSettings {
        debugger: Disclosure::None,
        profile: Disclosure::None,
        bots: Bots::Mark,
        pass: true,
        internal_events: false,
        session_bytes_max: BODY_BYTES_MAX,
        runs_per_day: 0,
    };
    // A store that has people needs the key that it was begun with; the daemon makes none for it.
    let key = "ab".repeat(32);
    std::fs::write(path.join("identity.key"), secret_line(&key))?;
    let collector = Arc::new(Collector::new(
        store.clone(),
        clock.clone(),
        collect,
        rules,
        Identity::new(&key, &IdentitySettings::default()),
        lookups,
    ));
    let visits = events.div_ceil(EVENTS_A_REQUEST * REQUESTS_A_VISIT);
    let start = clock.now().micros();
    let between = DAYS * 86_400_000_000 / visits as i64;
    let slots = visits + VISITS_BETWEEN * (REQUESTS_A_VISIT - 1);
    for slot in (0..slots).step_by(VISITS_BETWEEN) {
        let mut under_way = Vec::new();
        for slot in slot..slot + VISITS_BETWEEN {
            clock.not_before(Time::from_micros(start + slot as i64 * between));
            for request in 0..REQUESTS_A_VISIT {
                let visit = slot.checked_sub(request * VISITS_BETWEEN).filter(|visit| *visit < visits);
                let Some(visit) = visit else { continue };
                let collector = collector.clone();
                under_way.push(tokio::spawn(async move { collector.collect(incoming(visit as u64, request)).await }));
            }
        }
        for request in under_way {
            request.await??;
        }
    }
    tokio::task::spawn_blocking(move || store.close()).await?;
    Ok(())
}

/// The form of `identity.key`: see ARCHITECTURE.md.
fn secret_line(digits: &str) -> String {
    let secret = format!("tracardi_identity_{digits}");
    format!("{secret}{:08x}\n", crc32c::crc32c(secret.as_bytes()))
}

pub fn session(visit: u64) -> String {
    uuid::Uuid::from_u64_pair(mixed(visit), visit).to_string()
}

/// Two of five visits are of somebody who was there before.
pub fn profile(visit: u64) -> String {
    let person = if mixed(visit) % 5 < 2 { mixed(visit ^ 0x5eed) % visit.max(1) } else { visit };
    uuid::Uuid::from_u64_pair(mixed(person ^ 0xfeed), person).to_string()
}

fn incoming(visit: u64, request: usize) -> Incoming {
    let events: Vec<String> =
        (0..EVENTS_A_REQUEST).map(|event| event_body(visit, request * EVENTS_A_REQUEST + event)).collect();
    let body = format!(
        r#"{{"source":{{"id":"{SOURCE}"}},"session":{{"id":"{}"}},"profile":{{"id":"{}"}},"events":[{}]}}"#,
        session(visit),
        profile(visit),
        events.join(",")
    );
    let payload = Payload::parse(body.as_bytes()).expect("the payload is one");
    let agent =
        format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{}.0 Safari/537.36", 100 + visit % 20);
    let client = Arc::new(ClientFacts { user_agent: Some(agent.into()), ..ClientFacts::default() });
    let (bytes, endpoint) = (body.len(), SourceType::Rest);
    Incoming {
        endpoint,
        payload,
        profile_less: false,
        client,
        header: None,
        credentials: Credentials::None,
        opted_out: false,
        bytes,
        dry_run: None,
    }
}

fn event_body(visit: u64, event: usize) -> String {
    let random = mixed(visit.wrapping_mul(31).wrapping_add(event as u64));
    let page = random % 500;
    // Half of them are page views; the other types are the rarer the higher their number.
    let kind =
        if random.is_multiple_of(2) { 0 } else { (1 << ((random >> 8) % 6)).min(TYPES - 1) + (random >> 16) % 8 };
    let kind = if kind == 0 { "page-view".to_owned() } else { format!("action-{:02}", kind % TYPES) };
    let price = random % 20_000;
    format!(
        r#"{{"type":"{kind}","properties":{{"price":{price},"item":"item-{page}"}},"context":{{"page":{{"url":"https://shop.example/p/{page}","title":"Page {page}"}}}}}}"#
    )
}

/// The end of splitmix64.
fn mixed(number: u64) -> u64 {
    let mut hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
