//! Starting: what a server answers before it can work.
//!
//! Owns: the few answers of a server that still waits for something, such as its log: that it lives, and why it is not ready.

use std::{future::IntoFuture, io, pin::pin};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    api::Readiness,
    problem::{Code, Problem},
};

use super::health;

/// Says of a server that starts that it lives and, by `reason`, why it is not ready, until `ready` completes.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve_starting<T>(
    listener: TcpListener,
    reason: watch::Receiver<String>,
    ready: impl Future<Output = T>,
) -> io::Result<T> {
    let router = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(unready))
        .fallback(unavailable)
        .with_state(reason);
    let mut server = pin!(axum::serve(listener, router).into_future());
    tokio::select! {
        ready = ready => Ok(ready),
        result = &mut server => Err(result.err().unwrap_or_else(|| io::Error::other("the listener ended"))),
    }
}

async fn unready(State(reason): State<watch::Receiver<String>>) -> (StatusCode, Json<Readiness>) {
    let reasons = vec![reason.borrow().clone()];
    (StatusCode::SERVICE_UNAVAILABLE, Json(Readiness { ready: false, reasons }))
}

async fn unavailable(State(reason): State<watch::Receiver<String>>) -> Problem {
    let detail = format!("the server is starting: {}", *reason.borrow());
    Problem::new(Code::Unavailable, detail, "try again in a moment").retry_after(2)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    #[tokio::test]
    async fn a_server_that_starts_lives_and_says_what_it_waits_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (_reason, reasons) = watch::channel("the brokers do not answer".to_owned());
        let ask = |path: &'static str| async move {
            let mut connection = TcpStream::connect(address).await.expect("the server listens");
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            connection.write_all(request.as_bytes()).await.expect("it is sent");
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.expect("it is answered");
            answer
        };
        let asked = async { (ask("/livez").await, ask("/readyz").await, ask("/v1/threads").await) };
        let (alive, ready, other) = serve_starting(listener, reasons, asked).await.expect("the listener works");
        assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the brokers do not answer"), "{ready}");
        assert!(other.starts_with("HTTP/1.1 503") && other.contains("\"unavailable\""), "{other}");
    }
}
