//! What the examples share: an OWASP Core Rule Set from a folder, native rules from a file, and requests that differ
//! from each other as real ones do.
#![allow(dead_code, reason = "each example uses its part")]

use std::{error::Error, fs, path::Path};

use waf::{
    Ruleset, Source, native,
    seclang::{self, Files},
};

/// Files beside the one that names them; a pattern has its star in the file name.
struct Disk;

impl Files for Disk {
    fn read(&self, from: &str, path: &str) -> Result<String, String> {
        let beside = Path::new(from)
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join(path);
        fs::read_to_string(beside).map_err(|error| format!("{path}: {error}"))
    }

    fn list(&self, from: &str, pattern: &str) -> Result<Vec<String>, String> {
        let beside = Path::new(from)
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join(pattern);
        let folder = beside.parent().unwrap_or_else(|| Path::new(""));
        let name = beside
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some((start, end)) = name.split_once('*') else {
            return Ok(vec![beside.display().to_string()]);
        };
        let mut found: Vec<String> = fs::read_dir(folder)
            .map_err(|error| format!("{pattern}: {error}"))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with(start) && name.ends_with(end))
            .map(|name| folder.join(name).display().to_string())
            .collect();
        found.sort();
        Ok(found)
    }
}

/// The sources of a rule set: the set-up file, `own` before it, then the rules in the order of their names.
pub(crate) fn crs(folder: &str, own: &str) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut names: Vec<_> = fs::read_dir(Path::new(folder).join("rules"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    names.sort();
    names.insert(0, Path::new(folder).join("crs-setup.conf.example"));
    let mut texts = vec![("own".to_owned(), own.to_owned())];
    for name in names {
        texts.push((name.display().to_string(), fs::read_to_string(&name)?));
    }
    Ok(texts)
}

pub(crate) fn seclang(texts: &[(String, String)]) -> Result<Ruleset, Box<dyn Error>> {
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(name, text)| Source::SecLang(seclang::Source { name, text }))
        .collect();
    Ruleset::load(&sources, &Disk).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        lines.join("\n").into()
    })
}

/// A folder is a Core Rule Set, a file is native rules as JSON.
pub(crate) fn load(path: &str, paranoia: u8) -> Result<Ruleset, Box<dyn Error>> {
    if Path::new(path).is_dir() {
        return seclang(&crs(path, &level(paranoia))?);
    }
    let file: native::File = serde_json::from_str(&fs::read_to_string(path)?)?;
    Ruleset::compile(&[native::Source {
        name: path,
        file: &file,
    }])
    .map_err(|faults| format!("{faults:?}").into())
}

pub(crate) fn level(paranoia: u8) -> String {
    format!(
        "SecAction \"id:1,phase:1,nolog,pass,t:none,setvar:tx.blocking_paranoia_level={paranoia}\"\n"
    )
}
