//! Shares: which part of all a query node answers from.

use meshlog_schemas::PartitionShare;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of the partitions of messages and embeddings a node holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShareView {
    /// The number of its share, from 1.
    pub share: u32,
    /// How many shares there are.
    pub of: u32,
    /// The partitions that are in it.
    pub partitions: Vec<u32>,
}

impl ShareView {
    /// The share, of this many partitions.
    pub fn new(share: PartitionShare, partitions: u32) -> Self {
        let partitions = (0..partitions).filter(|id| share.beside(*id) == share).collect();
        Self { share: share.number(), of: share.of(), partitions }
    }

    /// The share; `None` if the numbers name none.
    pub fn share(&self) -> Option<PartitionShare> {
        PartitionShare::new(self.share, self.of)
    }
}
