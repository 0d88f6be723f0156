//! Instructions against a value: backtracking, counted step by step. When the steps are used up the answer is that
//! there is none, never that nothing matched.

use super::{
    code::{Code, Program},
    parse::{Kind, Look},
};
use crate::bytes::ByteSet;

/// Ways still open at one time. Beyond it the value is as hostile as one that takes too many steps.
const MAX_OPEN: usize = 1 << 18;

/// The steps ran out before the question was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exhausted;

/// A way not yet tried, or what is to be put back on the way to it.
enum Open {
    Way(usize, usize),
    /// A run that may give back down to the first place, now at the second.
    Shrink(usize, usize, usize),
    /// A lazy run that may take more, up to so many.
    Grow(usize, usize, u32),
    Slot(usize, usize),
}

const UNSET: usize = usize::MAX;

pub(super) struct Runner<'a> {
    program: &'a Program,
    text: &'a [u8],
    pub(super) steps: u64,
    pub(super) slots: Vec<usize>,
    open: Vec<Open>,
}

impl<'a> Runner<'a> {
    pub(super) fn new(program: &'a Program, text: &'a [u8], steps: u64) -> Self {
        Self {
            program,
            text,
            steps,
            slots: vec![UNSET; program.slots],
            open: Vec::new(),
        }
    }

