//! Stages, which derive events from events, and projections, which fold events into stores that people query.

pub mod asking;
pub mod calls;
pub mod chat;
mod database;
pub mod embedding;
mod error;
mod filter;
mod forgotten;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod graph;
mod hidden;
pub mod knowledge;
mod message;
mod page;
mod position;
pub mod projections;
pub mod recall;
mod retention;
pub mod route;
#[cfg(test)]
#[path = "../../testing/seeds.rs"]
mod seeds;
#[cfg(test)]
#[path = "../../testing/small_disk.rs"]
mod small_disk;
pub mod summaries;
mod table_view;
#[cfg(test)]
mod testing;
pub mod text;
pub mod threads;
pub mod vectors;

pub use error::StoreError;
pub use filter::{Facets, Filter, Micros};
pub use forgotten::{Forgetting, Forgotten, Scope};
pub use hidden::Hidden;
pub use page::{Order, Page, PageLimit};
pub use retention::{RetentionTable, past_its_time};
pub use table_view::{Table, TableView};
