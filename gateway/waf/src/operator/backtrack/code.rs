//! The tree → instructions. Owns their number: a pattern that would need too many is refused when it is loaded.

use super::parse::{Around, Kind, Look, Node, Parsed};
use crate::bytes::ByteSet;

/// Instructions of one pattern: counted repetitions are written out.
const MAX_CODE: usize = 100_000;

#[derive(Clone, Debug)]
pub(super) enum Code {
    Byte(ByteSet),
    /// A run of bytes of one set; where it may give back, it does so one by one.
    Run(ByteSet, u32, u32, Kind),
    Look(Look),
    /// First one way, then the other.
    Split(usize, usize),
    Jump(usize),
    Save(usize),
    /// Matches what a group matched; nothing when it matched nothing.
    Back(u16, bool),
    /// What stands from the next instruction on is matched once and for all; it goes on at the place.
    Atomic(usize),
    Around(Around, usize),
    /// Steps back, for what lies behind.
    Rewind(usize),
    /// Notes the place, so that a repetition of nothing ends.
    Mark(usize),
    Moved(usize),
    Done,
}

/// A pattern as instructions.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) code: Vec<Code>,
    /// Two for every group, then one for every repetition that may match nothing.
    pub(super) slots: usize,
    pub(super) groups: u16,
}

pub(super) fn compile(parsed: &Parsed) -> Result<Program, String> {
    let mut compiler = Compiler {
        code: Vec::new(),
        slots: usize::from(parsed.groups) * 2,
    };
    compiler.push(Code::Save(0))?;
    compiler.node(&parsed.node)?;
    compiler.push(Code::Save(1))?;
    compiler.push(Code::Done)?;
    Ok(Program {
        code: compiler.code,
        slots: compiler.slots,
        groups: parsed.groups,
    })
}

struct Compiler {
    code: Vec<Code>,
    slots: usize,
}

impl Compiler {
    fn push(&mut self, code: Code) -> Result<usize, String> {
        if self.code.len() >= MAX_CODE {
            return Err("the pattern is too large".to_owned());
        }
        self.code.push(code);
        Ok(self.code.len() - 1)
    }

