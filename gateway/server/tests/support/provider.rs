//! A certified OpenID provider (npm: oidc-provider) and a browser without a window that walks between it and the gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::ports::Port;
use super::raw::{Response, exchange};
use super::tools::{Served, deps, program};

/// The host that browsers call the gateway by.
pub(crate) const SHOP: &str = "shop.example";

/// See `tests/tools/provider.mjs`. Ends when it is dropped.
pub(crate) struct Provider {
    served: Option<Served>,
    folder: tempfile::TempDir,
    port: Port,
}

impl Provider {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let mut provider = Self {
            served: None,
            folder: tempfile::tempdir().unwrap(),
            port: Port::take(),
        };
        provider.again();
        provider
    }

    /// Starts it again where it was, after [`Provider::stop`].
    #[track_caller]
    pub(crate) fn again(&mut self) {
        let modules = deps().join("npm/node_modules");
        let known = modules.join("oidc-provider/package.json");
        assert!(
            known.exists(),
            "{} is missing: run deploy/test.sh",
            known.display()
        );
        let tool = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools/provider.mjs");
        let mut command = program("node");
        command
            .arg(tool)
            .arg(modules)
            .arg(self.port.number.to_string())
            .arg(self.key());
        self.served = Some(Served::ready(&mut command));
    }

    pub(crate) fn stop(&mut self) {
        self.served = None;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The private key of the client `signer`, in PEM.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("signer.pem")
    }

    /// What only a test asks of it: other keys, another gateway.
    #[track_caller]
    pub(crate) fn told(&self, what: &str) {
        let request = format!(
            "POST /test/{what} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(exchange(self.address(), request).status, 200);
    }
}

/// What a browser does, as far as log-ins depend on it: it keeps cookies by host, follows redirects and fills in forms.
pub(crate) struct Browser {
    gateway: SocketAddr,
    provider: SocketAddr,
    /// Those that the shop's host set.
    pub(crate) cookies: BTreeMap<String, String>,
    /// Those of the provider's host, by name and path.
    others: BTreeMap<(String, String), String>,
    /// Every address that it was at.
    pub(crate) been: Vec<String>,
}

impl Browser {
    pub(crate) fn new(gateway: SocketAddr, provider: &Provider) -> Self {
        Self {
            gateway,
            provider: provider.address(),
            cookies: BTreeMap::new(),
            others: BTreeMap::new(),
            been: Vec::new(),
        }
    }

    /// A page of the shop.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(
            &format!("https://{SHOP}{path}"),
            None,
            "Accept: text/html\r\n",
        )
    }

    /// One request, with the cookies of its host; nothing is followed.
    #[track_caller]
    pub(crate) fn send(&mut self, url: &str, form: Option<&str>, more: &str) -> Response {
        self.been.push(url.to_owned());
        let (_, rest) = url.split_once("://").expect(url);
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let shop = host == SHOP;
        assert!(
            shop || host == self.provider.to_string(),
            "nobody sends a browser to {url}"
        );
        let of_path = |(_, below): &&(String, String)| path.starts_with(below.as_str());
        let cookies: Vec<_> = match shop {
            true => self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            false => {
                let others = self.others.iter().filter(|(key, _)| of_path(key));
                others
                    .map(|((name, _), value)| format!("{name}={value}"))
                    .collect()
            }
        };
        let mut head = format!(
            "{} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}",
            match form {
                Some(_) => "POST",
                None => "GET",
            }
        );
        if !cookies.is_empty() {
            head += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        if let Some(form) = form {
            head += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                form.len()
            );
        }
        let request = format!("{head}\r\n{}", form.unwrap_or_default());
        let answer = exchange(if shop { self.gateway } else { self.provider }, request);
        for (_, line) in answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        {
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            let gone = value.is_empty() || line.contains("Max-Age=0") || line.contains("1970");
            let below = rest
                .split("; path=")
                .nth(1)
                .map_or("/", |rest| rest.split(';').next().unwrap());
            let (key, value) = ((name.to_owned(), below.to_owned()), value.to_owned());
            match (shop, gone) {
                (true, true) => drop(self.cookies.remove(name)),
                (true, false) => drop(self.cookies.insert(name.to_owned(), value)),
                (false, true) => drop(self.others.remove(&key)),
                (false, false) => drop(self.others.insert(key, value)),
            }
        }
        answer
    }

    /// Where it is sent, as a whole address.
    #[track_caller]
    pub(crate) fn sent(&self, answer: &Response) -> Option<String> {
        let to = answer
            .header("location")
            .filter(|_| (300..400).contains(&answer.status))?;
        let here = self.been.last().unwrap();
        let end = here.find("://").unwrap() + 3;
        let host = here[end..].find('/').map_or(here.len(), |at| end + at);
        Some(if to.starts_with('/') {
            format!("{}{to}", &here[..host])
        } else {
            to.to_owned()
        })
    }

    /// Goes on from this answer until a page is shown.
    #[track_caller]
    pub(crate) fn follow(&mut self, mut answer: Response) -> Response {
        for _ in 0..20 {
            let Some(next) = self.sent(&answer) else {
                return answer;
            };
            answer = self.send(&next, None, "Accept: text/html\r\n");
        }
        panic!("sent to and fro: {:#?}", self.been);
    }

    /// Fills in the form of the page that it is on, and follows.
    #[track_caller]
    pub(crate) fn submit(&mut self, page: &Response, more: &str) -> Response {
        let text = page.text();
        let field = |tag: &str, name: &str| {
            let (_, rest) = tag.split_once(&format!("{name}=\""))?;
            Some(rest.split('"').next().unwrap().to_owned())
        };
        let form = text
            .split("<form")
            .nth(1)
            .unwrap_or_else(|| panic!("no form: {text}"));
        let inputs = form
            .split("</form>")
            .next()
            .unwrap()
            .split("<input")
            .skip(1);
        let hidden = inputs.filter_map(|tag| Some((field(tag, "name")?, field(tag, "value")?)));
        let pairs: Vec<_> = hidden
            .map(|(name, value)| format!("{name}={value}"))
            .chain([more.to_owned()])
            .collect();
        let here = self.been.last().unwrap().clone();
        let action =
            field(form.split('>').next().unwrap(), "action").unwrap_or_else(|| here.clone());
        let to = Response {
            status: 303,
            headers: vec![("location".to_owned(), action)],
            ..Response::default()
        };
        let url = self.sent(&to).unwrap();
        let answer = self.send(&url, Some(&pairs.join("&")), "Accept: text/html\r\n");
        self.follow(answer)
    }

    /// Opens a page of the shop and logs in where it is asked to; what is shown in the end.
    #[track_caller]
    pub(crate) fn log_in(&mut self, path: &str, user: &str) -> Response {
        let answer = self.get(path);
        let page = self.follow(answer);
        match self.is_asked() {
            true => self.submit(&page, &format!("login={user}")),
            false => page,
        }
    }

    /// Whether it is at the provider, which asks who its user is.
    pub(crate) fn is_asked(&self) -> bool {
        self.been.last().unwrap().contains("/interaction/")
    }

    pub(crate) fn session(&self) -> Option<String> {
        self.cookies.get("__Host-session").cloned()
    }
}
