//! Keys: how entries are named, and the names they share.

mod encode;
mod parts;
mod surrogate;
mod template;

pub use encode::{EncodedKey, EncodedParts};
pub(crate) use parts::is_part_name;
pub use parts::{KeyParts, PartIter};
pub use surrogate::{SurrogateKey, SurrogateKeyError, SurrogateKeys};
pub use template::{KeyError, Template, TemplateError};
