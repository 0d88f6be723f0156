//! Routes: what they match, which checks they ask in which mode, where they go.

use http::{HeaderName, Method};
use smallvec::SmallVec;

use super::Build;
use super::chains::Use;
use super::checks::With;
use super::gateway::size;
use super::mode::{self, Setting};
use crate::decision::{CheckId, RouteId, UpstreamId};
use crate::fault::Path;
use crate::key;
use crate::policy::{Route, Skipped};
use crate::route::pattern::{HeaderPattern, HostPattern, Matcher, PathPattern};
use crate::run::{Plan, Step, Target};
use crate::scalar;
use crate::spec;
use crate::yaml::{Node, Value, de, suggest};

/// Ids are 16 bits; the admin's metrics have a series per route.
const MOST_ROUTES: usize = 10_000;

/// Longest time between two questions about what goes on.
const RECHECK: std::time::Duration = std::time::Duration::from_secs(3_600);

/// A route that was compiled, and whether anything in it was faulty.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) index: usize,
    pub(super) route: Route,
    pub(super) matcher: Matcher,
    pub(super) sound: bool,
}

/// Compiles every route.
pub(super) fn compile(build: &mut Build<'_, '_>) -> Vec<Made> {
    let section = Path::default().key("routes");
    let items = build
        .tree
        .root
        .entry("routes")
        .map_or(&[][..], |entry| entry.value.items());
    if let Some(entry) = build.tree.root.entry("routes")
        && !matches!(entry.value.value, Value::List(_))
    {
        build.faults.error(
            section.clone(),
            format!("expected a list, found {}", entry.value.describe()),
        );
    }
    if items.len() > MOST_ROUTES {
        build.faults.error(
            section,
            format!("{} routes: at most {MOST_ROUTES}", items.len()),
        );
        return Vec::new();
    }
    items
        .iter()
        .enumerate()
        .filter_map(|(index, node)| one(build, index, node))
        .collect()
}

fn one<'t>(build: &mut Build<'t, '_>, index: usize, node: &'t Node) -> Option<Made> {
    let at = Path::default().key("routes").index(index);
    let errors = build.faults.errors();
    let spec: spec::route::Route = de::read(node, &at, &mut build.faults.found, &[], |reader| {
        serde::Deserialize::deserialize(reader)
    })?;
    let name = named(build, &spec, index, &at);
    let matcher = matcher(&spec.matches, &at.key("match"), build);
    let target = build.target(&spec, &matcher, &at);
    let mut uses = Vec::new();
    let whole = build.unfold(&spec.list, &at.key("use"), &mut uses);
    let skipped = skip(build, &spec, &mut uses, &at);
    let own = mode::setting(
        &at,
        spec.mode,
        spec.sample,
        spec.until,
        build.now,
        &mut build.faults,
    );
    let steps = steps(build, index, node, &uses, own, &at);
    let missing = steps.len() < uses.len() || !whole;
    let max_body = size(
        &at.key("max_body"),
        spec.max_body,
        build.max_body,
        (0, 64 << 30),
        &mut build.faults,
    );
    let stable_id = key::stable(&name);
    let id = RouteId(u16::try_from(index).ok()?);
    let mut route = Route {
        name,
        plan: Plan {
            route: id,
            stable_id,
            target: target.unwrap_or(Target::Upstream(UpstreamId(0))),
            steps,
        },
        body_need: None,
        max_body,
        max_response: None,
        response_need: None,
        stream: spec.stream,
        recheck: recheck(build, spec.recheck, &at),
        edits: Vec::new(),
        public: spec.public,
        skipped,
    };
    if !missing {
        super::order::check(build, &mut route, &uses, &at);
    }
    let sound = build.faults.errors() == errors;
    Some(Made {
        index,
        route,
        matcher,
        sound,
    })
}

/// How often what stays open is asked about.
fn recheck(
    build: &mut Build<'_, '_>,
    own: Option<scalar::Duration>,
    at: &Path,
) -> std::time::Duration {
    if own.is_some_and(|every| every.0 > RECHECK) {
        build.faults.error(at.key("recheck"), "at most 1h");
    }
    own.map_or(build.recheck, |every| every.0)
}

fn named(build: &mut Build<'_, '_>, spec: &spec::route::Route, index: usize, at: &Path) -> String {
    let Some(name) = spec.name.clone() else {
        if !build.written(&at.key("name")) {
            build.faults.error(at.clone(), "`name` is missing");
        }
        return format!("routes[{index}]");
    };
    if let Err(why) = super::name(&name) {
        build.faults.error(at.key("name"), why);
    }
    match build.route_names.get(&name) {
        Some(first) => {
            let message =
                format!("the route `{name}` stands here a second time; first as routes[{first}]");
            build.faults.error(at.key("name"), message);
        }
        None => {
            build.route_names.insert(name.clone(), index);
        }
    }
    name
}

