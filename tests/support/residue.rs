//! What a stopped store's folder holds of values, wherever they stand: as bytes of any file, within any zstd frame of any
//! file, and in the values of its databases, which stand there in parts.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use memchr::memmem;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What is read of a frame, which may be none.
const FRAME_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How many bytes behind the key of a value in parts tell which part it is, and say in the first how many there are.
const PART_NUMBER_BYTES: usize = 3;
const PART_COUNT_BYTES: usize = 4;
const DICTIONARY: &[u8] = include_bytes!("../../src/store/views/session.dictionary");

/// A value by a name for it.
pub type Needle = (String, Vec<u8>);

/// A text, and what is stored of it where it is a UUID.
pub fn needles(text: &str) -> Vec<Needle> {
    let mut needles = vec![(text.to_owned(), text.as_bytes().to_vec())];
    if let Ok(id) = uuid::Uuid::try_parse(text) {
        needles.push((format!("{text} as bytes"), id.as_bytes().to_vec()));
    }
    needles
}

/// Each needle that is found, with the file.
pub fn find(folder: &Path, needles: &[Needle]) -> Vec<String> {
    let mut found = Vec::new();
    let mut files = Vec::new();
    list(folder, &mut files);
    for file in &files {
        let bytes = fs::read(file).unwrap();
        look(&bytes, needles, &file.display().to_string(), &mut found);
        if file.file_name().is_some_and(|name| name == "db") {
            look_into_database(file.parent().unwrap(), needles, &mut found);
        }
    }
    found.sort();
    found.dedup();
    found
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
}

fn look(bytes: &[u8], needles: &[Needle], place: &str, found: &mut Vec<String>) {
    let mut look_at = |bytes: &[u8], how: &str| {
        let here = needles.iter().filter(|(_, needle)| memmem::find(bytes, needle).is_some());
        found.extend(here.map(|(name, _)| format!("{name}: {how}{place}")));
    };
    look_at(bytes, "");
    for at in memmem::find_iter(bytes, &ZSTD_MAGIC) {
        for dictionary in [&[][..], DICTIONARY] {
            look_at(&unpacked(&bytes[at..], dictionary), "in a frame of ");
        }
    }
}

/// What can be read of a frame, and nothing behind it.
fn unpacked(frame: &[u8], dictionary: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_dictionary(frame, dictionary).unwrap();
    _ = decoder.single_frame().take(FRAME_BYTES_MAX).read_to_end(&mut out); // a damaged one is read as far as it is whole
    out
}

/// The values of a database, those that stand in parts put together; a copy is opened, so that nothing is changed.
fn look_into_database(database: &Path, needles: &[Needle], found: &mut Vec<String>) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["db", "conf"] {
        fs::copy(database.join(name), copy.path().join(name)).unwrap();
    }
    for entry in fs::read_dir(database).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap") {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    let db = sled::Config::new().path(copy.path()).flush_every_ms(None).open().unwrap();
    for name in db.tree_names() {
        let tree = db.open_tree(&name).unwrap();
        let place = format!("{} of {}", String::from_utf8_lossy(&name), database.display());
        let mut value: (Vec<u8>, Vec<u8>) = Default::default();
        for record in tree.iter() {
            let (key, part) = record.unwrap();
            look(&key, needles, &format!("a key in {place}"), found);
            look(&part, needles, &place, found);
            let begins = key.len().saturating_sub(PART_NUMBER_BYTES);
            if key[..begins] == value.0[..] && key[begins..] != [0; PART_NUMBER_BYTES] {
                value.1.extend_from_slice(&part);
            } else {
                look(&value.1, needles, &place, found);
                value = (key[..begins].to_vec(), part.get(PART_COUNT_BYTES..).unwrap_or_default().to_vec());
            }
        }
        look(&value.1, needles, &place, found);
    }
}
