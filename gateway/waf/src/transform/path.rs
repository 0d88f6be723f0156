//! normalizePath and normalizePathWin: empty segments, `.` and `..` resolved. A relative path keeps leading `..`, an
//! absolute one does not climb above its root; a trailing slash stays only where there was one.

use memchr::memmem;

/// A segment that merely ends in two dots counts as `..`, as in ModSecurity.
pub(super) fn normalize(input: &[u8], out: &mut Vec<u8>, win: bool) -> bool {
    if !may_change(input, win) {
        return false;
    }
    let mut path = Path {
        input,
        out,
        win,
        src: 0,
        at_root: false,
    };
    while path.src < input.len() {
        if !path.step() {
            break;
        }
    }
    if path.byte(input.len() - 1) != Some(b'/') && path.out.last() == Some(&b'/') {
        path.out.pop();
    }
    path.out != input
}

fn may_change(input: &[u8], win: bool) -> bool {
    input.last() == Some(&b'.')
        || memmem::find(input, b"//").is_some()
        || memmem::find(input, b"./").is_some()
        || (win && memchr::memchr(b'\\', input).is_some())
}

struct Path<'a> {
    input: &'a [u8],
    out: &'a mut Vec<u8>,
    win: bool,
    /// The next byte to read.
    src: usize,
    /// Nothing is left that `..` could take back.
    at_root: bool,
}

impl Path<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        let byte = self.input.get(at)?;
        Some(if self.win && *byte == b'\\' {
            b'/'
        } else {
            *byte
        })
    }

    fn relative(&self) -> bool {
        self.byte(0) != Some(b'/')
    }

    /// Reads one byte, and the segment before it when it ends there. False: the path ended in a reference.
    fn step(&mut self) -> bool {
        let (here, next) = (self.byte(self.src), self.byte(self.src + 1));
        let ends = next.is_none_or(|b| b == b'/');
        let empty = here == Some(b'/') && next.is_some();
        if ends && !empty {
            if here == Some(b'.') {
                if !self.dot(next.is_none()) {
                    return false;
                }
            } else if !self.out.is_empty() {
                self.at_root = false;
            }
        }
        self.copy();
        true
    }

    /// The last byte of a segment is a dot: resolves it if it is a reference. False when nothing is left to copy.
    fn dot(&mut self, last: bool) -> bool {
        match self.out.last() {
            Some(b'.') if self.relative() && (self.at_root || self.out.len() <= 2) => {
                self.at_root = true;
                return true;
            }
            Some(b'.') => self.take_back(last),
            Some(b'/') if !last => {
                self.out.pop();
            }
            None | Some(b'/') => {}
            Some(_) => return true,
        }
        self.src += 1;
        !last
    }

    /// Drops `/..`, of which one dot is written, and the segment before it.
    fn take_back(&mut self, last: bool) {
        let from = self.out.len().saturating_sub(3);
        let head = self.out.get(..=from).unwrap_or_default();
        let mut kept = head.iter().rposition(|b| *b == b'/').unwrap_or(0);
        if kept == 0 {
            self.at_root = true;
            kept = usize::from(last && !self.relative());
        }
        self.out.truncate(kept);
    }

    /// Copies one byte; of several slashes one, and none at the start of a relative path.
    fn copy(&mut self) {
        let Some(byte) = self.byte(self.src) else {
            return;
        };
        if byte == b'/' {
            while self.byte(self.src + 1) == Some(b'/') {
                self.src += 1;
            }
        }
        if byte != b'/' || !self.relative() || !self.out.is_empty() {
            self.out.push(byte);
        }
        self.src += 1;
    }
}
