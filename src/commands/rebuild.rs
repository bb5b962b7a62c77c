//! `tracardi rebuild`

use std::sync::Arc;

use super::{CommandError, terminal::Progress};
use crate::{
    clock::Clock,
    settings::Settings,
    store::{Folder, Store},
};

pub fn run(settings: &Settings) -> Result<(), CommandError> {
    let progress = Progress::new();
    let folder = Folder::take_existing(&settings.storage.path)?;
    let report = |step, done, all| progress.report(step, done, all);
    let store = Store::open_rebuilt(&settings.storage, folder, Arc::new(Clock::default()), &report)?;
    store.close();
    drop(progress);
    println!("the views were made anew from the log");
    Ok(())
}
