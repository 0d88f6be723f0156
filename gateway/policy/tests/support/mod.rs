//! Files of a test folder as a policy's sources.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use policy::sources::Sources;

/// A folder below `gateway/policy/tests`, and what it pretends to find in the environment.
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) env: Vec<(&'static str, &'static str)>,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        Self {
            root,
            env: vec![("PALISADE_TEST_SECRET", "0123456789abcdef0123456789abcdef")],
        }
    }

    /// Names of the YAML files in it, sorted.
    #[allow(dead_code, reason = "not every test reads whole folders")]
    pub(crate) fn yaml(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
        names.sort();
        names
    }
}

impl Sources for Folder {
    fn read(&mut self, path: &str) -> Result<Bytes, String> {
        match fs::read(self.root.join(path)) {
            Ok(bytes) => Ok(bytes.into()),
            Err(_) => Err("no such file".to_owned()),
        }
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        let Some((folder, name)) = pattern.rsplit_once('/').or(Some(("", pattern))) else {
            return Ok(vec![]);
        };
        let Some((before, after)) = name.split_once('*') else {
            return Ok(if self.root.join(pattern).exists() {
                vec![pattern.to_owned()]
            } else {
                vec![]
            });
        };
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else {
            return Err("no such folder".to_owned());
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let fits = |name: &String| name.starts_with(before) && name.ends_with(after);
        let mut names: Vec<_> = names.filter(fits).collect();
        names.sort();
        let slash = if folder.is_empty() { "" } else { "/" };
        Ok(names
            .into_iter()
            .map(|name| format!("{folder}{slash}{name}"))
            .collect())
    }

    fn env(&mut self, name: &str) -> Option<String> {
        let found = self.env.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }
}
