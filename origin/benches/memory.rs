//! What an entry in memory costs beyond its value, counted at the allocator. `make bench` reports it.

use std::alloc::System;
use std::convert::Infallible;
use std::error::Error;
use std::fs;
use std::path::Path;

use cap::Cap;
use terrace_origin::{Cache, Policy, key};
use terrace_shared::policy::KeySpace;
use terrace_shared::time::{ByteCount, DeltaSeconds};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const ENTRIES: usize = 100_000;
const VALUE_BYTES: usize = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut space = KeySpace::new("plan", "plan:v{version}:{id}")?;
    space.lifetimes.memory = Some(DeltaSeconds::hours(1));
    let cache = Cache::builder(Policy::default().with_key_space(space))
        .memory(ByteCount::mebibytes(1_024))
        .build()
        .await?;
    let plans = cache.namespace::<String>("plan")?;
    let before = ALLOCATOR.allocated();
    for id in 0..ENTRIES {
        let value = async |_| Ok::<_, Infallible>("v".repeat(VALUE_BYTES));
        plans.get_or_fill(&key!(id: id), value).await?;
    }
    let grown = ALLOCATOR.allocated().saturating_sub(before);
    let value = VALUE_BYTES + size_of::<String>();
    let beyond = grown / ENTRIES - value;
    let kept = cache.stats().memory.entries;
    println!(
        "memory: {beyond} bytes an entry beyond its {value} bytes of value, {kept} entries kept"
    );

    let report = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion/memory.json");
    if let Some(folder) = report.parent() {
        fs::create_dir_all(folder)?;
    }
    let json = serde_json::json!({ "entries": ENTRIES, "bytes_per_entry": beyond });
    fs::write(report, json.to_string())?;
    Ok(())
}