impl Build<'_, '_> {
    /// Whether something stands there; a broken value was reported with its place.
    fn written(&self, at: &Path) -> bool {
        self.tree.root.locate(at).1 == at.0.len()
    }

    fn target(
        &mut self,
        spec: &spec::route::Route,
        matcher: &Matcher,
        at: &Path,
    ) -> Option<Target> {
        if spec.serve.0.is_empty() {
            return self.upstream(spec.to.as_deref(), at).map(Target::Upstream);
        }
        if spec.to.is_some() {
            let message = "either `to` or `serve`: what the gateway serves itself goes nowhere";
            self.faults.error(at.key("to"), message);
        }
        let path = format!("{}/*", self.pages.path);
        let below = PathPattern::parse(&path).ok();
        let below = below.map(|path| path.compared(self.paths));
        if matcher.paths.len() != 1 || matcher.paths.first() != below.as_ref() {
            let message = format!("pages are served below one path: match: {{path: \"{path}\"}}");
            self.faults.error(at.key("match").key("path"), message);
        }
        let named = spec.serve.0.iter().enumerate();
        let named: Vec<_> = named
            .filter_map(|(index, name)| self.serves(name, &at.key("serve").index(index)))
            .collect();
        Some(Target::Pages(named))
    }

    /// The check as it is defined, if it has pages.
    fn serves(&mut self, name: &str, at: &Path) -> Option<CheckId> {
        let definitions = self.checks.definitions.iter();
        let Some(position) = definitions.clone().position(|known| known.name == name) else {
            let hint = suggest::hint(name, definitions.map(|known| known.name));
            self.faults
                .error(at.clone(), format!("there is no check `{name}`{hint}"));
            return None;
        };
        let id = self.instance(position, None)?;
        let check = self.checks.named.get(usize::from(id.0))?;
        if check.check.pages().is_empty() {
            let message = format!("`{name}` has no pages of its own");
            self.faults.error(at.clone(), message);
            return None;
        }
        Some(id)
    }

    fn upstream(&mut self, to: Option<&str>, at: &Path) -> Option<UpstreamId> {
        let Some(to) = to else {
            if !self.written(&at.key("to")) {
                let message = "`to` is missing: the upstream that permitted requests go to (or `serve`: checks \
                               whose pages the gateway serves itself)";
                self.faults.error(at.clone(), message);
            }
            return None;
        };
        let names = || {
            let entry = self.tree.root.entry("upstreams");
            entry
                .map_or(&[][..], |entry| entry.value.entries())
                .iter()
                .map(|entry| &*entry.key)
        };
        let Some(position) = names().position(|name| name == to) else {
            let hint = suggest::hint(to, names());
            self.faults
                .error(at.key("to"), format!("there is no upstream `{to}`{hint}"));
            return None;
        };
        self.used_upstreams.insert(position);
        u16::try_from(position).ok().map(UpstreamId)
    }
}

fn matcher(spec: &spec::route::Match, at: &Path, build: &mut Build<'_, '_>) -> Matcher {
    let (faults, rules) = (&mut build.faults, build.paths);
    let mut matcher = Matcher {
        hosts: vec![],
        methods: vec![],
        paths: vec![],
        headers: vec![],
    };
    let place = |key: &str, index: usize| at.key(key).index(index);
    for (index, text) in spec.host.0.iter().enumerate() {
        matcher
            .hosts
            .extend(faults.take(&place("host", index), HostPattern::parse(text)));
    }
    for (index, text) in spec.path.0.iter().enumerate() {
        let path = faults.take(&place("path", index), PathPattern::parse(text));
        matcher.paths.extend(path.map(|path| path.compared(rules)));
    }
    for (index, text) in spec.method.0.iter().enumerate() {
        matcher
            .methods
            .extend(faults.take(&place("method", index), method(text)));
    }
    for (name, text) in &spec.headers.0 {
        let at = at.key("headers").key(name);
        let parsed = HeaderName::try_from(name.as_str())
            .map_err(|_| format!("`{name}` is not a header name"));
        matcher.headers.extend(
            faults
                .take(&at, parsed)
                .map(|name| (name, HeaderPattern::parse(text))),
        );
    }
    if matcher.hosts.is_empty() {
        matcher.hosts.push(HostPattern::Any);
    }
    if matcher.paths.is_empty() {
        matcher.paths.push(PathPattern::all());
    }
    matcher
}

fn method(text: &str) -> Result<Method, String> {
    let wrong = || format!("`{text}` is not a method");
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| wrong())?;
    if text.chars().any(|c| c.is_ascii_lowercase()) {
        return Err(format!(
            "methods are compared as written: write {}",
            text.to_ascii_uppercase()
        ));
    }
    Ok(method)
}

