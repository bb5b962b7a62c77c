//! `tracardi check`

use super::{
    CommandError, Printable,
    secret_file::{ADMIN_TOKEN, IDENTITY_KEY, MISSING},
    terminal::Progress,
};
use crate::{
    settings::Settings,
    store::{self, Checked},
};

pub fn run(settings: &Settings) -> Result<(), CommandError> {
    let progress = Progress::new();
    let report = |step, done, all| progress.report(step, done, all);
    let Checked { findings, has_profiles } = store::check(&settings.storage, &report)?;
    drop(progress);
    let storage = &settings.storage.path;
    let secrets = [
        ADMIN_TOKEN.read(storage).err(),
        match IDENTITY_KEY.read(storage) {
            // The next start refuses that, too.
            Ok(None) if has_profiles => Some(IDENTITY_KEY.refused(storage, MISSING)),
            read => read.err(),
        },
    ];
    let secrets = secrets.into_iter().flatten().map(|error| (true, error.to_string()));
    let findings = findings.into_iter().map(|finding| (finding.wrong, finding.text)).chain(secrets);
    let mut is_wrong = false;
    for (wrong, text) in findings {
        println!("{}{}", if wrong { "WRONG: " } else { "" }, Printable(&text));
        is_wrong |= wrong;
    }
    if is_wrong { Err(CommandError::StoreIsWrong) } else { Ok(()) }
}
