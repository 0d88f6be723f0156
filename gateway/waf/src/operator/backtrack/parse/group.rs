//! What a parenthesis begins: groups that capture or do not, flags, atomic groups and look-around.

use super::{Around, Flags, MAX_DEPTH, Node, Parser};

impl Parser<'_> {
    /// After `(`. Nothing for a comment or flags alone.
    pub(super) fn group(&mut self, flags: &mut Flags) -> Result<Option<Node>, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("groups nest more than {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let node = self.group_inside(flags);
        self.depth -= 1;
        node
    }

    fn group_inside(&mut self, flags: &mut Flags) -> Result<Option<Node>, String> {
        if self.take("?#") {
            self.until(')')?;
            return Ok(None);
        }
        if let Some(node) = self.apart(*flags)? {
            return Ok(Some(node));
        }
        if self.take("?P=") {
            let name = self.until(')')?;
            let mut named = self.names.iter().filter(|(own, _)| *own == name);
            let group = named.next().map_or(0, |(_, group)| *group);
            let mut parts = Vec::new();
            self.back(group, flags, &mut parts)?;
            return Ok(parts.pop());
        }
        let named = ["?P<", "?<", "?'"]
            .into_iter()
            .find(|start| self.take(start));
        if let Some(start) = named {
            let name = self.until(if start == "?'" { '\'' } else { '>' })?;
            self.names.push((name, self.groups));
            return self.capture(*flags).map(Some);
        }
        if self.take("?") {
            return self.flagged(flags);
        }
        if self.rest.starts_with('*') {
            return Err("verbs of PCRE are not supported".to_owned());
        }
        self.capture(*flags).map(Some)
    }

    /// What is matched on its own: look-around, atomic groups.
    fn apart(&mut self, flags: Flags) -> Result<Option<Node>, String> {
        const AROUND: [(&str, Around); 4] = [
            (
                "?=",
                Around {
                    behind: false,
                    negative: false,
                },
            ),
            (
                "?!",
                Around {
                    behind: false,
                    negative: true,
                },
            ),
            (
                "?<=",
                Around {
                    behind: true,
                    negative: false,
                },
            ),
            (
                "?<!",
                Around {
                    behind: true,
                    negative: true,
                },
            ),
        ];
        for (start, around) in AROUND {
            if self.take(start) {
                self.special = true;
                return Ok(Some(Node::Around(Box::new(self.body(flags)?), around)));
            }
        }
        if self.take("?>") {
            self.special = true;
            return Ok(Some(Node::Atomic(Box::new(self.body(flags)?))));
        }
        Ok(None)
    }

    fn capture(&mut self, flags: Flags) -> Result<Node, String> {
        let group = self.groups;
        self.groups = self.groups.checked_add(1).ok_or("too many groups")?;
        Ok(Node::Group(Box::new(self.body(flags)?), group))
    }

    /// After `(?`: flags for the rest of the group around (`(?i)`), or for this one (`(?i:`).
    fn flagged(&mut self, outer: &mut Flags) -> Result<Option<Node>, String> {
        let mut flags = *outer;
        let mut on = true;
        loop {
            match self.letter() {
                Some(':') => return self.body(flags).map(Some),
                Some(')') => {
                    *outer = flags;
                    return Ok(None);
                }
                Some('-') => on = false,
                Some('i') => flags.caseless = on,
                Some('m') => flags.lines = on,
                Some('s') => flags.dot_stops = !on,
                Some('x') => flags.extended = on,
                // Names may repeat; groups of one name are not told apart.
                Some('J') => {}
                _ => return Err("a group of this kind is not supported".to_owned()),
            }
        }
    }

    fn body(&mut self, mut flags: Flags) -> Result<Node, String> {
        let node = self.alternation(&mut flags)?;
        if self.take(")") {
            Ok(node)
        } else {
            Err("a group is not closed".to_owned())
        }
    }
}
