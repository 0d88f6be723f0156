//! Talks to the admin listener of a running gateway, over TCP or its Unix socket. Owns where that is, the token, and
//! what a failure looks like to whoever typed the command; what is asked is each command's.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use policy::settings::ListenAddress;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Exit, say};
use crate::policy_file::PolicyFile;

/// Longest answer: a long list, in bytes.
const LARGEST: u64 = 256 << 20;

/// Where the unit and the compose file of `deploy` have it.
const SOCKET: &str = "/run/palisade/admin.sock";

/// How long the gateway may take: a reload of a large policy takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which gateway.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct At {
    /// Admin listener of the gateway: ADDRESS:PORT or unix:PATH. Default: that of --policy (its socket first), else
    /// unix:/run/palisade/admin.sock where that is, else 127.0.0.1:9900. A token comes from PALISADE_ADMIN_TOKEN.
    #[arg(long, value_name = "ADDRESS", env = "PALISADE_ADMIN", global = true)]
    admin: Option<ListenAddress>,
    /// The policy that the gateway serves: its admin listener, and its token where this user may read it.
    #[arg(long, value_name = "POLICY", value_hint = clap::ValueHint::FilePath, global = true)]
    policy: Option<PathBuf>,
}

/// A gateway that can be asked.
#[derive(Debug)]
pub(super) struct Remote {
    address: ListenAddress,
    token: Option<Zeroizing<String>>,
}

/// Why there is nothing to show.
#[derive(Debug)]
pub(super) enum Failure {
    /// The gateway cannot be reached, or does not answer as one.
    Unreachable(String),
    /// It refused: status, and what it says.
    Refused(StatusCode, String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => f.write_str(why),
            Self::Refused(StatusCode::UNAUTHORIZED, _) => {
                f.write_str("the gateway asks for a token: set PALISADE_ADMIN_TOKEN")
            }
            Self::Refused(_, why) => f.write_str(why),
        }
    }
}

impl Failure {
    /// Says it to whoever typed the command.
    pub(super) fn say(&self) -> Exit {
        eprintln!("palisade: {self}");
        match self {
            Self::Unreachable(_) => Exit::CannotStart,
            Self::Refused(..) => Exit::Faults,
        }
    }
}

impl At {
    /// Finds the gateway, lets `act` ask it, and shows what that makes of the answer, or why there is none.
    pub(super) fn show(&self, act: impl FnOnce(&Remote) -> Result<String, Failure>) -> Exit {
        match self.find().and_then(|remote| act(&remote)) {
            Ok(text) => {
                say(text);
                Exit::Ok
            }
            Err(why) => why.say(),
        }
    }

    /// Finds the gateway; nothing is sent yet.
    ///
    /// # Errors
    /// When the policy cannot be read or has no admin listener.
    pub(super) fn find(&self) -> Result<Remote, Failure> {
        let given = std::env::var("PALISADE_ADMIN_TOKEN").ok();
        let given = given.filter(|token| !token.is_empty()).map(Zeroizing::new);
        if let Some(address) = &self.admin {
            let address = address.clone();
            return Ok(Remote {
                address,
                token: given,
            });
        }
        let Some(path) = &self.policy else {
            let address = match Path::new(SOCKET).exists() {
                true => ListenAddress::Unix(SOCKET.to_owned()),
                false => ListenAddress::Tcp(([127, 0, 0, 1], 9900).into()),
            };
            return Ok(Remote {
                address,
                token: given,
            });
        };
        let admin = PolicyFile::find(path).map_err(Failure::Unreachable)?;
        let folder = admin.folder().to_owned();
        let admin = admin.outline().and_then(|outline| outline.admin);
        let admin = admin.ok_or_else(|| {
            Failure::Unreachable(format!("{} names no admin listener", path.display()))
        })?;
        let own = admin.tokens.first().and_then(|token| {
            let text = std::str::from_utf8(&token.0).ok()?;
            Some(Zeroizing::new(text.to_owned()))
        });
        Ok(Remote {
            address: beside(admin.socket.unwrap_or(admin.address), &folder),
            token: given.or(own),
        })
    }
}