/// Takes the skipped checks out of the list.
fn skip(
    build: &mut Build<'_, '_>,
    spec: &spec::route::Route,
    uses: &mut Vec<Use>,
    at: &Path,
) -> Vec<Skipped> {
    let mut skipped = Vec::new();
    for (name, reason) in &spec.skip.0 {
        let at = at.key("skip").key(name);
        let position = uses
            .iter()
            .position(|used| build.definition_name(used.check) == name);
        let Some(position) = position else {
            let names = uses.iter().map(|used| build.definition_name(used.check));
            let hint = suggest::hint(name, names);
            build
                .faults
                .error(at, format!("this route does not use `{name}`{hint}"));
            continue;
        };
        if reason.trim().is_empty() {
            build
                .faults
                .error(at.clone(), "a skipped check needs a reason");
        }
        let check = uses.get(position).map_or(usize::MAX, |used| used.check);
        if build
            .checks
            .definitions
            .get(check)
            .is_some_and(|found| found.locked)
        {
            build
                .faults
                .error(at, format!("`{name}` is locked: no route may skip it"));
            continue;
        }
        build.skipped.insert(check);
        uses.remove(position);
        skipped.push(Skipped {
            check: name.clone(),
            reason: reason.clone(),
        });
    }
    skipped
}

fn steps<'t>(
    build: &mut Build<'t, '_>,
    index: usize,
    node: &'t Node,
    uses: &[Use],
    own: Option<Setting>,
    at: &Path,
) -> Vec<Step> {
    let entries = node
        .entry("with")
        .map_or(&[][..], |entry| entry.value.entries());
    for entry in entries {
        if !uses
            .iter()
            .any(|used| build.definition_name(used.check) == &*entry.key)
        {
            let names = uses.iter().map(|used| build.definition_name(used.check));
            let hint = suggest::hint(&entry.key, names);
            let message = format!("this route does not use `{}`{hint}", entry.key);
            build.faults.error(at.key("with").key(&entry.key), message);
        }
    }
    // Not the name as given: a route without one must still keep its checks apart.
    let route_name = node
        .entry("name")
        .and_then(|entry| entry.value.text())
        .unwrap_or_default();
    let mut steps = Vec::with_capacity(uses.len());
    for used in uses {
        let name = build.definition_name(used.check);
        let entry = entries.iter().find(|entry| &*entry.key == name);
        let with = entry.map(|entry| With {
            route: index,
            route_name,
            node: &entry.value,
        });
        let nearest = with.and_then(|with| change(build, with, used.check, at));
        if let Some(id) = build.instance(used.check, with) {
            let said = build.said(id, used.check);
            let setting = build.effective(used, nearest, said, own, at);
            steps.push(Step {
                id,
                mode: setting.mode,
                until: setting.until,
            });
        }
    }
    steps
}

/// Checks what `with:` may not change, and finds the mode that it says.
fn change(
    build: &mut Build<'_, '_>,
    with: With<'_>,
    check: usize,
    route: &Path,
) -> Option<Setting> {
    let name = build.definition_name(check).to_owned();
    let at = route.key("with").key(&name);
    let definition = build.checks.definitions.get(check);
    if definition.is_some_and(|found| found.locked) {
        build.faults.error(
            at.clone(),
            format!("`{name}` is locked: no route may change it"),
        );
    }
    if !matches!(with.node.value, Value::Map(_)) {
        let message = format!(
            "expected the keys that differ for this route, found {}",
            with.node.describe()
        );
        build.faults.error(at, message);
        return None;
    }
    for key in ["check", "locked"] {
        if with.node.entry(key).is_some() {
            build.faults.error(
                at.key(key),
                format!("`with` changes parameters; `{key}` belongs to the check itself"),
            );
        }
    }
    // Broken ones are reported with the whole instance.
    let mut silent = Vec::new();
    let read = |key: &str| with.node.entry(key).map(|entry| &entry.value);
    let mode = read("mode").and_then(|node| {
        de::read(node, &at, &mut silent, &[], |r| {
            serde::Deserialize::deserialize(r)
        })
    });
    let sample = read("sample").and_then(|node| {
        de::read(node, &at, &mut silent, &[], |r| {
            serde::Deserialize::deserialize(r)
        })
    });
    let until = read("until").and_then(|node| {
        de::read(node, &at, &mut silent, &[], |r| {
            serde::Deserialize::deserialize(r)
        })
    });
    if mode == Some(spec::ModeWord::Disabled) {
        let message = format!("`with` never removes a check: write `skip: {{{name}: \"reason\"}}`");
        build.faults.error(at.key("mode"), message);
        return None;
    }
    mode::setting(&at, mode, sample, until, build.now, &mut build.faults)
}

impl Build<'_, '_> {
    pub(super) fn definition_name(&self, check: usize) -> &str {
        self.checks
            .definitions
            .get(check)
            .map_or("", |found| found.name)
    }
}

/// Positions of the steps of `uses`; they are the same list when nothing is missing.
pub(super) fn paired<'a>(route: &'a Route, uses: &'a [Use]) -> SmallVec<[(&'a Step, &'a Use); 16]> {
    route.plan.steps.iter().zip(uses).collect()
}
