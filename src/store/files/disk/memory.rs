//! A disk in memory: it fails at chosen calls, and forgets at a power cut what was not synced.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Disk, DiskFile};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Nothing of it is done.
    Refused,
    /// Half of the bytes are written; of other calls nothing is done.
    Short,
    /// All of it is done, and an error is returned all the same.
    DoneAndRefused,
}

#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: Vec<Content>,
    names: HashMap<PathBuf, usize>,
    durable_names: HashMap<PathBuf, usize>,
    calls: usize,
    /// From this call on, so many calls fail so.
    fault: Option<(usize, usize, Fault)>,
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
}

pub struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

impl MemoryDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls from the `first` on fail, `count` of them.
    pub fn fail(&self, first: usize, count: usize, fault: Fault) {
        self.state().fault = Some((first, count, fault));
    }

    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// What was not synced is gone.
    pub fn cut_power(&self) {
        let mut state = self.state();
        state.names = state.durable_names.clone();
        state.files.iter_mut().for_each(|file| file.bytes = file.durable.clone());
    }

    /// Does something to the disk, or fails.
    fn call<T>(&self, act: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        let call = state.calls;
        state.calls += 1;
        let fault = state.fault.filter(|(first, count, _)| (*first..first + count).contains(&call));
        let refused = || io::Error::other("the disk fails");
        match fault.map(|(.., fault)| fault) {
            None => act(&mut state, 1),
            Some(Fault::Refused) => Err(refused()),
            Some(Fault::Short) => {
                _ = act(&mut state, 2);
                Err(refused())
            }
            Some(Fault::DoneAndRefused) => {
                act(&mut state, 1)?;
                Err(refused())
            }
        }
    }
}

/// Of what is not done by halves, half is nothing.
fn whole<T>(part: usize, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if part == 1 { act() } else { Err(io::Error::other("not done")) }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    type File = MemoryFile;

    fn create(&self, path: &Path) -> io::Result<MemoryFile> {
        let file = self.call(|state, part| {
            whole(part, || {
                state.files.push(Content::default());
                let file = state.files.len() - 1;
                state.names.insert(path.to_owned(), file);
                Ok(file)
            })
        })?;
        Ok(MemoryFile { disk: self.clone(), file })
    }

    fn open(&self, path: &Path) -> io::Result<MemoryFile> {
        let file = self.call(|state, _| state.names.get(path).copied().ok_or_else(missing))?;
        Ok(MemoryFile { disk: self.clone(), file })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.call(|state, _| {
            let file = state.names.get(path).ok_or_else(missing)?;
            Ok(state.files[*file].bytes.clone())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|state, part| {
            whole(part, || {
                let file = state.names.remove(from).ok_or_else(missing)?;
                state.names.insert(to.to_owned(), file);
                Ok(())
            })
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|state, part| whole(part, || state.names.remove(path).map(|_| ()).ok_or_else(missing)))
    }

    fn list(&self, _folder: &Path) -> io::Result<Vec<PathBuf>> {
        self.call(|state, _| Ok(state.names.keys().cloned().collect()))
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        self.call(|state, part| {
            whole(part, || {
                state.durable_names = state.names.clone();
                Ok(())
            })
        })
    }
}

impl DiskFile for MemoryFile {
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.call(|state, part| {
            let (at, bytes) = (at as usize, &bytes[..bytes.len() / part]);
            let file = &mut state.files[self.file].bytes;
            assert!(at <= file.len(), "a hole at byte {at} of a file of {} bytes", file.len());
            file.resize(file.len().max(at + bytes.len()), 0);
            file[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call(|state, part| {
            whole(part, || {
                let file = &mut state.files[self.file];
                file.durable = file.bytes.clone();
                Ok(())
            })
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(|state, _| Ok(state.files[self.file].bytes.len() as u64))
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        // Two steps, of which the second may not be done.
        self.disk.call(|state, part| {
            whole(part, || {
                state.files[self.file].bytes.truncate(len as usize);
                Ok(())
            })
        })?;
        self.sync()
    }
}
