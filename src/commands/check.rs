//! `tracardi check`

use super::{CommandError, Printable, terminal::Progress};
use crate::{settings::Settings, store};

pub fn run(settings: &Settings) -> Result<(), CommandError> {
    let progress = Progress::new();
    let findings = store::check(&settings.storage, &|step, done, all| progress.report(step, done, all))?;
    drop(progress);
    for finding in &findings {
        println!("{}{}", if finding.wrong { "WRONG: " } else { "" }, Printable(&finding.text));
    }
    if findings.iter().any(|finding| finding.wrong) { Err(CommandError::StoreIsWrong) } else { Ok(()) }
}
