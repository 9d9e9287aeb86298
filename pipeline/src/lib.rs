//! The log and the processor runtime.
