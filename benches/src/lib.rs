//! Benchmarks of vellum.
