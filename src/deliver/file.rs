//! Files of destinations. Each delivery writes on a thread of its own, so that a disk that does not answer (a network
//! folder whose server is gone) keeps nobody else waiting: no other file, and nothing that is answered from the store.

use std::{
    collections::HashSet,
    fs,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::sync::{Semaphore, oneshot};

use crate::supervise::caught_now;

/// How many files are written to at a time.
const THREADS_MAX: usize = 16;
/// What a thread's stack takes: it only writes.
const STACK_BYTES: usize = 256 * 1024;
/// How long a delivery waits for the disk.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How many bytes are read at a time to find the end of a line.
const LOOKED_BACK: usize = 64 * 1024;

/// The files in the folder of deliveries.
pub struct Files {
    folder: PathBuf,
    threads: Arc<Semaphore>,
    /// Those that a thread is at.
    busy: Arc<Mutex<HashSet<Box<str>>>>,
}

impl Files {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, threads: Arc::new(Semaphore::new(THREADS_MAX)), busy: Arc::default() }
    }

    /// Appends lines to a file of the folder, durably; makes both if they are not there.
    ///
    /// # Errors
    /// Why they were not written, for people. After 30 s without an answer they may still be.
    pub async fn append(&self, name: &str, lines: String) -> Result<(), String> {
        let (folder, path) = (self.folder.clone(), self.folder.join(name));
        self.write(name, TIMEOUT, move || append(&folder, &path, &lines)).await
    }

    /// Does `work` on the file `name`, alone: as long as an earlier delivery hangs in it, there is no other.
    async fn write(
        &self,
        name: &str,
        timeout: Duration,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<(), String> {
        let claim = Claim::take(name, &self.busy).ok_or("an earlier delivery still waits for the disk")?;
        let thread = tokio::time::timeout(timeout, self.threads.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = thread else {
            return Err(format!("{THREADS_MAX} other files wait for the disk"));
        };
        let (done, written) = oneshot::channel();
        let thread = std::thread::Builder::new().name("delivery".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn(move || {
            let result = caught_now(work).and_then(|written| written.map_err(|error| error.to_string()));
            drop((permit, claim));
            _ = done.send(result); // nobody waits if it took too long
        });
        thread.map_err(|error| error.to_string())?;
        match tokio::time::timeout(timeout, written).await {
            Ok(written) => written.unwrap_or_else(|_| Err("the file cannot be written".into())),
            Err(_) => Err(format!("the disk did not answer in {} s", timeout.as_secs_f32())),
        }
    }
}

/// A file that a delivery is at, until it is dropped.
struct Claim {
    name: Box<str>,
    busy: Arc<Mutex<HashSet<Box<str>>>>,
}

impl Claim {
    fn take(name: &str, busy: &Arc<Mutex<HashSet<Box<str>>>>) -> Option<Self> {
        busy.lock().insert(name.into()).then(|| Self { name: name.into(), busy: busy.clone() })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.name);
    }
}

/// Appends lines, durably. What was left of a line by a delivery that did not come to its end is cut off first.
fn append(folder: &Path, path: &Path, lines: &str) -> io::Result<()> {
    if !folder.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        if let Some(above) = folder.parent() {
            fs::File::open(above)?.sync_all()?; // its name
        }
    }
    let is_new = !path.exists();
    let mut file = fs::OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        // A pipe that nobody reads is not waited for; for a file it means nothing.
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file but something else, like a pipe or a device"));
    }
    let whole = end_of_lines(&mut file)?;
    if whole < file.metadata()?.len() {
        file.set_len(whole)?;
    }
    if let Err(error) = file.write_all(lines.as_bytes()) {
        file.set_len(whole)?; // nobody should wait for the next delivery to read it
        return Err(error);
    }
    file.sync_data()?;
    if is_new {
        fs::File::open(folder)?.sync_all()?; // its name
    }
    Ok(())
}

/// The length of the file up to the end of its last whole line.
fn end_of_lines(file: &mut fs::File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut bytes = vec![0; LOOKED_BACK];
    while end > 0 {
        let start = end.saturating_sub(LOOKED_BACK as u64);
        let read = &mut bytes[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(read)?;
        if let Some(place) = read.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::mpsc};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn files_whose_disk_does_not_answer_keep_no_other_file_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path().join("deliveries"));
        let mut answers = Vec::new();
        for number in 0..THREADS_MAX - 1 {
            let (answer, disk) = mpsc::channel::<()>();
            let name = format!("hangs-{number}");
            let hangs = files.write(&name, SOON, move || disk.recv().or(Ok(()))).await;
            assert!(hangs.unwrap_err().contains("did not answer"));
            answers.push(answer);
        }
        files.append("fine.ndjson", "one\n".into()).await.unwrap();
        // Not even a new delivery to such a file takes another thread, and no two write at once.
        let again = files.write("hangs-0", SOON, || panic!("two deliveries are in one file")).await;
        assert!(again.unwrap_err().contains("an earlier delivery"));
        files.append("fine.ndjson", "two\n".into()).await.unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("deliveries/fine.ndjson")).unwrap(), "one\ntwo\n");
        // Once the disk answers, it goes on.
        drop(answers);
        while files.write("hangs-0", SOON, || Ok(())).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_delivery_that_panics_is_told_and_the_next_one_is_made() {
        let files = Files::new("/nowhere".into());
        let told = files.write("it", TIMEOUT, || panic!("no such luck")).await.unwrap_err();
        assert!(told.contains("no such luck"), "{told}");
        files.write("it", TIMEOUT, || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn only_its_owner_may_read_a_delivery_and_only_files_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let deliveries = folder.path().join("deliveries");
        let files = Files::new(deliveries.clone());
        files.append("it.ndjson", "one\n".into()).await.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&deliveries), mode(&deliveries.join("it.ndjson"))), (0o700, 0o600));
        let pipe = deliveries.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(files.append("pipe", "one\n".into()).await.unwrap_err().contains("a pipe"));
        fs::create_dir(deliveries.join("folder")).unwrap();
        assert!(files.append("folder", "one\n".into()).await.is_err());
        // What was deleted is made again, and half a line is no line.
        fs::remove_file(deliveries.join("it.ndjson")).unwrap();
        fs::write(deliveries.join("it.ndjson"), "whole\nhal").unwrap();
        files.append("it.ndjson", "two\n".into()).await.unwrap();
        assert_eq!(fs::read_to_string(deliveries.join("it.ndjson")).unwrap(), "whole\ntwo\n");
    }
}
