//! The stores that serve queries now, and the specs of the views that provide them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use meshlog_pipeline::{Projection, ProjectionError};
use meshlog_processors::{
    calls::CallStore,
    graph::GraphStore,
    projections::{
        CallProjection, GraphProjection, SummaryProjection, TextProjection, ThreadProjection, VectorProjection,
    },
    recall::Stores,
    summaries::SummaryStore,
    text::TextStore,
    threads::ThreadStore,
    vectors::VectorStore,
};
use meshlog_replay::{Opened, Opening, ViewSpec};
use meshlog_schemas::PartitionShare;

/// The stores that serve now; each is exchanged when its view is.
#[derive(Default)]
pub(super) struct Serving {
    threads: ArcSwapOption<ThreadStore>,
    text: ArcSwapOption<TextStore>,
    vectors: ArcSwapOption<VectorStore>,
    calls: ArcSwapOption<CallStore>,
    summaries: ArcSwapOption<SummaryStore>,
    graph: ArcSwapOption<GraphStore>,
}

impl Serving {
    /// The stores of recall; `None` before the views are open.
    pub(super) fn stores(&self) -> Option<Stores> {
        Some(Stores {
            threads: self.threads.load_full()?,
            text: self.text.load_full()?,
            vectors: self.vectors.load_full()?,
            graph: self.graph.load_full()?,
        })
    }

    /// The store of calls; `None` before its view is open.
    pub(super) fn calls(&self) -> Option<Arc<CallStore>> {
        self.calls.load_full()
    }

    /// The summaries; `None` before their view is open.
    pub(super) fn summaries(&self) -> Option<Arc<SummaryStore>> {
        self.summaries.load_full()
    }

    /// The graph; `None` before its view is open.
    pub(super) fn graph(&self) -> Option<Arc<GraphStore>> {
        self.graph.load_full()
    }
}

/// The views of this program with this model, of this share of the partitions, publishing to `serving`.
pub(super) fn specs(serving: &Arc<Serving>, model_id: &str, dims: usize, share: PartitionShare) -> Vec<ViewSpec> {
    let model_id = model_id.to_owned();
    let version = VectorProjection::version(&model_id);
    vec![
        spec(
            serving,
            ThreadProjection::NAME,
            ThreadProjection::version(),
            |serving| &serving.threads,
            |Opening { path, memory, .. }| {
                let projection = ThreadProjection::open(path, memory)?;
                let store = projection.store.clone();
                Ok((Arc::new(projection), store))
            },
        ),
        spec(
            serving,
            TextProjection::NAME,
            TextProjection::version(),
            |serving| &serving.text,
            |Opening { path, memory, .. }| {
                let projection = TextProjection::open(path, memory)?;
                let store = projection.store.clone();
                Ok((Arc::new(projection), store))
            },
        ),
        spec(
            serving,
            VectorProjection::NAME,
            version,
            |serving| &serving.vectors,
            move |Opening { path, version, .. }| {
                if !VectorProjection::is_of_model(version, &model_id) {
                    return Err(ProjectionError(format!(
                        "{version} holds the vectors of another model than {model_id}"
                    )));
                }
                let projection = VectorProjection::open(path, &model_id, dims)?;
                let store = projection.store.clone();
                Ok((Arc::new(projection), store))
            },
        ),
        spec(
            serving,
            CallProjection::NAME,
            CallProjection::version(),
            |serving| &serving.calls,
            |Opening { path, memory, .. }| {
                let projection = CallProjection::open(path, memory)?;
                let store = projection.store.clone();
                Ok((Arc::new(projection), store))
            },
        ),
        spec(
            serving,
            SummaryProjection::NAME,
            SummaryProjection::version(),
            |serving| &serving.summaries,
            move |Opening { path, memory, .. }| {
                let projection = SummaryProjection::open(path, share, memory)?;
                let store = projection.store.clone();
                Ok((Arc::new(projection), store))
            },
        ),
        spec(
            serving,
            GraphProjection::NAME,
            GraphProjection::version(),
            |serving| &serving.graph,
            |Opening { path, memory, .. }| {
                let projection = GraphProjection::open(path, memory)?;
                let store = projection.store.clone();
                Ok((Arc::new(projection), store))
            },
        ),
    ]
}

fn spec<Store: Send + Sync + 'static>(
    serving: &Arc<Serving>,
    name: &'static str,
    version: String,
    slot: fn(&Serving) -> &ArcSwapOption<Store>,
    open: impl Fn(Opening<'_>) -> Result<(Arc<dyn Projection>, Arc<Store>), ProjectionError> + Send + Sync + 'static,
) -> ViewSpec {
    let serving = serving.clone();
    let open = Box::new(move |opening: Opening<'_>| {
        let (projection, store) = open(opening)?;
        let (serving, users) = (serving.clone(), Arc::downgrade(&store));
        Ok(Opened {
            projection,
            publish: Box::new(move || slot(&serving).store(Some(store))),
            is_in_use: Box::new(move || users.strong_count() > 0),
        })
    });
    ViewSpec { name, version, open }
}
