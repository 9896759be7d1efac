//! Graph rewrites and the driver that runs them.
