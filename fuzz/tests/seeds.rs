//! Each target on its seeds, and on small changes of them: what a fuzzer begins with, in every test run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use terrace_fuzz::TARGETS;

fn seeds() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn entries(directory: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.iter().map(fs::DirEntry::path).collect()
}

fn seeds_of(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, bytes)
    };
    entries(&seeds().join(name)).into_iter().map(read).collect()
}

#[test]
fn every_target_has_seeds_and_every_directory_of_seeds_a_target() {
    let expected: BTreeSet<PathBuf> = TARGETS
        .iter()
        .map(|target| seeds().join(target.name))
        .collect();
    assert_eq!(entries(&seeds()), expected);
    for target in TARGETS {
        assert!(!seeds_of(target.name).is_empty(), "{}", target.name);
    }
}

#[test]
fn every_target_holds_for_its_seeds() {
    for target in TARGETS {
        (target.run)(b"");
        for (path, seed) in seeds_of(target.name) {
            println!("{}", path.display());
            (target.run)(&seed);
        }
    }
}

#[test]
fn every_target_holds_for_seeds_cut_short_and_with_a_byte_changed() {
    for target in TARGETS {
        for (path, seed) in seeds_of(target.name) {
            println!("{}", path.display());
            // Long seeds are changed in fewer places.
            let step = seed.len() / 32 + 1;
            for at in (0..seed.len()).step_by(step) {
                (target.run)(&seed[..at]);
                for byte in [0, b'\n', b'"', b',', b'9', 0x7f, 0xff, seed[at] ^ 1] {
                    let mut changed = seed.clone();
                    changed[at] = byte;
                    (target.run)(&changed);
                }
                let doubled = [&seed[..at], &seed[at..], &seed[..at]].concat();
                (target.run)(&doubled);
            }
        }
    }
}
