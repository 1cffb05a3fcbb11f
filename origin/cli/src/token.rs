//! `terrace token`: a secret for whoever purges, and its hash for the edge or the shield.

use clap::Args;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

/// The arguments of `terrace token`.
#[derive(Args)]
pub(crate) struct Token {
    /// Who will use it; they show this name, never the token.
    name: String,
    /// Glob over the scopes that it may purge, such as `surrogate-key:product:*`; may be repeated.
    #[arg(long, default_value = "*")]
    allow: Vec<String>,
}

impl Token {
    pub(crate) fn run(self) {
        let secret: [u8; 32] = rand::rng().random();
        let token = hex(&secret);
        let entry = serde_json::json!({
            "name": self.name,
            "sha256": hex(&Sha256::digest(token.as_bytes())),
            "allow": self.allow,
        });
        println!("token, shown once: {token}");
        println!("for the TERRACE_PURGE_TOKENS of edge or shield, a JSON array: [{entry}]");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
