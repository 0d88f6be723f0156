//! Requests with the decisions they must get: the `tests:` of a policy and the case files of this crate. It runs them
//! over an invented store and clock; reading them is `yaml`'s business.

mod stage;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::checks::Edit;
use crate::decision::{Action, Decision, Outcome, Reason};
use crate::fault::{Fault, Path, Weight};
use crate::policy::Policy;
use crate::request::Identity;
use crate::run::Unwatched;
use crate::spec::case as spec;
use crate::yaml::{Entry, Found, Limits, Node, Value, de, parse, suggest};
pub use stage::{Sent, Stage};

/// A request and the decision it must get.
#[derive(Debug)]
pub struct Case {
    /// What it claims.
    pub name: String,
    sent: Sent,
    identity: Option<Arc<Identity>>,
    times: u32,
    after: Duration,
    follows: bool,
    hold: bool,
    expect: spec::Expect,
}

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it claims.
    pub name: String,
    /// What came out otherwise than it should; empty when all is well.
    pub differences: Vec<String>,
}

/// Runs cases in order, from a moment on.
#[must_use]
pub fn run(policy: &Policy, cases: &[Case], now_unix_ms: u64) -> Vec<Report> {
    let mut stage = Stage::new(now_unix_ms);
    let one = |case: &Case| {
        if !case.follows {
            stage = Stage::new(now_unix_ms);
        }
        stage.wait(case.after);
        let mut decision = Decision::internal();
        for _ in 0..case.times {
            decision = stage.send(
                policy,
                &case.sent,
                case.identity.as_ref(),
                &mut Unwatched,
                case.hold,
            );
        }
        Report {
            name: case.name.clone(),
            differences: differences(policy, &case.expect, &decision),
        }
    };
    cases.iter().map(one).collect()
}

/// Reads a list of cases from a text of their own.
///
/// # Errors
/// Every fault in it.
pub fn read(file: &str, text: &[u8]) -> Result<Vec<Case>, Vec<Fault>> {
    let (documents, mut found) = parse::documents(text, 0, Limits::default());
    let mut cases = Vec::new();
    for document in &documents {
        cases.extend(list(document, &Path::default(), &mut found));
    }
    if found.is_empty() {
        return Ok(cases);
    }
    let located = |found: Found| Fault {
        weight: Weight::Error,
        file: file.to_owned(),
        line: found.place.line,
        column: found.place.column,
        path: found.path,
        message: found.message,
    };
    Err(found.into_iter().map(located).collect())
}

/// The cases under `tests:`.
pub(crate) fn of(entry: Option<&Entry>, faults: &mut Vec<Found>) -> Vec<Case> {
    entry.map_or_else(Vec::new, |entry| {
        list(&entry.value, &Path::default().key("tests"), faults)
    })
}

fn list(node: &Node, at: &Path, faults: &mut Vec<Found>) -> Vec<Case> {
    if !matches!(node.value, Value::List(_)) {
        let message = format!("expected a list, found {}", node.describe());
        faults.push(Found {
            path: at.clone(),
            place: node.place,
            message,
        });
    }
    let one = |(index, node): (usize, &Node)| {
        let at = at.index(index);
        let spec: spec::Case = de::read(node, &at, faults, &[], |reader| {
            serde::Deserialize::deserialize(reader)
        })?;
        match case(spec) {
            Ok(case) => Some(case),
            Err((key, message)) => {
                let place = key.0.iter().fold(node.place, |_, _| node.locate(&key).0);
                let path = Path(at.0.iter().chain(&key.0).cloned().collect());
                faults.push(Found {
                    path,
                    place,
                    message,
                });
                None
            }
        }
    };
    node.items().iter().enumerate().filter_map(one).collect()
}

/// The first fault of a case, with its path inside the case.
fn case(spec: spec::Case) -> Result<Case, (Path, String)> {
    let at = Path::default();
    let times = spec.times.unwrap_or(1);
    if times == 0 || times > 100_000 {
        return Err((at.key("times"), "from 1 to 100000".to_owned()));
    }
    if let Some(reason) = &spec.expect.reason
        && !Reason::ALL.iter().any(|known| known.code() == reason)
    {
        let hint = suggest::hint(reason, Reason::ALL.iter().map(|known| known.code()));
        return Err((
            at.key("expect").key("reason"),
            format!("there is no reason `{reason}`{hint}"),
        ));
    }
    Ok(Case {
        name: spec.name,
        sent: sent(&spec.request, &at.key("request"))?,
        identity: spec.identity.map(|identity| Arc::new(assumed(identity))),
        times,
        after: spec.after.map_or(Duration::ZERO, |after| after.0),
        follows: spec.follows,
        hold: spec.hold,
        expect: spec.expect,
    })
}

