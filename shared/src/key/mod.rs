//! Keys: how entries are named, and the names they share.

mod surrogate;

pub use surrogate::{SurrogateKey, SurrogateKeyError, SurrogateKeys};
