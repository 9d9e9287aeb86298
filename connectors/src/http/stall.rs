//! Stalls: clients that take nothing of what is sent to them.
//!
//! Owns: the time that a write to a connection may take. Without it a client that never reads would hold its connection,
//! and with it an event stream, for ever.
//! Never: limits how long an answer takes as a whole, or how long a client that takes it may be slow.

use std::{io, net::SocketAddr, pin::Pin, time::Duration};

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutWriter;

/// A listener whose connections fail when a write gets no byte through for the limit.
pub(super) struct Unstalled {
    listener: TcpListener,
    limit: Duration,
}

impl Unstalled {
    /// Connections of this listener.
    pub(super) fn new(listener: TcpListener, limit: Duration) -> Self {
        Self { listener, limit }
    }
}

impl Listener for Unstalled {
    type Io = Pin<Box<TimeoutWriter<TcpStream>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // axum's own listener goes on after errors, which are those of single connections.
        let (connection, address) = Listener::accept(&mut self.listener).await;
        // Without this the last small packet of an answer may wait for the client's acknowledgement.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its packets back");
        }
        let mut writer = TimeoutWriter::new(connection);
        writer.set_timeout(Some(self.limit));
        (Box::pin(writer), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
