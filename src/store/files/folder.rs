//! The storage folder: who has it, which format it holds, and how its last process ended.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::durable::{remove_tree, sync_dir, write_durably};
use crate::store::error::{At, StoreError};

/// The format of everything in the folder, as ARCHITECTURE.md describes it.
const FORMAT: u32 = 7;
/// The formats before it, which lack some kinds of entries, and some values in records, only.
const FORMATS_OF_FEWER_ENTRIES: [u32; 3] = [6, 5, 4];
/// The oldest that is carried over. Its blocks stay as they are, its views are made anew.
const FORMAT_OF_OTHER_VIEWS: u32 = 3;
/// What may stand in the folder before it is a store: what a start that was cut short left, and what file systems make.
const NAMES: [&str; 14] = [
    ".gitkeep", // of the project's own folder, before the first start
    "lock",
    "epoch",
    "epoch.new",
    "format.new",
    "running",
    "admin.token",
    "identity.key",
    "deliveries",
    "indexes",
    "journal",
    "segments",
    "views",
    "lost+found",
];
const VIEWS: &str = "views";
const NEW_VIEWS: &str = "views.new";
/// What others than the owner may do with a file.
const OTHERS: u32 = 0o077;
const FORMAT_WORDS: &str = "tracardi store ";
/// What helps where the format is not known any more.
const FORMAT_REMEDY: &str = "put it back from a backup of the storage folder; it is one line, \"tracardi store 7\" where \
                             this version had the store last";
/// When an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When what it speaks of is on disk and synced.
    Sync,
    /// Before that; a power cut may lose the last flush interval.
    Relaxed,
}

impl Durability {
    fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Relaxed => "relaxed",
        }
    }
}

/// How the process that had the folder before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEnd {
    /// It closed the store, or there was none.
    Clean,
    /// It ended, the machine went on: what it wrote is in the page cache or on the disk.
    ProcessCrash(Durability),
    /// The machine ended: what was not synced may be gone.
    MachineCrash(Durability),
}

impl LastEnd {
    /// Whether the last process may have lost what it had answered.
    pub fn was_relaxed(self) -> bool {
        self.lost_writes() || self == Self::ProcessCrash(Durability::Relaxed)
    }

    /// Whether the machine may have lost what the last process had answered and written.
    pub fn lost_writes(self) -> bool {
        self == Self::MachineCrash(Durability::Relaxed)
    }
}

/// A storage folder that this process alone has, until it is dropped.
pub struct Folder {
    path: PathBuf,
    /// The format as it was when the folder was taken.
    found_format: u32,
    /// The file that says where this process listens, locked as long as it does.
    address: Option<File>,
    _lock: File,
}

impl Folder {
    /// As [`Folder::take`], for who has business with a store that is there: nothing is made where none is.
    ///
    /// # Errors
    /// As [`Folder::take`], or there is no store.
    pub fn take_existing(path: &Path) -> Result<Self, StoreError> {
        // One that lost its format is a damaged store.
        let is_store = ["format", "journal", "segments", VIEWS].iter().any(|part| path.join(part).exists());
        if is_store {
            return Self::take(path);
        }
        if path.exists() {
            refuse_others(path)?;
        }
        Err(StoreError::NoStore { path: path.display().to_string() })
    }

