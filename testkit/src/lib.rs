//! Test tools for vellum.
