//! `tracardi new-identity-key`: for a store whose own key is lost.

use std::fs;

use super::{CommandError, secret_file::IDENTITY_KEY};
use crate::{settings::Settings, store::Folder};

pub fn run(settings: &Settings) -> Result<(), CommandError> {
    let storage = &settings.storage.path;
    let _folder = Folder::take_existing(storage)?;
    let path = IDENTITY_KEY.path(storage);
    if matches!(IDENTITY_KEY.read(storage), Ok(Some(_))) {
        let what = "it is whole: nobody who is known by it should become a stranger".into();
        return Err(CommandError::Secret { path: path.display().to_string(), what });
    }
    if path.exists() {
        let aside = path.with_extension("key.damaged");
        fs::rename(&path, &aside).map_err(|source| CommandError::File { path: aside.display().to_string(), source })?;
    }
    IDENTITY_KEY.make(storage)?;
    println!("a new key was made: who was known by an address is known again once it is sent again");
    Ok(())
}