fn sent(spec: &spec::CaseRequest, at: &Path) -> Result<Sent, (Path, String)> {
    let base = Sent::default();
    let method = spec.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes());
    let method = method.map_err(|_| (at.key("method"), "not a method".to_owned()))?;
    let peer = match spec.client.as_deref().map(str::parse) {
        None => base.peer,
        Some(Ok(address)) => address,
        Some(Err(_)) => return Err((at.key("client"), "not an address".to_owned())),
    };
    let tls = match spec.scheme.as_deref() {
        None | Some("https") => true,
        Some("http") => false,
        Some(other) => {
            return Err((
                at.key("scheme"),
                format!("`{other}` is neither http nor https"),
            ));
        }
    };
    let mut headers = HeaderMap::new();
    for (name, values) in &spec.headers.0 {
        let at = at.key("headers").key(name);
        let header = HeaderName::try_from(name.as_str());
        let header = header.map_err(|_| (at.clone(), format!("`{name}` is not a header name")))?;
        for value in &values.0 {
            let value = HeaderValue::try_from(value.as_str());
            let value = value.map_err(|_| (at.clone(), "not a header value".to_owned()))?;
            headers.append(header.clone(), value);
        }
    }
    Ok(Sent {
        method,
        target: spec.path.clone().unwrap_or(base.target),
        host: spec.host.clone().unwrap_or(base.host),
        peer,
        tls,
        headers,
        body: spec.body.clone().map(Into::into),
        websocket: spec.websocket,
    })
}

fn assumed(spec: spec::CaseIdentity) -> Identity {
    let mut claims = spec.claims;
    let user = spec.user.unwrap_or_else(|| "test".to_owned());
    claims.entry("sub").or_insert_with(|| user.clone().into());
    if let Some(role) = spec.role {
        claims.insert("role".to_owned(), role.into());
    }
    Identity {
        user,
        claims,
        ..Identity::default()
    }
}

/// The status that a case compares: 200 stands for a permitted request, the upstream's own is not known here.
fn status(decision: &Decision) -> u16 {
    match &decision.outcome {
        Outcome::Permit(_) => 200,
        Outcome::Deny(denial) => denial.status.as_u16(),
        Outcome::Reply(reply) => reply.status.as_u16(),
    }
}

fn differences(policy: &Policy, expect: &spec::Expect, decision: &Decision) -> Vec<String> {
    let mut all = Vec::new();
    let mut compare = |what: &str, wanted: Option<String>, got: &str| {
        if let Some(wanted) = wanted.filter(|wanted| wanted != got) {
            all.push(format!("{what}: expected {wanted}, got {got}"));
        }
    };
    let word = |action| match action {
        spec::ActionWord::Allow => Action::Allow,
        spec::ActionWord::Deny => Action::Deny,
        spec::ActionWord::Challenge => Action::Challenge,
    };
    let action = expect.action.map(|action| word(action).as_str().to_owned());
    compare("action", action, decision.action().as_str());
    let wanted = expect.status.map(|status| status.to_string());
    compare("status", wanted, &status(decision).to_string());
    let name = |check| policy.check_name(check);
    compare(
        "by",
        expect.by.clone(),
        decision.check.map_or("no check", name),
    );
    compare("reason", expect.reason.clone(), decision.reason().code());
    let route = decision
        .route
        .map_or("no route", |route| policy.route_name(route));
    compare("route", expect.route.clone(), route);
    let would: Vec<_> = decision
        .would
        .iter()
        .map(|would| name(would.check))
        .collect();
    let wanted = expect.would.as_ref().map(|names| names.0.join(", "));
    compare("would", wanted, &would.join(", "));
    for (name, value) in &expect.headers.0 {
        let got = header(policy, decision, name);
        let got = got.as_deref().unwrap_or("nothing");
        compare(&format!("answer header {name}"), Some(value.clone()), got);
    }
    for (name, value) in &expect.forwarded.0 {
        let got = forwarded(decision, name);
        compare(
            &format!("forwarded header {name}"),
            Some(value.clone()),
            got,
        );
    }
    all
}

/// What the gateway sets on the request to the upstream.
fn forwarded<'d>(decision: &'d Decision, name: &str) -> &'d str {
    let forward = match &decision.outcome {
        Outcome::Permit(permit) => permit.forward(),
        Outcome::Deny(_) | Outcome::Reply(_) => &[],
    };
    let mut fields = forward.iter();
    let got = fields.find(|(known, _)| known.as_str().eq_ignore_ascii_case(name));
    got.map_or("nothing", |(_, value)| value.to_str().unwrap_or("not text"))
}

/// What the gateway sets on the answer.
fn header(policy: &Policy, decision: &Decision, name: &str) -> Option<String> {
    let same = |known: &HeaderName| known.as_str().eq_ignore_ascii_case(name);
    let reply = match &decision.outcome {
        Outcome::Reply(reply) => reply.headers.as_slice(),
        Outcome::Permit(_) | Outcome::Deny(_) => &[],
    };
    let edited = policy
        .edits(decision.route)
        .iter()
        .rev()
        .find_map(|edit| match edit {
            Edit::Set(known, value) | Edit::SetIfAbsent(known, value) if same(known) => Some(value),
            Edit::Set(..) | Edit::SetIfAbsent(..) | Edit::Remove(_) => None,
        });
    let set = decision.effects.response.iter().chain(reply).rev();
    let set = set
        .filter(|(known, _)| same(known))
        .map(|(_, value)| value)
        .next();
    let value = set.or(edited)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
