//! Text → Spec → Policy, every fault at once. It knows what the parts of a policy mean together; how a request is
//! decided is `run`'s business.

mod chains;
mod checks;
mod faults;
mod gateway;
mod lint;
mod mode;
mod order;
mod recorded;
mod roles;
mod routes;
pub(crate) mod secrets;
mod state;
mod upstream;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::HeaderName;

use crate::checks::Edit;
use crate::fault::{Fault, Path, Weight};
use crate::policy::{Loaded, Policy};
use crate::route::Router;
use crate::settings::{Events, Settings};
use crate::sources::Sources;
use crate::spec::{self, Document};
use crate::yaml::include::Tree;
use crate::yaml::parse::doubtful;
use crate::yaml::{Entry, Node, Value, de, include};
use faults::Faults;
use recorded::Recorded;
use routes::Made;
use secrets::{Keeper, Reading, Vault};

/// What a compilation has in hand.
struct Build<'t, 's> {
    tree: &'t Tree,
    sources: Recorded<'s>,
    keeper: Keeper<'t>,
    faults: Faults,
    now: u64,
    /// Of the whole policy.
    mode: Option<mode::Setting>,
    max_body: u64,
    recheck: std::time::Duration,
    pages: crate::settings::Pages,
    paths: crate::path::Rules,
    roles: crate::roles::Roles,
    checks: checks::Checks<'t>,
    chains: Vec<chains::Chain>,
    route_names: HashMap<String, usize>,
    used_upstreams: BTreeSet<usize>,
    /// Checks that some route skips.
    skipped: BTreeSet<usize>,
}

/// Reads and compiles; `before` is the policy that this one replaces.
pub(crate) fn load(
    root: &str,
    sources: &mut dyn Sources,
    now: u64,
    before: Option<&Policy>,
) -> Result<Loaded, Vec<Fault>> {
    let mut sources = Recorded::new(sources);
    let (tree, found) = include::load(root, &mut sources);
    let mut faults = Faults {
        found,
        ..Faults::default()
    };
    let Some(document) = document(&tree, &mut faults) else {
        return Err(faults.into_faults(&tree));
    };
    let rulesets = before.map(|policy| Arc::clone(&policy.rulesets));
    let before = before.map(|policy| &policy.vault);
    let mut reading = Reading {
        sources: sources.secretly(),
        now,
        before,
        ca: document.remote.ca.as_ref(),
        invent: true,
    };
    let (vault, used) = secrets::read(&document.secrets.0, &mut reading, &mut faults);
    let build = Build {
        tree: &tree,
        sources,
        keeper: Keeper {
            vault: &vault,
            used,
        },
        faults,
        now,
        mode: None,
        max_body: 0,
        recheck: std::time::Duration::ZERO,
        pages: crate::settings::Pages::default(),
        paths: document.paths,
        roles: crate::roles::Roles::default(),
        checks: checks::Checks::after(rulesets.unwrap_or_default()),
        chains: Vec::new(),
        route_names: HashMap::new(),
        used_upstreams: BTreeSet::new(),
        skipped: BTreeSet::new(),
    };
    let (policy, faults) = build.policy(document);
    let faults = faults.into_faults(&tree);
    if faults.iter().any(|fault| fault.weight == Weight::Error) {
        return Err(faults);
    }
    Ok(Loaded {
        policy: Policy { vault, ..policy },
        warnings: faults,
    })
}

/// What is known of a policy before it is loaded; `None` when the document cannot be read.
pub(crate) fn outline(
    root: &str,
    sources: &mut dyn Sources,
    now: u64,
) -> Option<crate::policy::Outline> {
    let mut sources = Recorded::new(sources);
    let (tree, found) = include::load(root, &mut sources);
    let mut faults = Faults {
        found,
        ..Faults::default()
    };
    let mut document = document(&tree, &mut faults)?;
    let admin = document.admin.as_ref();
    let state = &document.state;
    let of_state = [&state.password, &state.sentinel_password, &state.seal].map(Clone::clone);
    let token = admin.and_then(|admin| admin.token.clone());
    let wanted = of_state.into_iter().chain([token]);
    let wanted: Vec<_> = wanted.flatten().collect();
    secrets::only(&mut document.secrets.0, &wanted);
    let mut reading = Reading {
        sources: sources.secretly(),
        now,
        before: None,
        ca: document.remote.ca.as_ref(),
        // An invented token would be sent to whoever listens.
        invent: false,
    };
    let (vault, used) = secrets::read(&document.secrets.0, &mut reading, &mut faults);
    let mut keeper = Keeper {
        vault: &vault,
        used,
    };
    let address = admin.and_then(|admin| admin.address.parse().ok());
    let tokens = admin
        .and_then(|admin| crate::context::Secrets::secret(&mut keeper, admin.token.as_ref()?).ok());
    let mut doubts = Faults::default();
    let state = state::state(&document.state, &mut keeper, &mut doubts);
    Some(crate::policy::Outline {
        state: (doubts.errors() == 0).then_some(state),
        admin: address.map(|address| crate::settings::Admin {
            address,
            socket: admin.and_then(|admin| gateway::beside(admin.socket.as_deref()?).ok()),
            tokens: tokens
                .unwrap_or_default()
                .into_iter()
                .map(crate::settings::Secret)
                .collect(),
        }),
    })
}

