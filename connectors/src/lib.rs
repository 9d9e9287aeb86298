//! The edges: gateways in, providers out.
