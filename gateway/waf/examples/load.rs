//! Loads files of SecLang as they lie on this disk and says what is wrong with them: `cargo run -p waf --example load FILE…`.

use std::{env, error::Error, fs, path::Path};

use waf::{
    Ruleset, Source,
    seclang::{self, Files},
};

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

fn main() -> Result<(), Box<dyn Error>> {
    let mut texts = Vec::new();
    for name in env::args().skip(1) {
        let text = fs::read_to_string(&name)?;
        texts.push((name, text));
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(name, text)| Source::SecLang(seclang::Source { name, text }))
        .collect();
    match Ruleset::load(&sources, &Disk) {
        Ok(rules) => {
            for warning in rules.warnings() {
                println!("warning: {warning}");
            }
            println!("{} rules", rules.len());
        }
        Err(faults) => {
            for fault in &faults {
                println!("{fault}");
            }
            println!("{} faults", faults.len());
        }
    }
    Ok(())
}
