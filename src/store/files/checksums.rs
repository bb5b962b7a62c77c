//! What a closed database looked like: length and checksum of each of its files, noted beside them.
//!
//! sled does not notice every change of a file that was closed: it may open with records missing. So a database is
//! compared with its note before sled opens it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::durable;

use crate::store::error::{At, StoreError};

/// The note, in the database's folder.
const NAME: &str = "checksums";
const HEAD: &str = "tracardi checksums 1\n";
const BUFFER_BYTES: usize = 1024 * 1024;

/// What a database is, compared with its note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    Same,
    /// There is no note: the database was not closed, or by an earlier version.
    NotNoted,
    /// It is another than was closed; says where.
    Differs(String),
}

/// Notes, durably, what the files of a closed and synced database are.
pub fn note(database: &Path) -> Result<(), StoreError> {
    let mut text = HEAD.to_owned();
    for file in files(database)? {
        let (length, checksum) = sum(&file).at(&file)?;
        // Writing to a text cannot fail.
        _ = writeln!(text, "{checksum:08x} {length} {}", relative(database, &file));
    }
    _ = writeln!(text, "{:08x}", crc32c::crc32c(text.as_bytes()));
    durable::write_durably(&database.join(NAME), text.as_bytes())
}

/// Compares a database's files with its note.
pub fn compare(database: &Path) -> Result<Comparison, StoreError> {
    let path = database.join(NAME);
    let noted = match fs::read(&path) {
        Ok(noted) => noted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Comparison::NotNoted),
        Err(error) => return Err(error).at(&path),
    };
    let differs = |what: String| Ok(Comparison::Differs(what));
    let Some(mut noted) = parse(&noted) else { return differs(format!("{NAME} is damaged")) };
    for file in files(database)? {
        let name = relative(database, &file);
        let Some(place) = noted.iter().position(|(known, ..)| *known == name) else {
            return differs(format!("{name} was not there when it was closed"));
        };
        let (_, length, checksum) = noted.swap_remove(place);
        if sum(&file).at(&file)? != (length, checksum) {
            return differs(format!("{name} is not as it was when it was closed"));
        }
    }
    match noted.first() {
        Some((missing, ..)) => differs(format!("{missing} is missing")),
        None => Ok(Comparison::Same),
    }
}

/// Removes the note, durably: the database is about to change.
pub fn forget(database: &Path) -> Result<(), StoreError> {
    let path = database.join(NAME);
    match fs::remove_file(&path) {
        Ok(()) => durable::sync_dir(database),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).at(&path),
    }
}

/// Name, length and checksum of each file; `None` when the note is not whole.
fn parse(noted: &[u8]) -> Option<Vec<(String, u64, u32)>> {
    let noted = str::from_utf8(noted).ok()?;
    let (lines, own) = noted.strip_suffix('\n')?.rsplit_once('\n')?;
    let lines = &noted[..lines.len() + 1];
    if u32::from_str_radix(own, 16).ok()? != crc32c::crc32c(lines.as_bytes()) {
        return None;
    }
    let parse_line = |line: &str| {
        let mut parts = line.splitn(3, ' ');
        let checksum = u32::from_str_radix(parts.next()?, 16).ok()?;
        let length = parts.next()?.parse().ok()?;
        Some((parts.next()?.to_owned(), length, checksum))
    };
    lines.strip_prefix(HEAD)?.lines().map(parse_line).collect()
}

/// Length and checksum of a file.
fn sum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut length, mut checksum) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, checksum));
        }
        length += read as u64;
        checksum = crc32c::crc32c_append(checksum, &buffer[..read]);
    }
}

/// The files of a database but its note, in order.
fn files(database: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    let mut folders = vec![database.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).at(&folder)? {
            let entry = entry.at(&folder)?;
            let path = entry.path();
            if entry.file_type().at(&path)?.is_dir() {
                folders.push(path);
            } else if path.file_stem().is_none_or(|stem| stem != NAME) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn relative(database: &Path, file: &Path) -> String {
    file.strip_prefix(database).unwrap_or(file).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_a_closed_database_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path();
        fs::write(database.join("db"), vec![7; 3_000_000]).unwrap();
        fs::create_dir(database.join("blobs")).unwrap();
        fs::write(database.join("blobs/1"), "blob").unwrap();
        assert_eq!(compare(database).unwrap(), Comparison::NotNoted);
        note(database).unwrap();
        assert_eq!(compare(database).unwrap(), Comparison::Same);
        let differs = || matches!(compare(database).unwrap(), Comparison::Differs(_));
        for name in ["db", "blobs/1", NAME] {
            let path = database.join(name);
            let whole = fs::read(&path).unwrap();
            for place in [0, whole.len() / 2, whole.len() - 1] {
                let mut flipped = whole.clone();
                flipped[place] ^= 1;
                fs::write(&path, flipped).unwrap();
                assert!(differs(), "{name}, a bit at {place}");
            }
            fs::write(&path, &whole[..whole.len() - 1]).unwrap();
            assert!(differs(), "{name}, cut");
            if name != NAME {
                fs::remove_file(&path).unwrap();
                assert!(differs(), "{name}, missing");
            }
            fs::write(&path, whole).unwrap();
        }
        fs::write(database.join("more"), "").unwrap();
        assert!(differs());
        forget(database).unwrap();
        assert_eq!(compare(database).unwrap(), Comparison::NotNoted);
    }
}
