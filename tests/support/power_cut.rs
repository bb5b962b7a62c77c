//! A power cut for a program under test, and I/O errors while it runs.
//!
//! `kill -9` loses nothing that was written: the kernel still has it. A power cut loses everything that was never
//! synced: the bytes of files without an fsync, and the names of files whose folder had no fsync since. A small
//! library, preloaded into the program, keeps a second copy of its storage folder that holds only what is durable;
//! [`PowerCut::cut`] puts that copy in the folder's place. What counts as durable, and what the library cannot see, is
//! said at the head of `power_cut.c`.
//!
//! ```ignore
//! let power = PowerCut::new(&storage, &scratch);
//! let mut daemon = Command::new(program).envs(power.environment()).spawn()?;
//! // ... requests ...
//! daemon.kill()?;
//! daemon.wait()?;
//! power.cut();
//! // ... start it again: is everything there that it answered for?
//! ```

#![allow(dead_code)] // each test uses the part it needs

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions, TryLockError};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

const SOURCE: &str = include_str!("power_cut.c");
const OPERATIONS: [&str; 12] = [
    "write",
    "write-partial",
    "write-done",
    "sync",
    "sync-done",
    "sync-lie",
    "sync-range",
    "truncate",
    "open",
    "create",
    "rename",
    "unlink",
];
const ERRORS: [&str; 3] = ["ENOSPC", "EROFS", "EIO"];
const EXIT_WAIT: Duration = Duration::from_secs(10);

/// The library to preload, built at the first call in this process.
///
/// Panics if there is no C compiler named `cc` or if it refuses the source.
pub fn shim() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    // Named after its source, so that one stands per version; put there by a rename, for other test processes do the
    // same at the same time.
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
    let library = folder.join(format!("power_cut-{:016x}.so", hasher.finish()));
    let source = folder.join(format!("power_cut-{}.c", process::id()));
    let fresh = folder.join(format!("power_cut-{}.so", process::id()));
    fs::write(&source, SOURCE).unwrap_or_else(|e| panic!("cannot write {}: {e}", source.display()));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([&fresh, &source])
        .args(["-ldl", "-lpthread"])
        .output()
        .unwrap_or_else(|e| panic!("tests with a power cut need a C compiler named cc: {e}"));
    assert!(compiled.status.success(), "cc does not build power_cut.c:\n{}", String::from_utf8_lossy(&compiled.stderr));
    fs::rename(&fresh, &library).unwrap_or_else(|e| panic!("cannot put {} in place: {e}", library.display()));
    let _ = fs::remove_file(&source);
    library
}

/// A storage folder that can lose its power, and whose disk can fail.
///
/// It watches one process at a time: a second one that is started with the same environment while the first is there
/// runs unwatched, and says so on stderr. Everything that is in the folder when a process starts counts as durable,
/// even if a process before it, that ended without a [`cut`](Self::cut), never synced it.
pub struct PowerCut {
    /// The storage folder, absolute.
    pub root: PathBuf,
    /// What of it is durable.
    pub shadow: PathBuf,
    /// The control file of [`fail`](Self::fail).
    pub fault: PathBuf,
    /// The folder when a process was last about to start: shows a process that ran without the library.
    untouched: Mutex<Option<Vec<Trace>>>,
}

impl PowerCut {
    /// Watches `storage`, which may not exist yet but whose parent must, and keeps its own files in `scratch`, which is
    /// made if need be, must not be inside of `storage`, and belongs to this `PowerCut` alone.
    pub fn new(storage: &Path, scratch: &Path) -> Self {
        let root = std::path::absolute(storage).expect("the storage folder has a path");
        let scratch = std::path::absolute(scratch).expect("the scratch folder has a path");
        assert!(!scratch.starts_with(&root), "{} is inside of {}", scratch.display(), root.display());
        let shadow = scratch.join("shadow");
        fs::create_dir_all(&shadow).unwrap_or_else(|e| panic!("cannot make {}: {e}", shadow.display()));
        Self { root, shadow, fault: scratch.join("fault"), untouched: Mutex::new(None) }
    }

