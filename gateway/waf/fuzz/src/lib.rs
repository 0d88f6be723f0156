//! What the body targets share: a sink that only adds up, and the bound that must hold.

use std::ops::ControlFlow;

use waf::body::{File, Flaw, Kind, Limits, Sink, parse};

#[derive(Default)]
struct Sum(usize);

impl Sum {
    fn add(&mut self, bytes: usize) -> ControlFlow<()> {
        self.0 += bytes;
        ControlFlow::Continue(())
    }
}

impl Sink for Sum {
    fn pair(&mut self, name: &[u8], value: &[u8], _raw: &[u8]) -> ControlFlow<()> {
        self.add(name.len() + value.len())
    }
    fn file(&mut self, file: File<'_>) -> ControlFlow<()> {
        self.add(file.name.len() + file.filename.len())
    }
    fn part_header(&mut self, part: &[u8], line: &[u8]) -> ControlFlow<()> {
        self.add(part.len() + line.len())
    }
    fn text(&mut self, text: &[u8]) -> ControlFlow<()> {
        self.add(text.len())
    }
    fn attribute(&mut self, name: &[u8], value: &[u8]) -> ControlFlow<()> {
        self.add(name.len() + value.len())
    }
    fn flaw(&mut self, _flaw: Flaw) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Parses `body` and checks that no more than the limit came out.
pub fn body(kind: Kind, header: &[u8], body: &[u8]) {
    let limits = Limits { total: 1 << 16, ..Limits::default() };
    let mut sum = Sum::default();
    let _ = parse(kind, header, body, &limits, &mut sum);
    assert!(sum.0 <= limits.total);
}