    fn set(&mut self, at: usize, code: Code) {
        if let Some(place) = self.code.get_mut(at) {
            *place = code;
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        match node {
            Node::Empty => {}
            Node::Set(set) => {
                self.push(Code::Byte(*set))?;
            }
            Node::Look(look) => {
                self.push(Code::Look(*look))?;
            }
            Node::Back(group, caseless) => {
                self.push(Code::Back(*group, *caseless))?;
            }
            Node::Group(inside, group) => {
                self.push(Code::Save(usize::from(*group) * 2))?;
                self.node(inside)?;
                self.push(Code::Save(usize::from(*group) * 2 + 1))?;
            }
            Node::Cat(parts) => parts.iter().try_for_each(|part| self.node(part))?,
            Node::Alt(branches) => self.alternation(branches, None)?,
            Node::Repeat(inside, least, most, kind) => self.repeat(inside, *least, *most, *kind)?,
            Node::Atomic(inside) => self.apart(inside, Code::Atomic)?,
            Node::Around(inside, around) => {
                let make = |after| Code::Around(*around, after);
                if around.behind {
                    self.behind(inside, make)?;
                } else {
                    self.apart(inside, make)?;
                }
            }
        }
        Ok(())
    }

    /// `lengths`: how far each branch steps back first.
    fn alternation(&mut self, branches: &[Node], lengths: Option<&[usize]>) -> Result<(), String> {
        let mut ends = Vec::new();
        for (at, branch) in branches.iter().enumerate() {
            let last = at + 1 == branches.len();
            let split = if last {
                None
            } else {
                Some(self.push(Code::Done)?)
            };
            if let Some(length) = lengths.and_then(|lengths| lengths.get(at)) {
                self.push(Code::Rewind(*length))?;
            }
            self.node(branch)?;
            if let Some(split) = split {
                ends.push(self.push(Code::Done)?);
                let next = self.code.len();
                self.set(split, Code::Split(split + 1, next));
            }
        }
        let after = self.code.len();
        ends.into_iter()
            .for_each(|end| self.set(end, Code::Jump(after)));
        Ok(())
    }

    /// Something matched on its own: atomic groups and look-around.
    fn apart(&mut self, inside: &Node, make: impl Fn(usize) -> Code) -> Result<(), String> {
        let head = self.push(Code::Done)?;
        self.node(inside)?;
        self.push(Code::Done)?;
        let after = self.code.len();
        self.set(head, make(after));
        Ok(())
    }

    fn behind(&mut self, inside: &Node, make: impl Fn(usize) -> Code) -> Result<(), String> {
        let single = std::slice::from_ref(inside);
        let branches = match inside {
            Node::Alt(branches) => branches.as_slice(),
            _ => single,
        };
        let lengths: Option<Vec<usize>> = branches.iter().map(length).collect();
        let lengths = lengths.ok_or("a look-behind needs branches of fixed length")?;
        let head = self.push(Code::Done)?;
        self.alternation(branches, Some(&lengths))?;
        self.push(Code::Done)?;
        let after = self.code.len();
        self.set(head, make(after));
        Ok(())
    }

    fn repeat(
        &mut self,
        inside: &Node,
        least: u32,
        most: Option<u32>,
        kind: Kind,
    ) -> Result<(), String> {
        if let Node::Set(set) = inside {
            self.push(Code::Run(*set, least, most.unwrap_or(u32::MAX), kind))?;
            return Ok(());
        }
        if kind == Kind::Possessive {
            let own = Node::Repeat(Box::new(inside.clone()), least, most, Kind::Greedy);
            return self.apart(&own, Code::Atomic);
        }
        for _ in 0..least {
            let before = self.code.len();
            self.node(inside)?;
            // Nothing, however often.
            if self.code.len() == before {
                return Ok(());
            }
        }
        match most {
            None => self.star(inside, kind),
            Some(most) => self.optional(inside, most - least, kind),
        }
    }

    fn split(&self, kind: Kind, at: usize, after: usize) -> Code {
        match kind {
            Kind::Lazy => Code::Split(after, at + 1),
            Kind::Greedy | Kind::Possessive => Code::Split(at + 1, after),
        }
    }

    fn star(&mut self, inside: &Node, kind: Kind) -> Result<(), String> {
        let head = self.push(Code::Done)?;
        let mark = self.slots;
        self.slots += 1;
        self.push(Code::Mark(mark))?;
        self.node(inside)?;
        self.push(Code::Moved(mark))?;
        self.push(Code::Jump(head))?;
        let after = self.code.len();
        self.set(head, self.split(kind, head, after));
        Ok(())
    }

    fn optional(&mut self, inside: &Node, times: u32, kind: Kind) -> Result<(), String> {
        let mut heads = Vec::new();
        for _ in 0..times {
            heads.push(self.push(Code::Done)?);
            self.node(inside)?;
        }
        let after = self.code.len();
        for head in heads {
            self.set(head, self.split(kind, head, after));
        }
        Ok(())
    }
}

/// How many bytes a part matches, when it is always as many.
fn length(node: &Node) -> Option<usize> {
    match node {
        Node::Empty | Node::Look(_) | Node::Around(..) => Some(0),
        Node::Set(_) => Some(1),
        Node::Group(inside, _) | Node::Atomic(inside) => length(inside),
        Node::Cat(parts) => parts.iter().map(length).sum(),
        Node::Alt(branches) => {
            let first = branches.first().and_then(length)?;
            branches
                .iter()
                .all(|branch| length(branch) == Some(first))
                .then_some(first)
        }
        Node::Repeat(inside, least, most, _) => {
            let once = length(inside)?;
            (*most == Some(*least)).then(|| once.saturating_mul(*least as usize))
        }
        Node::Back(..) => None,
    }
}
