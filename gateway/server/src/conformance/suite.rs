//! The suite's tests from its YAML files, old and new spellings alike. What is not understood is a fault of the test,
//! told with file and line; it never passes silently.

use std::fs;
use std::path::{Path, PathBuf};

use policy::document::{Document, Item};

use super::expect::Expect;
use super::request;

/// More files than this are not a suite.
const MOST_FILES: usize = 10_000;

/// Tests, in the order of their files.
#[derive(Debug, Default)]
pub(crate) struct Suite {
    /// Every test.
    pub(crate) tests: Vec<Test>,
    /// How many files there are.
    pub(crate) files: usize,
    /// What could not be read, with file and line.
    pub(crate) faults: Vec<String>,
}

/// One test: requests in order, and what must come of each.
#[derive(Debug)]
pub(crate) struct Test {
    /// Rule and number: `942100-1`.
    pub(crate) name: String,
    /// The rule it is about.
    pub(crate) rule: u32,
    /// Where it stands.
    pub(crate) place: String,
    /// In order.
    pub(crate) stages: Vec<Stage>,
}

/// One request of a test.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Byte for byte.
    pub(crate) sent: Vec<u8>,
    /// What must come of it.
    pub(crate) expect: Expect,
}

impl Suite {
    /// Reads every `.yaml` file below `folder`; `only` keeps tests of one rule, or one test.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn read(folder: &Path, only: &[String]) -> Result<Self, String> {
        let mut files = Vec::new();
        find(folder, &mut files)?;
        files.sort();
        let mut suite = Self {
            files: files.len(),
            ..Self::default()
        };
        for file in files {
            let short = file
                .strip_prefix(folder)
                .unwrap_or(&file)
                .display()
                .to_string();
            match fs::read(&file) {
                Ok(text) => suite.file(&file, &short, &text),
                Err(why) => suite.faults.push(format!("{short}: {why}")),
            }
        }
        if !only.is_empty() {
            let wanted = |test: &Test| {
                let rule = test.rule.to_string();
                only.iter().any(|only| *only == test.name || *only == rule)
            };
            suite.tests.retain(wanted);
        }
        Ok(suite)
    }

    fn file(&mut self, path: &Path, short: &str, text: &[u8]) {
        let documents = match Document::read(text) {
            Ok(documents) => documents,
            Err(why) => return self.faults.push(format!("{short}:{why}")),
        };
        for document in &documents {
            let root = document.root();
            let rule = number(root.at("rule_id"))
                .or_else(|| named(path))
                .unwrap_or_default();
            for (index, item) in root
                .at("tests")
                .into_iter()
                .flat_map(Item::items)
                .enumerate()
            {
                match test(item, rule, index, short) {
                    Ok(test) => self.tests.push(test),
                    Err(why) => self.faults.push(format!("{short}: {why}")),
                }
            }
        }
    }
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |why: std::io::Error| format!("{}: {why}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path);
        }
        if files.len() > MOST_FILES {
            return Err(format!("more than {MOST_FILES} files"));
        }
    }
    Ok(())
}

fn test(item: Item<'_>, rule: u32, index: usize, file: &str) -> Result<Test, String> {
    let at = |why: String| format!("line {}: {why}", item.line());
    let own = number(item.at("test_id")).or_else(|| number(item.at("id")));
    let own = own.unwrap_or_else(|| u32::try_from(index + 1).unwrap_or(u32::MAX));
    // Before test numbers there were titles such as 911100-1.
    let title = item.at("test_title").and_then(Item::text);
    let name = title.map_or_else(|| format!("{rule}-{own}"), str::to_owned);
    let rule = match title.and_then(|title| title.split('-').next()?.parse().ok()) {
        Some(titled) if rule == 0 => titled,
        Some(_) | None => rule,
    };
    let mut stages = Vec::new();
    for stage in item.at("stages").into_iter().flat_map(Item::items) {
        let stage = stage.at("stage").unwrap_or(stage);
        let input = stage
            .at("input")
            .ok_or_else(|| at("a stage without input".to_owned()))?;
        let expect = stage.at("output").map(Expect::read).transpose();
        stages.push(Stage {
            sent: request::bytes(input).map_err(|why| format!("test {name}: {why}"))?,
            expect: expect
                .map_err(|why| format!("test {name}: {why}"))?
                .unwrap_or_default(),
        });
    }
    if stages.is_empty() {
        return Err(at(format!("test {name} has no stages")));
    }
    let place = format!("{file}:{}", item.line());
    Ok(Test {
        name,
        rule,
        place,
        stages,
    })
}

fn number(item: Option<Item<'_>>) -> Option<u32> {
    item.and_then(Item::text)?.trim().parse().ok()
}

/// The rule that a file is named after.
fn named(path: &Path) -> Option<u32> {
    let stem = path.file_stem()?.to_str()?;
    let digits: String = stem.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::Suite;

    #[test]
    fn reads_new_and_old_spellings() {
        let folder = tempfile::tempdir().unwrap();
        let new = "rule_id: 7\ntests:\n  - test_id: 3\n    stages:\n      - input: {uri: /a}\n        output: {log: {expect_ids: [7]}}\n";
        let old = "meta: {name: 8.yaml}\ntests:\n  - test_title: 8-1\n    stages:\n      - stage:\n          input: {uri: /b}\n          output: {log_contains: 'id \"8\"'}\n";
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("in/7.yaml"), new).unwrap();
        std::fs::write(folder.path().join("in/8.yaml"), old).unwrap();
        std::fs::write(folder.path().join("in/empty.yaml"), "# nothing\n").unwrap();
        std::fs::write(folder.path().join("in/9.txt"), "no test").unwrap();
        let suite = Suite::read(folder.path(), &[]).unwrap();
        let names: Vec<_> = suite.tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!((names, suite.files), (vec!["7-3", "8-1"], 3));
        assert_eq!(suite.tests[0].stages[0].expect.ids, [7]);
        assert!(suite.faults.is_empty(), "{:?}", suite.faults);
        let one = Suite::read(folder.path(), &["8".to_owned()]).unwrap();
        assert_eq!(one.tests.len(), 1);
    }

    #[test]
    fn tells_what_it_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let text = "rule_id: 7\ntests:\n  - test_id: 3\n    stages:\n      - input: {wrong: 1}\n  - {test_id: 4}\n";
        std::fs::write(folder.path().join("7.yaml"), text).unwrap();
        std::fs::write(folder.path().join("8.yaml"), "a: [").unwrap();
        let suite = Suite::read(folder.path(), &[]).unwrap();
        assert_eq!(
            (suite.tests.len(), suite.faults.len()),
            (0, 3),
            "{:?}",
            suite.faults
        );
    }
}
