//! Runs the target that `FUZZ_TARGET` names under libFuzzer, which takes the arguments. `make fuzz` builds and runs it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod engine {
    use std::sync::OnceLock;

    use libfuzzer_sys::fuzz_target;
    use terrace_fuzz::{TARGETS, Target};

    static CHOSEN: OnceLock<Target> = OnceLock::new();

    fn choose() -> Target {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let target = TARGETS.iter().find(|target| target.name == name);
        *target.unwrap_or_else(|| {
            let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
            panic!("FUZZ_TARGET={name:?} is none of {}", names.join(", "))
        })
    }

    fuzz_target!(|bytes: &[u8]| (CHOSEN.get_or_init(choose).run)(bytes));
}

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("built without libFuzzer: run make fuzz");
    std::process::exit(1);
}
