//! JSON (RFC 8259, nothing beyond it) as leaves with dotted names. Iterative: nesting costs a frame, not the stack.
//! Names are ModSecurity's: `json.a.b`, and `json.list.array_0` for the first element.

use std::io::Write;

use super::json_text::{self, Cursor};
use super::{Counted, Fault, Flaw, Scratch, Sink, Stop};

/// An open container.
#[derive(Debug)]
pub(super) struct Frame {
    /// Length of the name up to and including this container.
    base: usize,
    /// Elements seen so far.
    count: usize,
    array: bool,
    /// Tells the keys of one object from those of another.
    serial: usize,
}

pub(super) fn parse<S: Sink>(
    scratch: &mut Scratch,
    bytes: &[u8],
    out: &mut Counted<'_, S>,
) -> Result<(), Stop> {
    scratch.frames.clear();
    scratch.keys.clear();
    scratch.name.clear();
    scratch.name.extend_from_slice(b"json");
    let mut cursor = Cursor::new(bytes);
    cursor.blank();
    // Clients that always name a type send it with empty bodies, too.
    if cursor.peek().is_none() {
        return Ok(());
    }
    let mut tree = Tree {
        scratch,
        out,
        serial: 0,
    };
    tree.value(&mut cursor)?;
    while !tree.scratch.frames.is_empty() {
        tree.element(&mut cursor)?;
    }
    cursor.blank();
    match cursor.peek() {
        None => Ok(()),
        Some(_) => Err(cursor.fault("data after the end").into()),
    }
}

struct Tree<'a, 'b, S> {
    scratch: &'a mut Scratch,
    out: &'a mut Counted<'b, S>,
    serial: usize,
}

impl<S: Sink> Tree<'_, '_, S> {
    /// The next element of the innermost container, or its end.
    fn element(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let Some(frame) = self.scratch.frames.last_mut() else {
            return Ok(());
        };
        let close = if frame.array { b']' } else { b'}' };
        cursor.blank();
        if cursor.take(close) {
            return self.close();
        }
        if frame.count > 0 {
            if !cursor.take(b',') {
                return Err(cursor.fault("expected a comma or the end").into());
            }
            cursor.blank();
        }
        let (array, index, base, serial) = (frame.array, frame.count, frame.base, frame.serial);
        frame.count += 1;
        self.scratch.name.truncate(base);
        if array {
            // Writing to a Vec cannot fail.
            let _ = write!(self.scratch.name, ".array_{index}");
        } else {
            self.key(cursor, serial)?;
        }
        self.value(cursor)
    }

    /// A key with its colon; the name grows by it.
    fn key(&mut self, cursor: &mut Cursor<'_>, serial: usize) -> Result<(), Stop> {
        json_text::string(cursor, &mut self.scratch.value)?;
        let hash = self
            .scratch
            .keys
            .hasher()
            .hash_one(Key(serial, &self.scratch.value));
        if !self.scratch.keys.insert(hash) {
            self.out.flaw(Flaw::DuplicateKey)?;
        }
        self.scratch.name.push(b'.');
        self.scratch.name.extend_from_slice(&self.scratch.value);
        if self.scratch.name.len() > self.out.limits.name {
            return Err(Fault::NameTooLong.into());
        }
        cursor.blank();
        if !cursor.take(b':') {
            return Err(cursor.fault("expected a colon").into());
        }
        Ok(())
    }

    fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        cursor.blank();
        let start = cursor.at();
        self.scratch.value.clear();
        match cursor.peek() {
            Some(b'{') => return self.open(cursor, false),
            Some(b'[') => return self.open(cursor, true),
            Some(b'"') => json_text::string(cursor, &mut self.scratch.value)?,
            Some(b'-' | b'0'..=b'9') => self
                .scratch
                .value
                .extend_from_slice(json_text::number(cursor)?),
            Some(b't') => self.word(cursor, b"true", b"true")?,
            Some(b'f') => self.word(cursor, b"false", b"false")?,
            Some(b'n') => self.word(cursor, b"null", b"")?,
            _ => return Err(cursor.fault("expected a value").into()),
        }
        self.out
            .pair(&self.scratch.name, &self.scratch.value, cursor.since(start))
    }

    fn word(&mut self, cursor: &mut Cursor<'_>, word: &[u8], value: &[u8]) -> Result<(), Stop> {
        if !cursor.take_all(word) {
            return Err(cursor.fault("expected a value").into());
        }
        self.scratch.value.extend_from_slice(value);
        Ok(())
    }

    fn open(&mut self, cursor: &mut Cursor<'_>, array: bool) -> Result<(), Stop> {
        cursor.skip();
        if self.scratch.frames.len() >= self.out.limits.depth {
            return Err(Fault::TooDeep.into());
        }
        self.serial += 1;
        let base = self.scratch.name.len();
        self.scratch.frames.push(Frame {
            base,
            count: 0,
            array,
            serial: self.serial,
        });
        Ok(())
    }

    /// An empty container is handed out as a name without a value: the name may be the attack.
    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.scratch.frames.pop() else {
            return Ok(());
        };
        if frame.count == 0 && !self.scratch.frames.is_empty() {
            self.out.pair(&self.scratch.name, b"", b"")?;
        }
        Ok(())
    }
}

#[derive(Hash)]
struct Key<'a>(usize, &'a [u8]);
