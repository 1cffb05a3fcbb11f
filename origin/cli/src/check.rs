//! `terrace check`: is this policy file one that the edge and the origin would take?

use std::path::PathBuf;

use clap::Args;
use terrace_shared::policy::Policy;

use crate::Failure;

/// The arguments of `terrace check`.
#[derive(Args)]
pub(crate) struct Check {
    /// The policy file.
    #[arg(default_value = "terrace.toml")]
    file: PathBuf,
}

impl Check {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let file = self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file).map_err(|error| {
            Failure::new(format!("{file} cannot be read: {error}"))
                .hint("give the path of a policy file: terrace check PATH")
        })?;
        let policy = Policy::from_toml(&text).map_err(Failure::new)?;
        println!(
            "{file}: {} key spaces, {} routes, nothing wrong",
            policy.key_spaces().count(),
            policy.routes().len()
        );
        Ok(())
    }
}
