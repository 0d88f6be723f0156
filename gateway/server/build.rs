//! Puts the built-in WAF rules into the binary, so that the demo needs no other file.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let rules = here.unwrap_or_default().join("../../policies/waf");
    println!("cargo::rerun-if-changed={}", rules.display());
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = files(&rules)?;
    files.sort();
    let mut code = String::from("&[\n");
    for file in files {
        let name = file.file_name().unwrap_or_default();
        code.push_str(&format!("    ({name:?}, include_str!({file:?})),\n"));
    }
    code.push_str("]\n");
    let out = env::var_os("OUT_DIR").map(PathBuf::from);
    fs::write(out.unwrap_or_default().join("builtin_rules.rs"), code)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let named = |ending: &str| path.extension().is_some_and(|found| found == ending);
        // Word lists that rules read with `@pmFromFile` lie beside them.
        if named("yaml") || named("data") || named("txt") {
            files.push(path);
        }
    }
    Ok(files)
}
