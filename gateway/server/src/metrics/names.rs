//! Words that become labels, as small numbers: names of routes and checks, which come from policies and therefore
//! from operators. They are kept for the life of the process, so counters survive a reload.

use ahash::AHashMap;
use parking_lot::Mutex;

/// A name. 0 is the empty one: no route, no check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Word(pub(super) u16);

/// Most names over the life of a process; later ones are counted without a name.
const MOST: usize = u16::MAX as usize;

#[derive(Debug)]
pub(super) struct Names {
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    by_name: AHashMap<String, Word>,
    names: Vec<String>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            known: Mutex::new(Known {
                by_name: AHashMap::from([(String::new(), Word(0))]),
                names: vec![String::new()],
            }),
        }
    }
}

impl Names {
    /// The number of a name; asked when a policy loads, never for a request.
    pub(super) fn word(&self, name: &str) -> Word {
        let mut known = self.known.lock();
        if let Some(&word) = known.by_name.get(name) {
            return word;
        }
        if known.names.len() >= MOST {
            return Word::default();
        }
        let word = Word(u16::try_from(known.names.len()).unwrap_or_default());
        known.names.push(name.to_owned());
        known.by_name.insert(name.to_owned(), word);
        word
    }

    /// Every name, by number.
    pub(super) fn all(&self) -> Vec<String> {
        self.known.lock().names.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Word};

    #[test]
    fn keeps_a_name_s_number() {
        let names = Names::default();
        let web = names.word("web");
        assert_eq!(names.word(""), Word(0));
        assert_ne!(names.word("api"), web);
        assert_eq!(names.word("web"), web);
        assert_eq!(names.all(), ["", "web", "api"]);
    }
}
