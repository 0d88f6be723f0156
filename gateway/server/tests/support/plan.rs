//! The policy of one test: its parts as YAML text, put together around the addresses that the test got.

use std::fmt::Write;
use std::net::SocketAddr;

use super::certs;

/// Parts of a policy. What a test does not set stays at the gateway's defaults.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    top: String,
    upstreams: String,
    checks: String,
    chains: String,
    routes: String,
    listen: String,
    admin: Option<String>,
    tls: Option<String>,
    whole: Option<String>,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) env: Vec<(String, String)>,
}

impl Plan {
    /// One upstream `app`, no checks and no routes yet.
    pub(crate) fn new(origin: SocketAddr) -> Self {
        Self::bare().upstream("app", &format!("{{servers: [\"{origin}\"]}}"))
    }

    /// Everything goes to `origin` unchecked.
    pub(crate) fn open(origin: SocketAddr) -> Self {
        Self::new(origin).route("{name: all, match: {path: \"/*\"}, to: app, public: \"test\"}")
    }

    /// Everything goes to `origin` past one check named `c`.
    pub(crate) fn checked(origin: SocketAddr, check: &str) -> Self {
        Self::new(origin)
            .check("c", check)
            .route("{name: all, match: {path: \"/*\"}, to: app, use: [c], public: \"test\"}")
    }

    pub(crate) fn bare() -> Self {
        Self::default()
    }

    /// Lines at the top level.
    pub(crate) fn top(mut self, yaml: &str) -> Self {
        writeln!(self.top, "{yaml}").unwrap();
        self
    }

    pub(crate) fn upstream(mut self, name: &str, yaml: &str) -> Self {
        writeln!(self.upstreams, "  {name}: {yaml}").unwrap();
        self
    }

    pub(crate) fn check(mut self, name: &str, yaml: &str) -> Self {
        writeln!(self.checks, "  {name}: {yaml}").unwrap();
        self
    }

    pub(crate) fn chain(mut self, name: &str, yaml: &str) -> Self {
        writeln!(self.chains, "  {name}: {yaml}").unwrap();
        self
    }

    pub(crate) fn route(mut self, yaml: &str) -> Self {
        writeln!(self.routes, "  - {yaml}").unwrap();
        self
    }

    /// The routes in the other order: the first one was for everything.
    pub(crate) fn in_front(mut self) -> Self {
        let lines: Vec<&str> = self.routes.lines().rev().collect();
        self.routes = lines.join("\n") + "\n";
        self
    }

    /// More keys of the plain listener, such as `, max_connections: 5`.
    pub(crate) fn listen(mut self, yaml: &str) -> Self {
        self.listen = yaml.to_owned();
        self
    }

    /// More keys of the admin listener, in place of its socket.
    pub(crate) fn admin(mut self, yaml: &str) -> Self {
        self.admin = Some(yaml.to_owned());
        self
    }

    /// The built-in WAF rules, beside the policy as `waf/*.yaml`.
    pub(crate) fn rules(mut self) -> Self {
        for entry in std::fs::read_dir(certs::root().join("policies/waf")).unwrap() {
            let file = entry.unwrap().path();
            let name = format!("waf/{}", file.file_name().unwrap().to_string_lossy());
            self.files.push((name, std::fs::read(&file).unwrap()));
        }
        self
    }

    /// A TLS listener with the throw-away certificates.
    pub(crate) fn tls(self) -> Self {
        let pair = |name: &str| {
            format!(
                "{{cert: {}, key: {}}}",
                certs::file(&format!("{name}.pem")),
                certs::file(&format!("{name}.key"))
            )
        };
        self.tls_with(&format!(
            "{{certificates: [{}, {}]}}",
            pair("server"),
            pair("other")
        ))
    }

    pub(crate) fn tls_with(mut self, yaml: &str) -> Self {
        self.tls = Some(yaml.to_owned());
        self
    }

    pub(crate) fn wants_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A file beside the policy.
    pub(crate) fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A policy in place of all parts; `@HTTP@` and `@ADMIN@` become the gateway's addresses.
    pub(crate) fn whole(mut self, text: String) -> Self {
        self.whole = Some(text);
        self
    }

    /// The whole policy.
    pub(crate) fn render(&self, http: SocketAddr, tls: SocketAddr, admin: SocketAddr) -> String {
        if let Some(text) = &self.whole {
            let text = text.replace("@HTTP@", &http.to_string());
            return text.replace("@ADMIN@", &admin.to_string());
        }
        let mut text = format!(
            "version: 1\nlisten:\n  - {{address: \"{http}\"{}}}\n",
            self.listen
        );
        if let Some(settings) = &self.tls {
            writeln!(text, "  - {{address: \"{tls}\", tls: {settings}}}").unwrap();
        }
        let more = self.admin.as_deref().unwrap_or(", socket: admin.sock");
        writeln!(text, "admin: {{address: \"{admin}\"{more}}}").unwrap();
        text.push_str(&self.top);
        for (name, part) in [
            ("upstreams", &self.upstreams),
            ("checks", &self.checks),
            ("chains", &self.chains),
            ("routes", &self.routes),
        ] {
            if !part.is_empty() {
                write!(text, "{name}:\n{part}").unwrap();
            }
        }
        text
    }
}