/// Everything of the document that could be read; `None` when there is nothing to go on with.
fn document(tree: &Tree, faults: &mut Faults) -> Option<Document> {
    let root = Path::default();
    if tree.root.entries().is_empty() {
        if faults.errors() == 0 {
            faults.error(root, "a policy is a map: `version: 1`, `routes: …`");
        }
        return None;
    }
    de::read(&tree.root, &root, &mut faults.found, &[], |reader| {
        serde::Deserialize::deserialize(reader)
    })
}

impl<'t> Build<'t, '_> {
    fn policy(mut self, document: Document) -> (Policy, Faults) {
        self.version(document.version);
        self.roles = roles::check(&document.roles.0, &mut self.faults);
        let root = Path::default();
        self.mode = mode::setting(
            &root,
            document.mode,
            document.sample,
            document.until,
            self.now,
            &mut self.faults,
        );
        self.pages = gateway::pages(&document.pages, &mut self.faults);
        let settings = self.settings(&document);
        self.max_body = settings.limits.max_body;
        self.recheck = settings.limits.recheck;
        checks::define(&mut self);
        chains::define(&mut self, document.chains.0);
        let made = routes::compile(&mut self);
        self.unused_instances();
        lint::unreachable(&mut self, &made);
        lint::logins(&mut self, &made);
        lint::spelling(&mut self);
        lint::unused(&mut self);
        if document.state.kind == spec::gateway::StateKind::Memory {
            lint::forgotten(&mut self);
        }
        let cases = crate::cases::of(self.tree.root.entry("tests"), &mut self.faults.found);
        let policy = self.assemble(settings, made, cases);
        (
            Policy {
                hash: self.sources.hash(),
                rulesets: Arc::new(self.checks.known_rulesets()),
                ..policy
            },
            self.faults,
        )
    }

    fn version(&mut self, version: Option<u32>) {
        match version {
            Some(1) => {}
            Some(other) => {
                let message =
                    format!("version {other} is not known here: this gateway reads version 1");
                self.faults.error(Path::default().key("version"), message);
            }
            // A broken one was reported where it stands.
            None if self.tree.root.entry("version").is_some() => {}
            None => self
                .faults
                .error(Path::default(), "`version: 1` is missing"),
        }
    }

    fn settings(&mut self, document: &Document) -> Settings {
        let proxies = Path::default().key("trusted_proxies");
        let trusted = gateway::networks(&document.trusted_proxies, &proxies, &mut self.faults);
        if trusted.iter().any(|network| network.prefix_len() == 0) {
            let message =
                "everyone would be a trusted proxy: any client could choose its own address";
            self.faults.error(proxies, message);
        }
        let header = Path::default().key("policy_header");
        let policy_header = document.policy_header.as_ref().and_then(|name| {
            let parsed = HeaderName::try_from(name.as_str())
                .map_err(|_| format!("`{name}` is not a header name"));
            self.faults.take(&header, parsed)
        });
        let admin = document.admin.as_ref();
        Settings {
            listeners: self.listeners(),
            admin: admin
                .and_then(|admin| gateway::admin(admin, &mut self.keeper, &mut self.faults)),
            events: Events {
                file: document.events.file.clone(),
                query: document.events.query,
                values: document.events.values,
                when_full: document.events.when_full,
            },
            trusted_proxies: Arc::new(trusted.into_iter().collect()),
            paths: document.paths,
            limits: gateway::limits(&document.limits, &mut self.faults),
            upstreams: self.upstreams(),
            state: state::state(&document.state, &mut self.keeper, &mut self.faults),
            remote: self.remote(&document.remote),
            pages: self.pages.clone(),
            policy_header,
        }
    }

    fn remote(&mut self, spec: &spec::gateway::Remote) -> crate::settings::Remote {
        let at = Path::default().key("remote").key("ca");
        let read = spec.ca.as_ref().and_then(|file| {
            let read = self.sources.read(file);
            self.faults.take(
                &at,
                read.map_err(|why| format!("cannot read {file}: {why}")),
            )
        });
        crate::settings::Remote { ca: read }
    }

    fn listeners(&mut self) -> Vec<crate::settings::Listener> {
        let section = Path::default().key("listen");
        let items = self.list("listen", &section);
        if items.is_empty() && self.tree.root.entry("listen").is_none() {
            self.faults.warning(
                Path::default(),
                "there is no `listen`: this policy can be tested, not run",
            );
        }
        let mut listeners: Vec<crate::settings::Listener> = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let at = section.index(index);
            let spec: Option<spec::gateway::Listen> =
                de::read(node, &at, &mut self.faults.found, &[], |reader| {
                    serde::Deserialize::deserialize(reader)
                });
            let listener = spec.and_then(|spec| gateway::listener(spec, &at, &mut self.faults));
            let Some(listener) = listener else { continue };
            if listeners
                .iter()
                .any(|known| known.address == listener.address)
            {
                self.faults.error(
                    at.key("address"),
                    format!("{} stands here twice", listener.address),
                );
            }
            listeners.push(listener);
        }
        listeners
    }

    fn list(&mut self, key: &str, at: &Path) -> &'t [Node] {
        let Some(entry) = self.tree.root.entry(key) else {
            return &[];
        };
        if !matches!(entry.value.value, Value::List(_)) {
            self.faults.error(
                at.clone(),
                format!("expected a list, found {}", entry.value.describe()),
            );
        }
        entry.value.items()
    }

    /// In the order of the document, faulty ones left out: ids are only used when nothing is faulty.
    fn upstreams(&mut self) -> Vec<crate::settings::Upstream> {
        let section = Path::default().key("upstreams");
        let Some(entry) = self.tree.root.entry("upstreams") else {
            return Vec::new();
        };
        if !matches!(entry.value.value, Value::Map(_)) {
            self.faults.error(
                section.clone(),
                format!("expected a map, found {}", entry.value.describe()),
            );
        }
        let mut upstreams = Vec::new();
        for entry in entry.value.entries() {
            let at = section.key(&entry.key);
            if let Err(why) = key(entry) {
                self.faults.error(at.clone(), why);
            }
            let spec: Option<spec::upstream::Upstream> =
                de::read(&entry.value, &at, &mut self.faults.found, &[], |reader| {
                    serde::Deserialize::deserialize(reader)
                });
            upstreams.extend(
                spec.map(|spec| upstream::upstream(&entry.key, spec, &at, &mut self.faults)),
            );
        }
        upstreams
    }

    /// Checks that no route uses are made as well, for their faults, and forgotten.
    fn unused_instances(&mut self) {
        let named = self.checks.named.len();
        let unused: Vec<_> = (0..self.checks.definitions.len())
            .filter(|index| !self.was_made(*index))
            .collect();
        let used: BTreeSet<_> = self.keeper.used.clone();
        for index in unused {
            self.make(index, None);
        }
        self.checks.named.truncate(named);
        self.keeper.used = used;
    }

    fn assemble(
        &mut self,
        settings: Settings,
        made: Vec<Made>,
        cases: Vec<crate::cases::Case>,
    ) -> Policy {
        let mut owned: Vec<HeaderName> = Vec::new();
        let mut own_cookies: Vec<String> = Vec::new();
        for named in &self.checks.named {
            for cookie in named.check.cookies() {
                if !own_cookies.iter().any(|known| known == cookie) {
                    own_cookies.push(cookie.to_owned());
                }
            }
            for header in named.check.owned_headers() {
                if !owned.contains(header) {
                    owned.push(header.clone());
                }
            }
        }
        let default_edits = default_edits(&made);
        let at_accept = lint::at_accept(self, &made);
        let steps = made.iter().flat_map(|made| &made.route.plan.steps);
        let ends = steps
            .filter_map(|step| step.until)
            .filter(|until| *until > self.now);
        let until = ends.chain(secrets::expires(self.keeper.vault)).min();
        let (routes, matchers) = made
            .into_iter()
            .map(|made| (made.route, made.matcher))
            .unzip();
        Policy {
            settings,
            routes,
            router: Router::new(matchers),
            checks: std::mem::take(&mut self.checks.named),
            owned_headers: owned,
            own_cookies,
            at_accept,
            default_edits,
            cases,
            until,
            hash: String::new(),
            vault: Vault::new(),
            rulesets: Arc::default(),
        }
    }
}

/// Requests that match no route, or break before routing, get the edits that most routes make: an answer without
/// them would be the only one of its kind.
fn default_edits(made: &[Made]) -> Vec<Edit> {
    let mut kinds: Vec<(usize, &[Edit])> = Vec::new();
    for edits in made
        .iter()
        .map(|made| made.route.edits.as_slice())
        .filter(|edits| !edits.is_empty())
    {
        match kinds.iter_mut().find(|(_, known)| *known == edits) {
            Some((count, _)) => *count += 1,
            None => kinds.push((1, edits)),
        }
    }
    // The first of several equals.
    let best = kinds.into_iter().rev().max_by_key(|(count, _)| *count);
    best.map_or_else(Vec::new, |(_, edits)| edits.to_vec())
}

/// A name as a key: readers must not disagree whether it is text.
fn key(entry: &Entry) -> Result<(), String> {
    doubtful(entry).map_or_else(|| name(&entry.key), Err)
}

/// Names are metric labels, words of events, and are typed by people.
fn name(text: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && text.chars().count() <= 64 && text.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "`{text}` is not a name: up to 64 letters, digits, `-`, `_` and `.`"
    ))
}