/// Sockets are named from the policy's folder.
fn beside(address: ListenAddress, folder: &Path) -> ListenAddress {
    match address {
        ListenAddress::Unix(path) => {
            ListenAddress::Unix(folder.join(path).to_string_lossy().into_owned())
        }
        tcp @ ListenAddress::Tcp(_) => tcp,
    }
}

impl Remote {
    /// Asks, with a JSON body where there is one. Gives the JSON of the answer, `null` when it is empty.
    ///
    /// # Errors
    /// When there is no answer, or it is not of status 2xx.
    pub(super) fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let (status, answer) = self.exchange(method, path, body).map_err(|why| {
            let address = &self.address;
            Failure::Unreachable(format!("no answer from the gateway at {address}: {why}"))
        })?;
        let text = String::from_utf8_lossy(&answer);
        let json = if text.trim().is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_str::<Value>(&text)
        };
        match json {
            Ok(json) if status.is_success() => {
                if let Some(note) = json.get("note").and_then(Value::as_str) {
                    eprintln!("palisade: {note}");
                }
                Ok(json)
            }
            Ok(json) => {
                let told = json.get("error").and_then(Value::as_str);
                let mut told = told.map_or_else(|| refusal(status), str::to_owned);
                let faults = json.get("faults").and_then(Value::as_array);
                for fault in faults.into_iter().flatten().filter_map(Value::as_str) {
                    told.push_str("\n  ");
                    told.push_str(fault);
                }
                Err(Failure::Refused(status, told))
            }
            Err(_) if !status.is_success() => {
                let told = text.lines().next().unwrap_or_default().trim().to_owned();
                Err(Failure::Refused(status, told))
            }
            Err(_) => {
                let address = &self.address;
                let what = format!("what answers at {address} is no gateway");
                Err(Failure::Unreachable(what))
            }
        }
    }

    fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> io::Result<(StatusCode, Vec<u8>)> {
        let request = self.request(method, path, body);
        match &self.address {
            ListenAddress::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                converse(stream, request.as_bytes())
            }
            ListenAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                converse(stream, request.as_bytes())
            }
        }
    }

    /// HTTP/1.0, so that the answer ends where the connection does and is never in chunks.
    fn request(&self, method: &Method, path: &str, body: Option<&Value>) -> Zeroizing<String> {
        let host = match &self.address {
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(_) => "localhost".to_owned(),
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n");
        if let Some(token) = &self.token {
            request.push_str("Authorization: Bearer ");
            request.push_str(token);
            request.push_str("\r\n");
        }
        request.push_str("Content-Type: application/json\r\nContent-Length: ");
        request.push_str(itoa::Buffer::new().format(body.len()));
        request.push_str("\r\n\r\n");
        request.push_str(&body);
        Zeroizing::new(request)
    }
}

fn refusal(status: StatusCode) -> String {
    let word = status.canonical_reason().unwrap_or("refused");
    format!("the gateway answers {} ({word})", status.as_u16())
}

/// What the gateway is told of the reason.
pub(super) fn because(reason: Option<&str>) -> Option<Value> {
    reason.map(|reason| serde_json::json!({ "reason": reason }))
}

/// One part of a path, so that no name of a user or key changes what is asked.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b':' | b'@' => {
                out.push(char::from(byte));
            }
            // A lone dot or two would be taken for a step in the path.
            b'.' if text.bytes().any(|byte| byte != b'.') => out.push('.'),
            _ => {
                let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
                out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    out
}

