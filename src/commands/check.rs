//! `tracardi check`

use super::{
    CommandError, Printable,
    secret_file::{ADMIN_TOKEN, IDENTITY_KEY},
    terminal::Progress,
};
use crate::{settings::Settings, store};

pub fn run(settings: &Settings) -> Result<(), CommandError> {
    let progress = Progress::new();
    let findings = store::check(&settings.storage, &|step, done, all| progress.report(step, done, all))?;
    drop(progress);
    let secrets = [ADMIN_TOKEN, IDENTITY_KEY].map(|file| file.read(&settings.storage.path).err());
    let secrets = secrets.into_iter().flatten().map(|error| (true, error.to_string()));
    let findings = findings.into_iter().map(|finding| (finding.wrong, finding.text)).chain(secrets);
    let mut is_wrong = false;
    for (wrong, text) in findings {
        println!("{}{}", if wrong { "WRONG: " } else { "" }, Printable(&text));
        is_wrong |= wrong;
    }
    if is_wrong { Err(CommandError::StoreIsWrong) } else { Ok(()) }
}
