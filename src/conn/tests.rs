//! Tests of the pure connection.
