//! Records, updates and whole ledgers as versioned bytes: what the Durable Object keeps, what replicas
//! fetch, and what travels by pub/sub. Golden vectors are in `tests/vectors/`.

use super::{
    Ledger, LedgerLimits, MarkTable, Marks, Milestone, OriginMarks, PatternMark, Record, Sketch,
    Update,
};
use crate::bytes::{DecodeError, Reader, Writer};
use crate::purge::{Epoch, Fingerprint, Incarnation, Pattern, Purge, PurgeMode, Scope, Sequence};
use crate::time::{Timestamp, TimestampMillis};

const VERSION: u8 = 1;
const PURGE: u8 = b'P';
const DELTA: u8 = b'D';
const SNAPSHOT: u8 = b'S';

impl Purge {
    /// The purge as bytes, without its place: what an authority keeps under the place it gives.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = begin(PURGE);
        write_purge(&mut writer, self);
        writer.0
    }

    /// The purge that [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are not those of a purge.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        expect(&mut reader, PURGE)?;
        let purge = read_purge(&mut reader)?;
        reader.finish()?;
        Ok(purge)
    }
}

impl Update {
    /// The update as bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Delta {
                incarnation,
                head,
                records,
            } => {
                let mut writer = begin(DELTA);
                writer.u64(incarnation.as_u64());
                writer.u64(head.as_u64());
                writer.count(records.len());
                for record in records {
                    writer.u64(record.sequence.as_u64());
                    write_purge(&mut writer, &record.purge);
                }
                writer.0
            }
            Self::Snapshot(ledger) => {
                let mut writer = begin(SNAPSHOT);
                write_ledger(&mut writer, ledger);
                writer.0
            }
        }
    }

    /// The update that [`Self::encode`] wrote, a snapshot with `limits` of its own.
    ///
    /// # Errors
    /// When the bytes are not those of an update.
    pub fn decode(bytes: &[u8], limits: LedgerLimits) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if bytes.get(1) == Some(&SNAPSHOT) {
            expect(&mut reader, SNAPSHOT)?;
            let ledger = read_ledger(&mut reader, limits)?;
            reader.finish()?;
            return Ok(Self::Snapshot(ledger));
        }
        expect(&mut reader, DELTA)?;
        let incarnation = Incarnation::from_random(reader.u64()?);
        let head = Sequence::new(reader.u64()?);
        let count = reader.count(8)?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push(Record {
                sequence: Sequence::new(reader.u64()?),
                purge: read_purge(&mut reader)?,
            });
        }
        reader.finish()?;
        Ok(Self::Delta {
            incarnation,
            head,
            records,
        })
    }
}

fn begin(kind: u8) -> Writer {
    let mut writer = Writer::default();
    writer.u8(VERSION);
    writer.u8(kind);
    writer
}

fn expect(reader: &mut Reader<'_>, kind: u8) -> Result<(), DecodeError> {
    match reader.u8()? {
        VERSION => {}
        other => return Err(DecodeError::UnknownVersion(other)),
    }
    if reader.u8()? == kind {
        Ok(())
    } else {
        Err(DecodeError::OtherKind)
    }
}

fn write_purge(writer: &mut Writer, purge: &Purge) {
    write_mode(writer, purge.mode);
    writer.u64(purge.at.as_unix_millis());
    write_epoch(writer, purge.origin_epoch);
    writer.count(purge.scopes.len());
    for scope in &purge.scopes {
        writer.bytes(scope.to_string().as_bytes());
    }
}

fn read_purge(reader: &mut Reader<'_>) -> Result<Purge, DecodeError> {
    let mode = read_mode(reader)?;
    let at = TimestampMillis::from_unix_millis(reader.u64()?);
    let origin_epoch = read_epoch(reader)?;
    let count = reader.count(4)?;
    let mut scopes = Vec::with_capacity(count);
    for _ in 0..count {
        let text = reader.text("scope")?;
        scopes.push(
            text.parse::<Scope>()
                .map_err(|_| DecodeError::Invalid("scope"))?,
        );
    }
    Ok(Purge {
        mode,
        scopes,
        at,
        origin_epoch,
    })
}

fn write_mode(writer: &mut Writer, mode: PurgeMode) {
    writer.u8(match mode {
        PurgeMode::Soft => 0,
        PurgeMode::Hard => 1,
    });
}

fn read_mode(reader: &mut Reader<'_>) -> Result<PurgeMode, DecodeError> {
    match reader.u8()? {
        0 => Ok(PurgeMode::Soft),
        1 => Ok(PurgeMode::Hard),
        _ => Err(DecodeError::Invalid("purge mode")),
    }
}

fn write_epoch(writer: &mut Writer, epoch: Option<Epoch>) {
    match epoch {
        None => writer.u8(0),
        Some(epoch) => {
            writer.u8(1);
            writer.u64(epoch.incarnation.as_u64());
            writer.u64(epoch.sequence.as_u64());
        }
    }
}

fn read_epoch(reader: &mut Reader<'_>) -> Result<Option<Epoch>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(Epoch {
            incarnation: Incarnation::from_random(reader.u64()?),
            sequence: Sequence::new(reader.u64()?),
        })),
        _ => Err(DecodeError::Invalid("epoch")),
    }
}

