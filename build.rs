//! Makes the browser script small, and lets the linker pack the executable's relocations.

use std::{env, fs, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    write_script();
    pack_relocations();
}

/// The parts of the browser script, in their order.
const SCRIPT: [&str; 8] = ["safety", "storage", "options", "visit", "queue", "page", "ux", "start"];

/// Joins the parts of the browser script in a scope of their own, makes them small, and compresses them once for all: by
/// zopfli, which takes longer than others and needs fewer bytes.
fn write_script() {
    let parts = SCRIPT.map(|part| {
        let path = format!("src/tracker/script/{part}.js");
        println!("cargo:rerun-if-changed={path}");
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    });
    // What fails while it starts is no business of the page's, either.
    let whole = format!("(()=>{{try{{{}}}catch{{}}}})();", parts.join("\n"));
    let small = minifier::js::minify(&whole).expect("it is JavaScript").to_string();
    let mut compressed = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, small.as_bytes(), &mut compressed)
        .expect("a vector takes what is written to it");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it for build scripts");
    let write =
        |name: &str, bytes: &[u8]| fs::write(Path::new(&folder).join(name), bytes).expect("the folder is there");
    write("tracardi.js", small.as_bytes());
    write("tracardi.js.gz", &compressed);
}

/// The first version of the GNU C library whose loader reads packed relocations (DT_RELR).
const GLIBC_WITH_RELR: (u32, u32) = (2, 36);

/// Unpacked, relocations are 1.7 MB that each start reads, a tenth of what the process takes when idle. The GNU C library
/// reads packed ones since 2.36 and musl since 1.2.4; a loader that does not would start the executable without them.
fn pack_relocations() {
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // What is built for another machine may run under any loader.
    let is_for_here = env::var("HOST") == env::var("TARGET");
    if is_for_here
        && target("OS") == "linux"
        && target("ENV") == "gnu"
        && glibc().is_some_and(|version| version >= GLIBC_WITH_RELR)
    {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this system's GNU C library.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}
