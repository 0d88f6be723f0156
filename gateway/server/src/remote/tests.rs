#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use bytes::Bytes;
use policy::io::{Cached, Call, FetchFault};

use super::Remote;
use crate::record::Silent;

/// A server on a port of its own; what it is and how often it was asked.
async fn server() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = async |State(asked): State<Arc<AtomicUsize>>| {
        asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        "an answer"
    };
    let app = Router::new()
        .route("/", get(count))
        .route("/moved", get(async || axum::response::Redirect::to("/")))
        .route("/never", get(std::future::pending::<&str>))
        .with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (base, asked)
}

fn call(url: String) -> Call {
    Call {
        method: http::Method::GET,
        url,
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(20),
        max: 100,
        cache: Some(Cached {
            fresh: Duration::from_secs(60),
            stale: Duration::from_secs(60),
            older_than: None,
        }),
    }
}

#[tokio::test]
async fn identical_calls_are_one() {
    let (base, asked) = server().await;
    let remote = Remote::new(Arc::new(Silent));
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (remote, call) = (Arc::clone(&remote), call(format!("{base}/")));
            tokio::spawn(async move { remote.fetch(&call).await.unwrap().version })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 1);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_goes_nowhere() {
    let (base, asked) = server().await;
    let remote = Remote::new(Arc::new(Silent));
    let answer = remote.fetch(&call(format!("{base}/moved"))).await.unwrap();
    assert_eq!((answer.status, asked.load(Ordering::SeqCst)), (303, 0));
}

#[tokio::test]
async fn what_is_too_long_too_slow_or_not_there_is_a_fault() {
    let (base, _) = server().await;
    let remote = Remote::new(Arc::new(Silent));
    let mut long = call(format!("{base}/"));
    long.max = 8;
    assert_eq!(remote.fetch(&long).await, Err(FetchFault::TooLarge));
    let mut slow = call(format!("{base}/never"));
    slow.timeout = Duration::from_millis(30);
    assert_eq!(remote.fetch(&slow).await, Err(FetchFault::Slow));
    let gone = call("http://127.0.0.1:1/".to_owned());
    assert_eq!(remote.fetch(&gone).await, Err(FetchFault::Down));
    let odd = call("ftp://127.0.0.1/".to_owned());
    assert_eq!(remote.fetch(&odd).await, Err(FetchFault::Down));
}

#[test]
fn authorities_without_a_certificate_are_refused() {
    let remote = Remote::new(Arc::new(Silent));
    let nothing = Bytes::from_static(b"nothing");
    assert!(
        remote
            .trust(Some(&nothing))
            .unwrap_err()
            .contains("remote.ca")
    );
    assert!(remote.trust(None).is_ok());
}