    /// Takes the folder, making it and a store in it if there is none.
    ///
    /// # Errors
    /// Another process has it, it holds an unknown format, or it cannot be written.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            refuse_others(path)?;
        } else {
            fs::create_dir_all(path).at(path)?;
            // A folder whose name is not on the disk takes everything in it along.
            path.ancestors()
                .skip(1)
                .map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above })
                .try_for_each(sync_dir)?;
        }
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).at(&lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: path.display().to_string() }),
            Err(TryLockError::Error(error)) => return Err(error).at(&lock_path),
        }
        let mut folder = Self { path: path.to_owned(), found_format: FORMAT, address: None, _lock: lock };
        folder.found_format = folder.read_format()?;
        folder.keep_private()?; // once it is known for a store
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub fn segments(&self) -> PathBuf {
        self.path.join("segments")
    }

    /// Of the sealed segments.
    pub fn indexes(&self) -> PathBuf {
        self.path.join("indexes")
    }

    /// The views that were made last.
    pub fn views(&self) -> PathBuf {
        self.path.join(views_name(self.newest_views()))
    }

    /// Where views that are to take the place of those that there are, are made, and where they are put once they are whole.
    pub fn next_views(&self) -> (PathBuf, PathBuf) {
        (self.path.join(NEW_VIEWS), self.path.join(views_name(self.newest_views() + 1)))
    }

    /// Removes views that did not become whole, and those in whose place others are.
    pub fn remove_other_views(&self) -> Result<(), StoreError> {
        remove_tree(&self.path.join(NEW_VIEWS))?;
        let newest = self.newest_views();
        for (number, path) in self.all_views() {
            if number < newest {
                remove_tree(&path)?;
            }
        }
        sync_dir(&self.path)
    }

    fn newest_views(&self) -> u64 {
        self.all_views().into_iter().map(|(number, _)| number).max().unwrap_or(0)
    }

    fn all_views(&self) -> Vec<(u64, PathBuf)> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let views = entries.filter_map(|entry| {
            let name = entry.file_name();
            let number = match name.to_str()?.strip_prefix(VIEWS)? {
                "" => 0,
                further => further.strip_prefix('.')?.parse().ok()?,
            };
            Some((number, entry.path()))
        });
        views.collect()
    }

    fn epoch_path(&self) -> PathBuf {
        self.path.join("epoch")
    }

    /// Tells this log from others that were in the folder, or are copies of it, and went on differently: a place in one is
    /// none in another. Made where there is none.
    pub fn epoch(&self) -> Result<u64, StoreError> {
        let path = self.epoch_path();
        let found = match fs::read_to_string(&path) {
            Ok(text) => u64::from_str_radix(text.trim_end(), 16).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(error) => return Err(error).at(&path),
        };
        found.map_or_else(|| self.begin_epoch(), Ok)
    }

    /// Begins another epoch, durably: some of what was answered may be gone, and other entries come in its place.
    pub fn begin_epoch(&self) -> Result<u64, StoreError> {
        let (epoch, _) = uuid::Uuid::new_v4().as_u64_pair();
        write_durably(&self.epoch_path(), format!("{epoch:016x}\n").as_bytes())?;
        Ok(epoch)
    }

    fn marker(&self) -> PathBuf {
        self.path.join("running")
    }

    /// Lets nobody but its owner into the folder. What is made in it is its owner's too (the process has such a mask); an
    /// earlier version left it open to others.
    fn keep_private(&self) -> Result<(), StoreError> {
        let mode = fs::metadata(&self.path).at(&self.path)?.permissions().mode();
        if mode & OTHERS != 0 {
            close_to_others(&self.path)?;
        }
        Ok(())
    }

    /// How the last process ended, from the marker it left.
    pub fn last_end(&self) -> Result<LastEnd, StoreError> {
        let marker = match fs::read(self.marker()) {
            // What is no text was written by a machine that ended while writing it, or changed since.
            Ok(marker) => String::from_utf8_lossy(&marker).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LastEnd::Clean),
            Err(error) => return Err(error).at(&self.marker()),
        };
        let mut lines = marker.lines();
        let boot = lines.next().unwrap_or_default();
        // A marker that cannot be read in full was written by a machine that ended while writing it.
        let durability = if lines.next() == Some("relaxed") { Durability::Relaxed } else { Durability::Sync };
        let same_boot = !boot.is_empty() && boot == boot_id();
        Ok(if same_boot { LastEnd::ProcessCrash(durability) } else { LastEnd::MachineCrash(durability) })
    }

    /// Says, durably, that a process runs on this folder: before anything else in it is touched.
    pub fn mark_running(&self, durability: Durability) -> Result<(), StoreError> {
        write_durably(&self.marker(), format!("{}\n{}\n", boot_id(), durability.word()).as_bytes())
    }

    /// Says, durably, that the store was closed: after everything else in it is synced.
    pub fn mark_closed(&self) -> Result<(), StoreError> {
        fs::remove_file(self.marker()).at(&self.marker())?;
        sync_dir(&self.path)
    }

    /// Says where this process is reached, until the folder is dropped.
    pub fn note_address(&mut self, address: &str) -> Result<(), StoreError> {
        let path = address_path(&self.path);
        let new = path.with_extension("new");
        let mut file = File::create(&new).at(&new)?;
        // Another file each time, locked before it has the name: who finds it unlocked knows that its writer is gone.
        file.lock().at(&new)?;
        writeln!(file, "{address}").at(&new)?;
        fs::rename(&new, &path).at(&path)?;
        self.address = Some(file);
        Ok(())
    }

    /// What the process that has the folder at `path` says of where it is reached, if it does. What a process left that is gone counts for
    /// nothing: somebody else may listen there by now.
    ///
    /// # Errors
    /// The file that says so cannot be read.
    pub fn address_of(path: &Path) -> Result<Option<String>, StoreError> {
        let path = address_path(path);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(&path),
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Ok(()) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).at(&path),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).at(&path)?;
        text.truncate(text.trim_end().len());
        Ok(Some(text))
    }

    /// Whether the folder held a format whose views are not those of this one.
    pub fn has_other_views(&self) -> bool {
        self.found_format == FORMAT_OF_OTHER_VIEWS
    }

    /// Makes a folder of an older format a folder of this one, durably: from here on no older daemon takes it. The number
    /// of the older format, if it was one.
    pub fn carry_over(&self) -> Result<Option<u32>, StoreError> {
        if self.found_format == FORMAT {
            return Ok(None);
        }
        if self.has_other_views() {
            // First, for the views of one format are not those of the other; a daemon of either makes missing ones.
            self.remove_other_views()?;
            remove_tree(&self.views())?;
            sync_dir(&self.path)?;
        }
        self.write_format()?;
        Ok(Some(self.found_format))
    }

    fn read_format(&self) -> Result<u32, StoreError> {
        let path = self.format_path();
        let damaged = |what| StoreError::damaged(&path, what, FORMAT_REMEDY);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if [self.journal(), self.segments(), self.views()].iter().any(|part| part.exists()) {
                    return Err(damaged("the file that names the store's format is missing"));
                }
                return self.write_format().map(|()| FORMAT);
            }
            Err(error) => return Err(error).at(&path),
        };
        let text = String::from_utf8_lossy(&bytes);
        let number = text.trim_end().strip_prefix(FORMAT_WORDS).filter(|number| number.parse::<u32>().is_ok());
        let Some(number) = number else {
            return Err(damaged(if bytes.is_empty() { "it is empty" } else { "it is damaged: it names no format" }));
        };
        let mut known = [FORMAT, FORMAT_OF_OTHER_VIEWS].into_iter().chain(FORMATS_OF_FEWER_ENTRIES);
        let known = known.find(|known| known.to_string() == number);
        known.ok_or_else(|| StoreError::UnknownFormat {
            path: self.path.display().to_string(),
            found: number.into(),
            expected: FORMAT,
        })
    }

    fn format_path(&self) -> PathBuf {
        self.path.join("format")
    }

    fn write_format(&self) -> Result<(), StoreError> {
        write_durably(&self.format_path(), format!("{FORMAT_WORDS}{FORMAT}\n").as_bytes())
    }
}

