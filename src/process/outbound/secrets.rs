//! Secrets that lookups send, by name: from the environment, or a file that only its owner may read. They are never
//! logged or shown, and never stand in a configuration.

use std::{collections::HashMap, os::unix::fs::PermissionsExt, path::Path};

/// `TRACARDI_SECRET_CRM` is the secret `crm`.
const ENVIRONMENT: &str = "TRACARDI_SECRET_";

#[derive(Default)]
pub struct Secrets {
    named: HashMap<String, String>,
}

/// Why a file of secrets is not read. One line for people, without what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    #[error("{path}: {source}")]
    Unreadable { path: String, source: std::io::Error },
    #[error("{0}: others may read it: its mode must be 0600")]
    Open(String),
    #[error("{path}: line {line}: NAME=VALUE is expected")]
    Malformed { path: String, line: usize },
}

impl Secrets {
    /// Reads the secrets of the environment, and those of `file` if one is named: a `NAME=VALUE` in each line, `#`
    /// before a comment. The environment wins.
    ///
    /// # Errors
    /// The file cannot be read, may be read by others, or a line is malformed.
    pub fn load(file: Option<&Path>) -> Result<Self, SecretsError> {
        let mut named = HashMap::new();
        if let Some(file) = file {
            let path = file.display().to_string();
            let unreadable = |source| SecretsError::Unreadable { path: path.clone(), source };
            let mode = std::fs::metadata(file).map_err(unreadable)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(SecretsError::Open(path));
            }
            let text = std::fs::read_to_string(file).map_err(unreadable)?;
            for (index, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let malformed = || SecretsError::Malformed { path: path.clone(), line: index + 1 };
                let (name, value) = line.split_once('=').ok_or_else(malformed)?;
                named.insert(name.trim().to_lowercase(), value.trim().to_owned());
            }
        }
        for (name, value) in std::env::vars_os() {
            if let (Some(name), Ok(value)) =
                (name.to_str().and_then(|name| name.strip_prefix(ENVIRONMENT)), value.into_string())
            {
                named.insert(name.to_lowercase(), value);
            }
        }
        Ok(Self { named })
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.named.get(&name.to_lowercase()).cloned()
    }
}