fn converse(mut stream: impl Read + Write, request: &[u8]) -> io::Result<(StatusCode, Vec<u8>)> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(LARGEST).read_to_end(&mut answer)?;
    let no_answer = || io::Error::from(io::ErrorKind::InvalidData);
    let end = memchr::memmem::find(&answer, b"\r\n\r\n").ok_or_else(no_answer)?;
    let head = answer.get(..end).unwrap_or_default();
    let status = head
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..5));
    let status = status.and_then(|code| StatusCode::from_bytes(code).ok());
    let status = status.ok_or_else(no_answer)?;
    answer.drain(..end + 4);
    Ok((status, answer))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use http::Method;
    use policy::settings::ListenAddress;
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::{At, Failure, Remote, segment};

    /// Answers once with `answer`; gives what was asked.
    fn gateway(answer: &'static str) -> (Remote, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ListenAddress::Tcp(listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut text, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.trim().parse().unwrap();
                }
                text.push_str(&line);
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            text + &String::from_utf8(body).unwrap()
        });
        let token = Some(Zeroizing::new("sesame".to_owned()));
        (Remote { address, token }, asked)
    }

    #[test]
    fn asks_with_the_token_and_gives_the_answer() {
        let (remote, asked) = gateway("HTTP/1.0 201 Created\r\n\r\n{\"id\": 7}");
        let body = json!({"user": "mia"});
        let answer = remote.ask(&Method::POST, "/sessions", Some(&body)).unwrap();
        assert_eq!(answer, json!({"id": 7}));
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("POST /sessions HTTP/1.0\r\n"), "{asked}");
        assert!(
            asked.contains("Authorization: Bearer sesame\r\n"),
            "{asked}"
        );
        assert!(asked.ends_with("{\"user\":\"mia\"}"), "{asked}");
    }

    #[test]
    fn tells_what_the_gateway_says_when_it_refuses() {
        for (answer, told) in [
            (
                "HTTP/1.0 404 Not Found\r\n\r\n",
                "the gateway answers 404 (Not Found)",
            ),
            (
                "HTTP/1.0 400 Bad Request\r\n\r\n{\"error\": \"no user\"}",
                "no user",
            ),
            (
                "HTTP/1.0 421 Misdirected\r\n\r\nuse an IP address\n",
                "use an IP address",
            ),
            (
                "HTTP/1.0 401 Unauthorized\r\n\r\nno",
                "the gateway asks for a token: set PALISADE_ADMIN_TOKEN",
            ),
        ] {
            let (remote, asked) = gateway(answer);
            let failure = remote.ask(&Method::GET, "/x", None).unwrap_err();
            assert!(matches!(failure, Failure::Refused(..)));
            assert_eq!(failure.to_string(), told);
            asked.join().unwrap();
        }
        let (remote, asked) = gateway("SSH-2.0-x\r\n\r\n");
        let failure = remote.ask(&Method::GET, "/x", None).unwrap_err();
        assert!(matches!(failure, Failure::Unreachable(_)));
        asked.join().unwrap();
    }

    #[test]
    fn the_policy_says_where_its_gateway_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        std::fs::write(folder.path().join("token"), "0123456789abcdef\n").unwrap();
        let text = "version: 1\nadmin: {address: \"unix:admin.sock\", token: t}\nsecrets: {t: {file: token}}\n";
        std::fs::write(&file, text).unwrap();
        let at = |policy| At {
            admin: None,
            policy,
        };
        let remote = at(Some(file)).find().unwrap();
        let socket = folder.path().join("admin.sock");
        let socket = ListenAddress::Unix(socket.to_string_lossy().into_owned());
        assert_eq!(remote.address, socket);
        assert_eq!(remote.token.unwrap().as_str(), "0123456789abcdef");
        let default = at(None).find().unwrap().address;
        assert_eq!(default.to_string(), "127.0.0.1:9900");
    }

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(segment("mia@example.com"), "mia@example.com");
        assert_eq!(segment("a/b?c%"), "a%2fb%3fc%25");
        assert_eq!(
            (segment(".."), segment("é")),
            ("%2e%2e".to_owned(), "%c3%a9".to_owned())
        );
    }
}