/// Takes the address away while the folder is still this process's.
impl Drop for Folder {
    fn drop(&mut self) {
        if self.address.is_some() {
            _ = fs::remove_file(address_path(&self.path)); // what stays is not believed
        }
    }
}

/// What views are called that took the place of others so many times.
fn views_name(number: u64) -> String {
    if number == 0 { VIEWS.to_owned() } else { format!("{VIEWS}.{number}") }
}

fn address_path(folder: &Path) -> PathBuf {
    folder.join("address")
}

/// Refuses a folder that is no store and holds something else: a mistyped path must not be made a store, nor be closed to
/// others.
fn refuse_others(path: &Path) -> Result<(), StoreError> {
    if path.join("format").exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).at(path)? {
        let name = entry.at(path)?.file_name().to_string_lossy().into_owned();
        if !NAMES.contains(&name.as_str()) {
            return Err(StoreError::NotAStore { path: path.display().to_string(), name });
        }
    }
    Ok(())
}

/// Takes from everything below `path` what others than its owner may do, and last from `path` itself.
fn close_to_others(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).at(path)? {
        let entry = entry.at(path)?;
        let kind = entry.file_type().at(path)?;
        if kind.is_dir() {
            close_to_others(&entry.path())?;
        } else if kind.is_file() {
            take_modes(&entry.path())?;
        }
    }
    take_modes(path)
}

fn take_modes(path: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(path).at(path)?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !OTHERS & 0o7777)).at(path)
}

/// Names this run of the machine; empty where the system does not tell.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