    /// What to add to the environment of the process to watch. To be asked for anew at each start.
    pub fn environment(&self) -> Vec<(String, String)> {
        *self.untouched.lock().unwrap() = Some(traces(&self.root));
        let text = |path: &Path| path.to_str().expect("paths in an environment are UTF-8 here").to_owned();
        let mut preload = text(&shim());
        if let Ok(others) = std::env::var("LD_PRELOAD") {
            preload = format!("{preload}:{others}");
        }
        vec![
            ("LD_PRELOAD".to_owned(), preload),
            ("POWER_CUT_ROOT".to_owned(), text(&self.root)),
            ("POWER_CUT_SHADOW".to_owned(), text(&self.shadow)),
            ("POWER_CUT_FAULT".to_owned(), text(&self.fault)),
        ]
    }

    /// The power fails: puts what was durable in the storage folder's place, with names, content, lengths, modes and
    /// hard links as they were, and gives the next process another boot id. To be called once the process is gone.
    ///
    /// A process that was killed before it could do anything leaves the folder as it is. Panics if the process does not
    /// go away, and if it changed the folder without the library having been there to see it.
    pub fn cut(&self) {
        let _gone = self.lock();
        let before = self.untouched.lock().unwrap().take();
        match fs::read_to_string(self.shadow.join("root")) {
            Ok(line) => self.restore(&line),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                assert!(
                    before.is_none_or(|before| before == traces(&self.root)),
                    "{} was changed by a process that does not have the power cut's library: is it linked statically?",
                    self.root.display()
                );
            }
            Err(e) => panic!("cannot read what is durable: {e}"),
        }
        fs::write(self.shadow.join("boot_id"), boot_id()).expect("the shadow can be written");
    }

    /// From now on, and until [`heal`](Self::heal), the calls that `lines` name fail, without doing anything. A line is
    /// `OP:ERRNO` or `OP:ERRNO:SUBSTRING`; the first that matches counts. With a substring it is only about paths that
    /// contain it, in a part that reaches below the storage folder.
    ///
    /// | OP | calls |
    /// | --- | --- |
    /// | `write` | those that put bytes in a file or give it space |
    /// | `write-partial` | as `write`, but the first one does half of its bytes |
    /// | `write-done` | as `write`, but all of it is done before it fails |
    /// | `sync` | fsync, fdatasync, syncfs |
    /// | `sync-done` | as `sync`, but it is done before it fails |
    /// | `sync-lie` | as `sync`, but it says that it was done |
    /// | `sync-range` | sync_file_range, which is all that sled's own flush does |
    /// | `truncate` | those that set a file's length, but not an open |
    /// | `open` | every open, for reading and of folders too |
    /// | `create` | an open, mkdir or link that would make a name |
    /// | `rename` | rename, if either path matches |
    /// | `unlink` | those that remove a file or a folder |
    ///
    /// ERRNO is one of ENOSPC, EROFS, EIO. Replaces the lines before; panics on a line that means nothing.
    pub fn fail(&self, lines: &[&str]) {
        let mut text = String::new();
        for line in lines {
            let mut parts = line.splitn(3, ':');
            let (op, error) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            assert!(
                OPERATIONS.contains(&op) && ERRORS.contains(&error) && !line.contains('\n'),
                "not a fault: {line:?}"
            );
            text.push_str(line);
            text.push('\n');
        }
        let fresh = self.fault.with_extension("new");
        fs::write(&fresh, text).expect("the control file can be written");
        // The library tells a new file by its time, and the kernel's own clock for that is coarse.
        let file = File::options().write(true).open(&fresh).expect("the control file can be opened");
        file.set_modified(SystemTime::now()).expect("the control file can be dated");
        fs::rename(&fresh, &self.fault).expect("the control file can be put in place");
    }

    /// From now on no call fails.
    pub fn heal(&self) {
        match fs::remove_file(&self.fault) {
            Err(e) if e.kind() != ErrorKind::NotFound => panic!("cannot remove {}: {e}", self.fault.display()),
            _ => {}
        }
    }

    /// Waits until no process is watched, and keeps it so.
    fn lock(&self) -> File {
        let path = self.shadow.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.unwrap_or_else(|e| panic!("cannot open {}: {e}", path.display()));
        let end = Instant::now() + EXIT_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return file,
                Err(TryLockError::WouldBlock) => {
                    assert!(Instant::now() < end, "a power cut before the process was killed");
                    thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::Error(e)) => panic!("cannot lock {}: {e}", path.display()),
            }
        }
    }

    fn restore(&self, line: &str) {
        let (mode, id) = line.trim_end().split_once(' ').expect("a mode and an id");
        let name = self.root.file_name().expect("the storage folder has a name");
        let mut fresh = name.to_owned();
        fresh.push(".power-cut");
        let fresh = self.root.with_file_name(fresh);
        remove(&fresh);
        Restored { shadow: &self.shadow, files: HashMap::new(), folders: HashSet::new() }.folder(id, mode, &fresh);
        remove(&self.root);
        fs::rename(&fresh, &self.root).expect("the storage folder can be replaced");
        // The library's word that it has seen the folder goes last.
        remove(&self.shadow.join("files"));
        remove(&self.shadow.join("dirs"));
        fs::remove_file(self.shadow.join("root")).expect("the shadow can be emptied");
    }
}

