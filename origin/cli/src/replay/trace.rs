//! Where the requests come from: a trace file in either of its formats, or a Zipf stream.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution as _, Zipf};

use crate::Failure;

/// The keys that a trace file asks for, in order, numbered as they first appear if it names them by text.
pub(super) fn read(file: &Path, limit: usize) -> Result<Vec<u32>, Failure> {
    let name = file.display();
    let unreadable = |error: std::io::Error| {
        Failure::new(format!("the trace {name} cannot be read: {error}"))
            .hint("give a file of 32-bit big-endian keys or of `time id bytes` lines, xz-compressed or not")
    };
    let reader = BufReader::new(File::open(file).map_err(unreadable)?);
    let compressed = file.extension().is_some_and(|extension| extension == "xz");
    let mut bytes = Vec::new();
    if compressed {
        lzma_rust2::XzReader::new(reader, true)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
    } else {
        { reader }.read_to_end(&mut bytes).map_err(unreadable)?;
    }
    let keys = parse(&bytes, limit);
    if keys.is_empty() {
        return Err(Failure::new(format!("the trace {name} holds no request")));
    }
    Ok(keys)
}

/// A stream whose keys are asked for as often as Zipf's law says (exponent 0.9), the same in every run.
pub(super) fn zipf(keys: u32, length: usize) -> Result<Vec<u32>, Failure> {
    let law = Zipf::new(f64::from(keys), 0.9).map_err(Failure::new)?;
    let mut rng = StdRng::seed_from_u64(0x7e44_ace0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "ranks lie between 1 and `keys`, a u32"
    )]
    let key = |rank: f64| rank as u32 - 1;
    Ok((0..length).map(|_| key(law.sample(&mut rng))).collect())
}

fn parse(bytes: &[u8], limit: usize) -> Vec<u32> {
    let start = bytes.get(..bytes.len().min(4_096)).unwrap_or_default();
    let textual = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if !start.iter().all(textual) {
        let number = |key: &[u8]| <[u8; 4]>::try_from(key).map_or(0, u32::from_be_bytes);
        return bytes.chunks_exact(4).take(limit).map(number).collect();
    }
    let mut numbers: HashMap<&[u8], u32> = HashMap::new();
    bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(u8::is_ascii_whitespace).nth(1))
        .take(limit)
        .map(|name| {
            let fresh = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *numbers.entry(name).or_insert(fresh)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_told_apart() {
        assert_eq!(parse(&[0, 0, 1, 0, 0, 0, 0, 2, 9], 10), [256, 2]);
        assert_eq!(parse(b"0 a 10\n1 b 10\n2 a 10\n", 10), [0, 1, 0]);
        assert_eq!(parse(b"0 a 10\n1 b 10\n2 a 10\n", 2), [0, 1]);
    }

    #[test]
    fn a_zipf_stream_favours_low_keys_and_is_the_same_every_time() {
        let stream = zipf(1_000, 10_000).unwrap();
        assert_eq!(stream, zipf(1_000, 10_000).unwrap());
        assert!(stream.iter().all(|key| *key < 1_000));
        let count = |key| stream.iter().filter(|other| **other == key).count();
        assert!(count(0) > 5 * count(99));
    }
}
