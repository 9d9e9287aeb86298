//! `meshlog up`: every role in one process on the embedded log.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use meshlog_connectors::http;
use meshlog_pipeline::{Durability, EmbeddedOptions, Retention};
use meshlog_processors::recall::Weights;
use meshlog_schemas::Topic;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{HouseError, ports, rooms::Rooms};

/// What `up` is started with.
#[derive(Debug, Clone)]
pub(crate) struct UpOptions {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// The address to listen on.
    pub(crate) listen: SocketAddr,
    /// The directory of the embedding model.
    pub(crate) model: PathBuf,
    /// What an acknowledgement promises.
    pub(crate) durability: Durability,
    /// How long the events of a topic are kept, where not for ever.
    pub(crate) retention: BTreeMap<Topic, Retention>,
    /// Added to the score of an assistant's message in recall; see [`Weights::assistant`].
    pub(crate) assistant_prior: f32,
}

/// Serves until SIGINT or SIGTERM, then shuts down in order.
///
/// # Errors
/// The address is taken, or a room cannot be opened; each error names what to do.
pub(crate) fn up(options: UpOptions) -> Result<(), HouseError> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(std::time::Duration::from_secs(10))
        .enable_all()
        .build()
        .map_err(HouseError::System)?;
    runtime.block_on(async {
        // The address first: if it is taken, nothing else need be touched.
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|cause| HouseError::Listen { address: options.listen, cause })?;
        let address = listener.local_addr().map_err(HouseError::System)?;
        let weights = Weights {
            assistant: options.assistant_prior,
            assistant_asked: options.assistant_prior / 4.0,
            ..Weights::default()
        };
        let (data, model) = (options.data.clone(), options.model.clone());
        let log = EmbeddedOptions {
            durability: options.durability,
            retention: options.retention.clone(),
            ..EmbeddedOptions::default()
        };
        let rooms = tokio::task::spawn_blocking(move || Rooms::open(&data, &model, weights, log).map(Arc::new))
            .await
            .map_err(|error| HouseError::System(std::io::Error::other(error)))??;
        rooms.allow_retention();
        let shutdown = shutdown_signal().map_err(HouseError::System)?;
        announce(address, &options, started);
        http::serve(listener, ports::ports(&rooms), shutdown).await.map_err(HouseError::System)?;
        tracing::info!("shutting down");
        let closed = tokio::task::spawn_blocking(move || rooms.close()).await;
        closed.map_err(|error| HouseError::System(std::io::Error::other(error)))
    })
}

fn shutdown_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

fn announce(address: SocketAddr, options: &UpOptions, started: Instant) {
    println!("meshlog is listening on http://{address} (ready in {} ms)", started.elapsed().as_millis());
    println!("data: {}   model: {}", options.data.display(), options.model.display());
    if options.durability != Durability::Always {
        println!("durability {}: {}", options.durability.name(), options.durability.promise());
    }
    println!("try, in another terminal:");
    println!("  meshlog import examples/conversations.jsonl --wait");
    println!("  meshlog recall \"how much did the roofer want?\"");
    println!("  curl http://{address}/openapi.json");
}