/// The durable objects that have a path again.
struct Restored<'a> {
    shadow: &'a Path,
    files: HashMap<String, PathBuf>,
    folders: HashSet<String>,
}

impl Restored<'_> {
    fn folder(&mut self, id: &str, mode: &str, path: &Path) {
        fs::create_dir(path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
        self.folders.insert(id.to_owned());
        for entry in or_empty(fs::read(self.shadow.join("dirs").join(id))).split(|byte| *byte == 0) {
            let mut parts = entry.splitn(4, |byte| *byte == b' ');
            let (Some(kind), Some(mode), Some(id), Some(name)) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let (mode, id) = (str::from_utf8(mode).expect("a mode"), str::from_utf8(id).expect("an id"));
            let path = path.join(OsStr::from_bytes(name));
            match kind {
                // Moved, and only its new place synced: a folder is in one place, and the first that is found is it.
                b"d" if self.folders.contains(id) => {}
                b"d" => self.folder(id, mode, &path),
                b"l" => {
                    let target = or_empty(fs::read(self.shadow.join("files").join(id)));
                    symlink(OsStr::from_bytes(&target), &path).expect("a link can be made");
                }
                _ => self.file(id, mode, &path),
            }
        }
        set_mode(path, mode);
    }

    fn file(&mut self, id: &str, mode: &str, path: &Path) {
        if let Some(first) = self.files.get(id) {
            fs::hard_link(first, path).expect("a hard link can be made");
            return;
        }
        let durable = self.shadow.join("files").join(id);
        match fs::rename(&durable, path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => fs::write(path, "").expect("a file can be made"),
            Err(_) => {
                fs::copy(&durable, path).unwrap_or_else(|e| panic!("cannot restore {}: {e}", path.display()));
            }
        }
        set_mode(path, mode);
        self.files.insert(id.to_owned(), path.to_owned());
    }
}

fn set_mode(path: &Path, mode: &str) {
    let mode = u32::from_str_radix(mode, 8).expect("an octal mode");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode can be set");
}

fn or_empty(read: std::io::Result<Vec<u8>>) -> Vec<u8> {
    match read {
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        read => read.expect("the shadow can be read"),
    }
}

fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => panic!("cannot remove {}: {e}", folder.display()),
        _ => {}
    }
}

/// What changes with whatever is done to a file or a folder: path, inode, length and time of change in ns.
type Trace = (PathBuf, u64, u64, i128);

fn traces(path: &Path) -> Vec<Trace> {
    let Ok(meta) = path.symlink_metadata() else { return Vec::new() };
    let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    let mut found = vec![(path.to_owned(), meta.ino(), meta.len(), changed)];
    if meta.is_dir() {
        let mut paths: Vec<_> = fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        found.extend(paths.iter().flat_map(|path| traces(path)));
    }
    found
}

fn boot_id() -> String {
    let random = || RandomState::new().hash_one(process::id());
    let hex = format!("{:016x}{:016x}", random(), random());
    format!("{}-{}-4{}-8{}-{}\n", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
