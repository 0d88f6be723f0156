//! HTTP/2: several streams at once on one connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;

use crate::tally::Tally;
use crate::wire::{Answer, Dial};
use crate::work::Work;

pub(crate) async fn run(dial: Arc<Dial>, work: Arc<Work>, tally: Arc<Tally>, streams: usize) {
    let scheme = if dial.tls.is_some() { "https" } else { "http" };
    let requests: Option<Vec<_>> = work
        .requests()
        .iter()
        .map(|raw| parsed(raw, scheme))
        .collect();
    let Some(requests) = requests else {
        return tally.broke(&"a request that is none");
    };
    let requests = Arc::new(requests);
    while !work.over() {
        match open(&dial).await {
            Ok(client) => {
                tally.connected();
                let each = (0..streams).map(|_| {
                    let (work, tally) = (Arc::clone(&work), Arc::clone(&tally));
                    stream(client.clone(), work, tally, Arc::clone(&requests))
                });
                futures_util::future::join_all(each).await;
            }
            Err(fault) => {
                tally.broke(&fault);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn open(dial: &Dial) -> Result<SendRequest<Bytes>, String> {
    let stream = dial.connect().await.map_err(|fault| fault.to_string())?;
    let opened = h2::client::handshake(stream).await;
    let (client, connection) = opened.map_err(|fault| fault.to_string())?;
    tokio::spawn(connection);
    Ok(client)
}

/// One stream after the other; ends with the connection.
async fn stream(
    client: SendRequest<Bytes>,
    work: Arc<Work>,
    tally: Arc<Tally>,
    requests: Arc<Vec<(Request<()>, Bytes)>>,
) {
    let mut client = client;
    while let Some(turn) = work.next().await {
        let sent = Instant::now();
        let Some((request, body)) = requests.get(turn.number) else {
            return;
        };
        client = match client.ready().await {
            Ok(client) => client,
            Err(fault) => return tally.broke(&fault),
        };
        match exchange(&mut client, request.clone(), body.clone()).await {
            Ok(answer) => tally.answer(&answer, turn.due, sent),
            // The proxy ends a connection after its number of requests: the caller opens another.
            Err(fault) if fault.is_go_away() => return,
            Err(fault) => return tally.broke(&fault),
        }
    }
}

async fn exchange(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> Result<Answer, h2::Error> {
    let (answer, mut sender) = client.send_request(request, body.is_empty())?;
    if !body.is_empty() {
        sender.send_data(body, true)?;
    }
    let answer = answer.await?;
    let status = answer.status().as_u16();
    let told_when = answer.headers().contains_key("retry-after");
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        let length = data?.len();
        body.flow_control().release_capacity(length)?;
    }
    Ok(Answer {
        status,
        open: true,
        told_when,
    })
}

fn parsed(raw: &Bytes, scheme: &str) -> Option<(Request<()>, Bytes)> {
    let end = memchr::memmem::find(raw, b"\r\n\r\n")?;
    let text = std::str::from_utf8(raw.get(..end)?).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?, first.next()?);
    let mut builder = Request::builder().method(method);
    let mut host = "localhost";
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("host") {
            host = value.trim();
        } else if !name.eq_ignore_ascii_case("connection") {
            builder = builder.header(name, value.trim());
        }
    }
    let request = builder.uri(format!("{scheme}://{host}{target}")).body(());
    Some((request.ok()?, raw.slice(end + 4..)))
}