fn write_ledger(writer: &mut Writer, ledger: &Ledger) {
    writer.u64(ledger.incarnation.as_u64());
    writer.u64(ledger.head.as_u64());
    writer.u64(ledger.floor.as_u64());
    write_marks(writer, ledger.everything);
    write_table(writer, &ledger.marks);
    writer.count(ledger.patterns.len());
    for mark in &ledger.patterns {
        writer.bytes(mark.pattern.as_str().as_bytes());
        write_mode(writer, mark.mode);
        writer.u64(mark.sequence.as_u64());
        write_epoch(writer, mark.origin);
    }
    match &ledger.origin {
        None => writer.u8(0),
        Some(origin) => {
            // Most have had one history only, and are written as they were before this was known of.
            writer.u8(if origin.replaced.is_empty() { 1 } else { 2 });
            writer.u64(origin.incarnation.as_u64());
            write_marks(writer, origin.everything);
            write_table(writer, &origin.marks);
            if !origin.replaced.is_empty() {
                writer.count(origin.replaced.len());
                for incarnation in &origin.replaced {
                    writer.u64(incarnation.as_u64());
                }
            }
        }
    }
    writer.count(ledger.milestones.len());
    for milestone in &ledger.milestones {
        writer.u64(milestone.began.as_unix_seconds());
        writer.u64(milestone.ended.as_unix_seconds());
        writer.u64(milestone.sequence.as_u64());
    }
}

fn read_ledger(reader: &mut Reader<'_>, limits: LedgerLimits) -> Result<Ledger, DecodeError> {
    let mut ledger = Ledger::new(Incarnation::from_random(reader.u64()?), limits);
    ledger.head = Sequence::new(reader.u64()?);
    ledger.floor = Sequence::new(reader.u64()?);
    ledger.everything = read_marks(reader)?;
    ledger.marks = read_table(reader, limits)?;
    for _ in 0..reader.count(14)? {
        ledger.patterns.push(PatternMark {
            pattern: Pattern::parse(reader.text("pattern")?)
                .map_err(|_| DecodeError::Invalid("pattern"))?,
            mode: read_mode(reader)?,
            sequence: Sequence::new(reader.u64()?),
            origin: read_epoch(reader)?,
        });
    }
    ledger.origin = match reader.u8()? {
        0 => None,
        1 => Some(read_origin(reader, &ledger.patterns, limits)?),
        2 => {
            let mut origin = read_origin(reader, &ledger.patterns, limits)?;
            for _ in 0..reader.count(8)? {
                let incarnation = Incarnation::from_random(reader.u64()?);
                origin.replaced.push(incarnation);
            }
            Some(origin)
        }
        _ => return Err(DecodeError::Invalid("origin marks")),
    };
    for _ in 0..reader.count(24)? {
        ledger.milestones.push(Milestone {
            began: Timestamp::from_unix_seconds(reader.u64()?),
            ended: Timestamp::from_unix_seconds(reader.u64()?),
            sequence: Sequence::new(reader.u64()?),
        });
    }
    Ok(ledger)
}

/// The head is not written: it is the newest of the marks.
fn read_origin(
    reader: &mut Reader<'_>,
    patterns: &[PatternMark],
    limits: LedgerLimits,
) -> Result<OriginMarks, DecodeError> {
    let incarnation = Incarnation::from_random(reader.u64()?);
    let everything = read_marks(reader)?;
    let marks = read_table(reader, limits)?;
    let of_patterns = patterns
        .iter()
        .filter_map(|mark| mark.origin)
        .filter(|epoch| epoch.incarnation == incarnation)
        .map(|epoch| epoch.sequence);
    let head = of_patterns.fold(everything.newest().max(marks.newest()), Sequence::max);
    Ok(OriginMarks {
        incarnation,
        head,
        replaced: Vec::new(),
        everything,
        marks,
    })
}

fn write_table(writer: &mut Writer, table: &MarkTable) {
    let marks = table.sorted();
    writer.count(marks.len());
    for (scope, marks) in marks {
        writer.u64(scope.as_bits());
        write_marks(writer, marks);
    }
    match table.sketch() {
        None => writer.u8(0),
        Some(sketch) => {
            writer.u8(1);
            for cell in sketch.cells() {
                write_marks(writer, cell);
            }
        }
    }
}

fn read_table(reader: &mut Reader<'_>, limits: LedgerLimits) -> Result<MarkTable, DecodeError> {
    let count = reader.count(24)?;
    let mut marks = Vec::with_capacity(count);
    for _ in 0..count {
        marks.push((Fingerprint::from_bits(reader.u64()?), read_marks(reader)?));
    }
    let mut table = MarkTable::new(limits.marks);
    match reader.u8()? {
        0 => {}
        1 => {
            let mut sketch = Sketch::new();
            for cell in sketch.cells_mut() {
                *cell = read_marks(reader)?;
            }
            table.restore_sketch(sketch);
        }
        _ => return Err(DecodeError::Invalid("sketch")),
    }
    table.restore(&marks);
    Ok(table)
}

fn write_marks(writer: &mut Writer, marks: Marks) {
    writer.u64(marks.hard.as_u64());
    writer.u64(marks.soft.as_u64());
}

fn read_marks(reader: &mut Reader<'_>) -> Result<Marks, DecodeError> {
    Ok(Marks {
        hard: Sequence::new(reader.u64()?),
        soft: Sequence::new(reader.u64()?),
    })
}
