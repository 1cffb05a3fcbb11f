//! Who reads, everywhere and all the time, and what each answer is held against.

use std::sync::Arc;
use std::time::Duration;

use terrace_shared::purge::wire::AFTER_FIELD;

use super::{Run, Spot};
use crate::checker::{Floor, Label, Place};
use crate::http::{Caller, NoReply, Reply, label_of};
use crate::names::{Key, Realm};
use crate::report::{Violation, Way};

impl Run {
    pub(super) async fn keep_reading(self: Arc<Self>, spot: Spot, mut random: fastrand::Rng) {
        let mut caller = Caller::of(spot.address, Self::PATIENCE);
        loop {
            let realm = match (spot.way, random.u32(0..10)) {
                (Way::Edge, 0..2) => Realm::EdgeOnly,
                (_, 0..6) => Realm::Calm,
                _ => Realm::Busy,
            };
            let key = Key::random(realm, &mut random);
            let read = self.read(&mut caller, key, spot, None).await;
            self.rest(&mut random, read.is_none()).await;
        }
    }

    pub(super) async fn keep_reading_many(
        self: Arc<Self>,
        process: usize,
        mut random: fastrand::Rng,
    ) {
        const COUNT: usize = 16;
        let address = self.world.origins[process].address;
        let mut caller = Caller::of(address, Self::PATIENCE);
        loop {
            let first = Key::random(
                if random.bool() {
                    Realm::Calm
                } else {
                    Realm::Busy
                },
                &mut random,
            );
            let keys: Vec<_> = (first.index()..first.index() + COUNT)
                .filter_map(Key::at)
                .filter(|key| key.realm() != Realm::EdgeOnly)
                .collect();
            let began = self.now();
            let place = Place::Process(process);
            let floors: Vec<_> = keys
                .iter()
                .map(|key| self.checker.floor(*key, place, began))
                .collect();
            let path = format!("/many?first={}&count={}", first.index(), keys.len());
            let reply = caller.get(&path, &[]).await;
            let body = match &reply {
                Ok(reply) => std::str::from_utf8(&reply.body).unwrap_or_default(),
                Err(error) => {
                    self.failed(*error);
                    ""
                }
            };
            let view = reply.as_ref().map(Reply::view).unwrap_or_default();
            for ((key, floor), line) in keys.iter().zip(floors).zip(body.lines()) {
                for (way, word) in [Way::Value, Way::Page].into_iter().zip(line.split(' ')) {
                    let (label, digits) = match word.strip_prefix('~') {
                        Some(digits) => (Label::Stale, digits),
                        None => (Label::Current, word),
                    };
                    let Ok(version) = digits.parse() else {
                        self.report
                            .count("reads without an answer", "source or tier error");
                        continue;
                    };
                    let spot = self.spot(process, way);
                    self.check(*key, spot, floor, began, version, label, "", view);
                }
            }
            self.rest(&mut random, reply.is_err()).await;
        }
    }

    async fn rest(&self, random: &mut fastrand::Rng, failed: bool) {
        let least = if failed { 20 } else { 0 };
        let most = u64::try_from(self.pace.as_micros()).unwrap_or(u64::MAX) + 1;
        let pause = Duration::from_micros(random.u64(0..most)) + Duration::from_millis(least);
        tokio::time::sleep(pause).await;
    }

    /// Reads `key`, with a token and its version if there is one: the version that came.
    pub(super) async fn read(
        &self,
        caller: &mut Caller,
        key: Key,
        spot: Spot,
        token: Option<(&str, u64)>,
    ) -> Option<u64> {
        let path = match spot.way {
            Way::Value => format!("/value/{}", key.index()),
            Way::Page | Way::Edge => key.path(),
        };
        let began = self.now();
        let mut floor = self.checker.floor(key, spot.place, began);
        let mut fields = Vec::new();
        if let Some((token, version)) = token {
            floor = floor.at_least(version);
            fields.push((AFTER_FIELD, token));
            self.report.with_token();
        }
        let reply = match caller.get(&path, &fields).await {
            Ok(reply) => reply,
            Err(error) => {
                self.failed(error);
                return None;
            }
        };
        let said = reply.cache_status();
        let Some(version) = reply.version() else {
            self.report.count("reads without an answer", "error status");
            return None;
        };
        let (label, view) = (label_of(&said), reply.view());
        self.check(key, spot, floor, began, version, label, &said, view);
        Some(version)
    }

    fn failed(&self, error: NoReply) {
        let what = match error {
            NoReply::Broken => "connection broken",
            NoReply::TimedOut => "timed out",
        };
        self.report.count("reads without an answer", what);
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of a read")]
    fn check(
        &self,
        key: Key,
        spot: Spot,
        floor: Floor,
        began: Duration,
        version: u64,
        label: Label,
        said: &str,
        view: &str,
    ) {
        let demanded = (floor != Floor::default()).then_some(());
        self.report.read(spot.way, demanded, said);
        if label == Label::Stale {
            self.report.stale();
        }
        if let Some(offence) = floor.offence(version, label) {
            let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            let history = self.history.lock().get(&key.index()).cloned();
            self.report.violation(Violation {
                what: key.path(),
                place: format!(
                    "{} at {:?}, {}",
                    spot.way.as_str(),
                    spot.place,
                    spot.address
                ),
                version,
                demanded: format!("{offence:?}: {floor:?}, labelled {label:?}"),
                began_ms: millis(began),
                took_ms: millis(self.now().saturating_sub(began)),
                said: said.to_owned(),
                view: view.to_owned(),
                history: history.unwrap_or_default().into(),
            });
        }
    }
}
