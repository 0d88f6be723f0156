//! TLS of a listener: certificates by server name, client certificates, ALPN, and certificates that are replaced on
//! disk. Everything is loaded and checked before it is used; what cannot be used leaves the running one in place.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use policy::request::Tls;
use policy::settings::{Alpn, Certificate, ClientAuth, ListenerTls, TlsVersion};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// One listener's TLS: what `accept` uses, and how to renew it.
pub(crate) struct Terminator {
    config: ArcSwap<ServerConfig>,
    settings: ListenerTls,
    base: PathBuf,
    stamps: parking_lot::Mutex<Stamps>,
}

type Stamps = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl Terminator {
    /// Loads and checks everything.
    pub(crate) fn new(settings: &ListenerTls, base: &Path) -> Result<Self, String> {
        let config = config(settings, base)?;
        let terminator = Self {
            config: ArcSwap::from(config),
            settings: settings.clone(),
            base: base.to_owned(),
            stamps: parking_lot::Mutex::default(),
        };
        *terminator.stamps.lock() = terminator.stamp();
        Ok(terminator)
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Loads again when a file changed. A certificate without its new key is an error until the key is there as well.
    pub(crate) fn renew(&self) -> Result<bool, String> {
        let stamps = self.stamp();
        if *self.stamps.lock() == stamps {
            return Ok(false);
        }
        self.config.store(config(&self.settings, &self.base)?);
        *self.stamps.lock() = stamps;
        Ok(true)
    }

    fn stamp(&self) -> Stamps {
        let pairs = self
            .settings
            .certificates
            .iter()
            .flat_map(|one| [&one.cert, &one.key]);
        let authorities = self.settings.client_auth.iter().map(|auth| &auth.ca);
        pairs
            .chain(authorities)
            .map(|file| {
                let file = self.base.join(file);
                let seen = std::fs::metadata(&file).ok();
                let seen = seen.and_then(|seen| Some((seen.modified().ok()?, seen.len())));
                (file, seen)
            })
            .collect()
    }
}

/// What a finished handshake showed.
pub(crate) fn facts(connection: &ServerConnection) -> Tls {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    Tls {
        version: match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(_) | None => "",
        }
        .to_owned(),
        sni: connection.server_name().map(str::to_ascii_lowercase),
        client_subject: leaf.and_then(|leaf| Some(parse(leaf)?.subject().to_string())),
        client_fingerprint: leaf.map(|leaf| hex(&Sha256::digest(leaf))),
    }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn parse<'c>(der: &'c CertificateDer<'_>) -> Option<X509Certificate<'c>> {
    x509_parser::parse_x509_certificate(der)
        .ok()
        .map(|(_, parsed)| parsed)
}

fn config(settings: &ListenerTls, base: &Path) -> Result<Arc<ServerConfig>, String> {
    let versions: &[_] = match settings.min {
        TlsVersion::V1_2 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|why| why.to_string())?;
    let builder = match &settings.client_auth {
        None => builder.with_no_client_auth(),
        Some(auth) => builder.with_client_cert_verifier(verifier(auth, base, provider)?),
    };
    let mut config =
        builder.with_cert_resolver(Arc::new(Names::load(&settings.certificates, base)?));
    config.alpn_protocols = settings
        .alpn
        .iter()
        .map(|protocol| match protocol {
            Alpn::H2 => b"h2".to_vec(),
            Alpn::Http1 => b"http/1.1".to_vec(),
        })
        .collect();
    // Early data can be replayed (RFC 8446, 8): it stays off.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

fn verifier(
    auth: &ClientAuth,
    base: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, String> {
    let file = base.join(&auth.ca);
    let mut roots = RootCertStore::empty();
    for one in chain(&file)? {
        roots
            .add(one)
            .map_err(|why| format!("{}: {why}", file.display()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if auth.require {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder
        .build()
        .map_err(|why| format!("{}: {why}", file.display()))
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|why| format!("{}: {why}", file.display()))?;
    if found.is_empty() {
        return Err(format!("{}: no certificate in it", file.display()));
    }
    Ok(found)
}

/// Certificates by the name that a client asks for; wildcards cover one label.
#[derive(Debug)]
struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    wild: HashMap<String, Arc<CertifiedKey>>,
    first: Option<Arc<CertifiedKey>>,
}

impl Names {
    fn load(certificates: &[Certificate], base: &Path) -> Result<Self, String> {
        let mut names = Self {
            exact: HashMap::new(),
            wild: HashMap::new(),
            first: None,
        };
        for certificate in certificates {
            names.add(certificate, base)?;
        }
        Ok(names)
    }

    fn add(&mut self, certificate: &Certificate, base: &Path) -> Result<(), String> {
        let (cert, key) = (base.join(&certificate.cert), base.join(&certificate.key));
        let chain = chain(&cert)?;
        let secret = PrivateKeyDer::from_pem_file(&key)
            .map_err(|why| format!("{}: {why}", key.display()))?;
        let provider = rustls::crypto::ring::default_provider();
        let pair = CertifiedKey::from_der(chain, secret, &provider)
            .map_err(|why| format!("{} with {}: {why}", cert.display(), key.display()))?;
        let written = certificate.names.clone();
        let names = if written.is_empty() {
            own_names(&pair)
        } else {
            written
        };
        let pair = Arc::new(pair);
        for name in names {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(rest) => self
                    .wild
                    .entry(rest.to_owned())
                    .or_insert_with(|| Arc::clone(&pair)),
                None => self.exact.entry(name).or_insert_with(|| Arc::clone(&pair)),
            };
        }
        self.first.get_or_insert(pair);
        Ok(())
    }
}

fn own_names(pair: &CertifiedKey) -> Vec<String> {
    let parsed = pair.end_entity_cert().ok().and_then(parse);
    let alternatives = parsed
        .as_ref()
        .and_then(|one| one.subject_alternative_name().ok().flatten());
    let Some(alternatives) = alternatives else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect()
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = hello.server_name().map(str::to_ascii_lowercase) else {
            return self.first.clone();
        };
        self.exact
            .get(&name)
            .or_else(|| self.wild.get(name.split_once('.')?.1))
            .or(self.first.as_ref())
            .map(Arc::clone)
    }
}
