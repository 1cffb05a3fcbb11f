//! Each target on its seeds, and on small changes of them: what a fuzzer begins with, in every test run.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use terrace_fuzz::TARGETS;

fn seeds() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn seeds_of(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = seeds().join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn every_target_has_seeds_and_every_directory_of_seeds_a_target() {
    let names: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    let entries = fs::read_dir(seeds()).unwrap();
    let directories: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, directories);
    for name in names {
        assert!(!seeds_of(&name).is_empty(), "{name}");
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
