//! Variables of what surrounds a request and of its answer: addresses, users, the time. Each is collected only when a
//! rule reads it.

use std::{io::Write, net::IpAddr};

use super::{body::WHOLE, clock::Civil, collect::Into};
use crate::{
    operator::canonical,
    outside::Settings,
    request::{Headers, Request, Surroundings},
    transform::Transform,
    variable::{Variable, Variables},
};

/// What is collected here before the body.
pub(super) const SURROUNDING: Variables = Variables::of(&[
    Variable::RemotePort,
    Variable::RemoteUser,
    Variable::AuthType,
    Variable::ServerAddr,
    Variable::ServerName,
    Variable::ServerPort,
    Variable::Time,
    Variable::UniqueId,
    Variable::Constant,
    Variable::ResponseProtocol,
    Variable::StatusLine,
])
.union(WHOLE);

/// The version of ModSecurity whose behaviour rules may expect, as MODSEC_BUILD spells it: 3.0.12.
const BUILD: &[u8] = b"030001200";

impl Into<'_, '_> {
    pub(super) fn surroundings(&mut self, request: &Request<'_>, settings: &Settings) {
        let around = request.around;
        self.values.protocol.extend_from_slice(request.protocol);
        self.alone(Variable::UniqueId, around.id);
        self.number(Variable::RemotePort, usize::from(around.client_port));
        self.number(Variable::ServerPort, usize::from(around.server_port));
        if let Some(server) = around.server {
            self.address(Variable::ServerAddr, server);
        }
        self.member(Variable::Constant, b"build", BUILD);
        self.member(
            Variable::Constant,
            b"webappid",
            settings.application.as_bytes(),
        );
        self.member(Variable::Constant, b"zero", b"0");
        if self.reads.has(Variable::Time) {
            self.time(&around);
        }
        self.identity(request);
        if self.reads(WHOLE) {
            self.head_text(request);
        }
    }

    fn address(&mut self, variable: Variable, address: IpAddr) {
        if self.reads.has(variable) {
            self.alone(variable, canonical(address).to_string().as_bytes());
        }
    }

    fn time(&mut self, around: &Surroundings<'_>) {
        let c = Civil::of(around.now);
        let clock = format!("{:02}:{:02}:{:02}", c.hour, c.minute, c.second);
        let two = |number: u64| format!("{number:02}");
        for (name, text) in [
            ("clock", clock),
            ("epoch", c.epoch.to_string()),
            ("year", c.year.to_string()),
            ("mon", two(c.month)),
            ("day", c.day.to_string()),
            ("wday", c.weekday.to_string()),
            ("hour", two(c.hour)),
            ("min", two(c.minute)),
            ("sec", two(c.second)),
        ] {
            self.member(Variable::Time, name.as_bytes(), text.as_bytes());
        }
    }

    /// The host asked for, the scheme of `Authorization`, and the user.
    fn identity(&mut self, request: &Request<'_>) {
        let mut user = request.around.user.to_vec();
        request.headers.each(&mut |name, value| match name {
            b"host" => self.alone(Variable::ServerName, host(value)),
            b"authorization" => {
                let mut halves = value.splitn(2, |&byte| byte == b' ');
                let scheme = halves.next().unwrap_or_default();
                self.alone(Variable::AuthType, scheme);
                if user.is_empty() && scheme.eq_ignore_ascii_case(b"basic") {
                    basic_user(halves.next().unwrap_or_default(), &mut user);
                }
            }
            _ => {}
        });
        if !user.is_empty() {
            self.alone(Variable::RemoteUser, &user);
        }
    }

    fn head_text(&mut self, request: &Request<'_>) {
        let full = &mut self.values.full;
        let first = [
            request.method,
            b" ",
            request.target,
            b" ",
            request.protocol,
            b"\r\n",
        ];
        first.iter().for_each(|part| full.extend_from_slice(part));
        request.headers.each(&mut |name, value| {
            let line = [name, b": ", value, b"\r\n"];
            line.iter().for_each(|part| full.extend_from_slice(part));
        });
    }

    /// The answer's head.
    pub(crate) fn response(&mut self, status: u16, headers: &dyn Headers) {
        self.number(Variable::ResponseStatus, usize::from(status));
        if self.reads.has(Variable::ResponseProtocol) || self.reads.has(Variable::StatusLine) {
            let protocol = std::mem::take(&mut self.values.protocol);
            self.alone(Variable::ResponseProtocol, &protocol);
            let mut line = protocol.clone();
            // Writing to a Vec cannot fail. The phrase is the application's to choose and says nothing.
            let _ = write!(line, " {status}");
            self.alone(Variable::StatusLine, &line);
            self.values.protocol = protocol;
        }
        headers.each(&mut |name, value| {
            self.member(Variable::ResponseHeader, name, value);
            self.member(Variable::ResponseHeaderName, name, name);
            match name {
                b"content-type" => {
                    let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
                    self.alone(Variable::ResponseContentType, kind.trim_ascii());
                }
                b"content-length" => self.alone(Variable::ResponseContentLength, value),
                _ => {}
            }
        });
    }

    pub(crate) fn response_body(&mut self, bytes: &[u8]) {
        self.long_member(Variable::ResponseBody, &[], bytes);
        self.number(Variable::OutboundError, usize::from(self.values.cut.1));
    }
}

/// Without the port.
fn host(value: &[u8]) -> &[u8] {
    let end = match value.first() {
        Some(b'[') => memchr::memchr(b']', value).map(|at| at + 1),
        _ => memchr::memchr(b':', value),
    };
    end.and_then(|end| value.get(..end)).unwrap_or(value)
}

fn basic_user(credentials: &[u8], user: &mut Vec<u8>) {
    let mut decoded = Vec::new();
    if Transform::Base64Decode.apply(credentials.trim_ascii(), &mut decoded) {
        let name = decoded.split(|&byte| byte == b':').next();
        user.extend_from_slice(name.unwrap_or_default());
    }
}
