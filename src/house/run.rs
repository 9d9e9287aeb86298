//! Running: one process that does what its plan says, from its start to its end in order.

use std::{net::SocketAddr, sync::Arc, time::Duration, time::Instant};

use meshlog_connectors::http;
use meshlog_pipeline::{Durability, LogError};
use meshlog_schemas::PartitionShare;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    HouseError,
    plan::{EngineOptions, Plan, StageKind},
    ports,
    rooms::Rooms,
};

/// How long it waits before it tries again to reach a log that does not answer.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Serves on an address until SIGINT or SIGTERM, then shuts down in order.
///
/// # Errors
/// The address is taken, or a room cannot be opened; each error names what to do. Brokers that do not answer are no error:
/// they are waited for, and `/readyz` says so.
pub(crate) fn run(plan: Plan, listen: SocketAddr) -> Result<(), HouseError> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(Duration::from_secs(10))
        .enable_all()
        .build()
        .map_err(HouseError::System)?;
    runtime.block_on(async {
        // The address first: if it is taken, nothing else need be touched.
        let listener =
            TcpListener::bind(listen).await.map_err(|cause| HouseError::Listen { address: listen, cause })?;
        let address = listener.local_addr().map_err(HouseError::System)?;
        let mut shutdown = shutdown_signal().map_err(HouseError::System)?;
        let (plan, shared) = (Arc::new(plan), watch::channel("it opens its log".to_owned()));
        let opening = open(plan.clone(), shared.0);
        let (listener, rooms) = match plan.engine {
            // Soon done: whoever asks meanwhile is answered then.
            EngineOptions::Embedded(_) => (listener, opening.await?),
            EngineOptions::Kafka { .. } => {
                let (now, later) = twice(listener).map_err(HouseError::System)?;
                tokio::select! {
                    opened = http::serve_starting(now, shared.1, opening) => (later, opened.map_err(HouseError::System)??),
                    _ = shutdown.changed() => return Ok(()),
                }
            }
        };
        rooms.allow_retention();
        announce(address, &plan, started);
        let end = async move {
            // Its sender lives as long as the runtime.
            let _ = shutdown.wait_for(|asked| *asked).await;
        };
        http::serve(listener, ports::ports(&rooms), end).await.map_err(HouseError::System)?;
        tracing::info!("shutting down");
        let closed = tokio::task::spawn_blocking(move || rooms.close()).await;
        closed.map_err(|error| HouseError::System(std::io::Error::other(error)))
    })?;
    // What still waits for a log that does not answer is left: nothing of it was acknowledged.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// Opens the rooms; a log that does not answer is tried until it does.
async fn open(plan: Arc<Plan>, reason: watch::Sender<String>) -> Result<Arc<Rooms>, HouseError> {
    loop {
        let opening = plan.clone();
        let runtime = tokio::runtime::Handle::current();
        let opened = tokio::task::spawn_blocking(move || Rooms::open(&opening, Some(&runtime)).map(Arc::new)).await;
        match opened.map_err(|error| HouseError::System(std::io::Error::other(error)))? {
            Err(HouseError::Log(error @ LogError::Storage { .. }))
                if matches!(plan.engine, EngineOptions::Kafka { .. }) =>
            {
                tracing::warn!(%error, "the log cannot be opened yet and is tried again");
                reason.send_replace(error.to_string());
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
            opened => return opened,
        }
    }
}

/// Two listeners on one address.
fn twice(listener: TcpListener) -> std::io::Result<(TcpListener, TcpListener)> {
    let listener = listener.into_std()?;
    Ok((TcpListener::from_std(listener.try_clone()?)?, TcpListener::from_std(listener)?))
}

/// Becomes true with SIGINT or SIGTERM.
fn shutdown_signal() -> std::io::Result<watch::Receiver<bool>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (asked, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        asked.send_replace(true);
        // A second signal ends the process at once, as if nobody listened.
        asked.closed().await;
    });
    Ok(receiver)
}

fn announce(address: SocketAddr, plan: &Plan, started: Instant) {
    println!("meshlog is listening on http://{address} (ready in {} ms)", started.elapsed().as_millis());
    match &plan.engine {
        EngineOptions::Embedded(options) => {
            println!("data: {}   model: {}", plan.data.display(), plan.model);
            let durability = options.durability;
            if durability != Durability::Always {
                println!("durability {}: {}", durability.name(), durability.promise());
            }
            println!("try, in another terminal:");
            println!("  meshlog import examples/conversations.jsonl --wait");
            println!("  meshlog recall \"how much did the roofer want?\"");
            println!("  curl http://{address}/openapi.json");
        }
        EngineOptions::Kafka { options, .. } => {
            let stages: Vec<_> = plan.running_stages().map(StageKind::name).collect();
            let does = [
                plan.takes_messages.then(|| "takes messages".to_owned()),
                (!stages.is_empty()).then(|| format!("runs {}", stages.join(", "))),
                plan.has_views.then(|| match plan.share {
                    PartitionShare::ALL => "answers queries".to_owned(),
                    share => format!("answers queries with share {share}"),
                }),
            ];
            let does: Vec<_> = does.into_iter().flatten().collect();
            println!(
                "{}: {}   log: kafka://{}   topics: {}*",
                plan.role,
                does.join(", "),
                options.brokers,
                options.prefix
            );
        }
    }
}