    /// Whether the pattern matches anywhere; `starts` are the bytes a match can begin with, if it cannot be empty.
    pub(super) fn search(&mut self, starts: Option<ByteSet>) -> Result<bool, Exhausted> {
        for at in 0..=self.text.len() {
            self.step()?;
            let possible = match (starts, self.text.get(at)) {
                (Some(starts), Some(&byte)) => starts.contains(byte),
                (Some(_), None) => false,
                (None, _) => true,
            };
            if !possible {
                continue;
            }
            self.slots.fill(UNSET);
            self.open.clear();
            if self.run(0, at)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn group(&self, group: usize) -> Option<&'a [u8]> {
        let from = *self.slots.get(group * 2)?;
        let to = *self.slots.get(group * 2 + 1)?;
        self.text.get(from..to)
    }

    const fn step(&mut self) -> Result<(), Exhausted> {
        match self.steps.checked_sub(1) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Exhausted),
        }
    }

    const fn steps(&mut self, count: usize) -> Result<(), Exhausted> {
        match self.steps.checked_sub(count as u64) {
            Some(left) => {
                self.steps = left;
                Ok(())
            }
            None => Err(Exhausted),
        }
    }

    fn push(&mut self, open: Open) -> Result<(), Exhausted> {
        if self.open.len() >= MAX_OPEN {
            return Err(Exhausted);
        }
        self.open.push(open);
        Ok(())
    }

    /// From one instruction and place to the next `Done`; the place it ends at.
    fn run(&mut self, from: usize, at: usize) -> Result<Option<usize>, Exhausted> {
        let floor = self.open.len();
        let (mut pc, mut at) = (from, at);
        loop {
            self.step()?;
            let program = self.program;
            let Some(code) = program.code.get(pc) else {
                return Ok(None);
            };
            let next = match code {
                Code::Done => return Ok(Some(at)),
                Code::Byte(set) => {
                    let fits = self.text.get(at).is_some_and(|&byte| set.contains(byte));
                    fits.then_some((pc + 1, at + 1))
                }
                Code::Run(set, least, most, kind) => {
                    self.repeat(pc, at, *set, (*least, *most), *kind)?
                }
                Code::Look(look) => self.looks(*look, at).then_some((pc + 1, at)),
                Code::Split(first, second) => {
                    self.push(Open::Way(*second, at))?;
                    Some((*first, at))
                }
                Code::Jump(to) => Some((*to, at)),
                Code::Save(slot) | Code::Mark(slot) => {
                    self.save(*slot, at)?;
                    Some((pc + 1, at))
                }
                Code::Moved(slot) => (self.slots.get(*slot) != Some(&at)).then_some((pc + 1, at)),
                Code::Back(group, caseless) => self
                    .again(usize::from(*group), at, *caseless)?
                    .map(|at| (pc + 1, at)),
                Code::Rewind(length) => at.checked_sub(*length).map(|at| (pc + 1, at)),
                Code::Atomic(after) => {
                    let found = self.apart(pc + 1, at, true)?;
                    found.map(|at| (*after, at))
                }
                Code::Around(around, after) => {
                    let found = self.apart(pc + 1, at, !around.negative)?;
                    (found.is_some() != around.negative).then_some((*after, at))
                }
            };
            (pc, at) = match next {
                Some(next) => next,
                None => match self.back(floor)? {
                    Some(next) => next,
                    None => return Ok(None),
                },
            };
        }
    }

    /// Matches a part on its own; its open ways are forgotten, what its groups hold is kept where `keep` says so and
    /// put back when a way from before is taken.
    fn apart(&mut self, pc: usize, at: usize, keep: bool) -> Result<Option<usize>, Exhausted> {
        let floor = self.open.len();
        let before = self.slots.clone();
        self.steps(before.len())?;
        let found = self.run(pc, at)?;
        self.open.truncate(floor);
        if found.is_none() || !keep {
            self.slots = before;
            return Ok(found);
        }
        for (slot, old) in before.into_iter().enumerate() {
            if self.slots.get(slot) != Some(&old) {
                self.push(Open::Slot(slot, old))?;
            }
        }
        Ok(found)
    }

    fn save(&mut self, slot: usize, at: usize) -> Result<(), Exhausted> {
        let old = self.slots.get(slot).copied().unwrap_or(UNSET);
        self.push(Open::Slot(slot, old))?;
        if let Some(place) = self.slots.get_mut(slot) {
            *place = at;
        }
        Ok(())
    }

    /// The last way left open above `floor`.
    fn back(&mut self, floor: usize) -> Result<Option<(usize, usize)>, Exhausted> {
        while self.open.len() > floor {
            self.step()?;
            match self.open.pop() {
                None => return Ok(None),
                Some(Open::Way(pc, at)) => return Ok(Some((pc, at))),
                Some(Open::Slot(slot, old)) => {
                    if let Some(place) = self.slots.get_mut(slot) {
                        *place = old;
                    }
                }
                Some(Open::Shrink(pc, least, at)) => {
                    let at = at - 1;
                    if at > least {
                        self.open.push(Open::Shrink(pc, least, at));
                    }
                    return Ok(Some((pc, at)));
                }
                Some(Open::Grow(pc, at, left)) => {
                    let Some(Code::Run(set, ..)) = self.program.code.get(pc) else {
                        continue;
                    };
                    if self.text.get(at).is_some_and(|&byte| set.contains(byte)) {
                        if left > 1 {
                            self.open.push(Open::Grow(pc, at + 1, left - 1));
                        }
                        return Ok(Some((pc + 1, at + 1)));
                    }
                }
            }
        }
        Ok(None)
    }

    fn repeat(
        &mut self,
        pc: usize,
        at: usize,
        set: ByteSet,
        (least, most): (u32, u32),
        kind: Kind,
    ) -> Result<Option<(usize, usize)>, Exhausted> {
        let rest = self.text.get(at..).unwrap_or_default();
        let first = if kind == Kind::Lazy { least } else { most };
        let count = rest
            .iter()
            .take(first as usize)
            .take_while(|&&byte| set.contains(byte))
            .count();
        self.steps(count)?;
        if count < least as usize {
            return Ok(None);
        }
        let least_at = at + least as usize;
        let end = at + count;
        match kind {
            Kind::Greedy if end > least_at => self.push(Open::Shrink(pc + 1, least_at, end))?,
            Kind::Lazy if most > least => self.push(Open::Grow(pc, end, most - least))?,
            Kind::Greedy | Kind::Lazy | Kind::Possessive => {}
        }
        Ok(Some((pc + 1, end)))
    }

    fn again(
        &mut self,
        group: usize,
        at: usize,
        caseless: bool,
    ) -> Result<Option<usize>, Exhausted> {
        let Some(known) = self.group(group) else {
            return Ok(None);
        };
        self.steps(known.len())?;
        let here = self.text.get(at..at + known.len());
        let same =
            here.is_some_and(|here| here == known || caseless && here.eq_ignore_ascii_case(known));
        Ok(same.then_some(at + known.len()))
    }

    fn looks(&self, look: Look, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.text.get(at));
        let after = self.text.get(at);
        let word = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        match look {
            Look::Start => at == 0,
            Look::End => after.is_none(),
            Look::EndOrLast => {
                after.is_none() || (after == Some(&b'\n') && at + 1 == self.text.len())
            }
            Look::LineStart => at == 0 || before == Some(&b'\n'),
            Look::LineEnd => after.is_none() || after == Some(&b'\n'),
            Look::Word => word(before) != word(after),
            Look::NotWord => word(before) == word(after),
        }
    }
}
