//! Proves that bad input ends in a sentence that a person understands, at the API server or in a condition of the
//! cloud; that correcting it heals the cloud without further help; and that nothing else suffers meanwhile.

mod images;
mod pods;
mod refused;
mod slaves;
mod storage;
mod stored;
