//! The rules of the domain: pure functions that know no client and no clock.
