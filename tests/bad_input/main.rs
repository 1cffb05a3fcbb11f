//! What is malformed, cut off, late or far too long: it is answered clearly, harms nobody else, and is never stored as whole.
//!
//! The tables in `tests/rfc` hold what the RFCs say of malformed fields. Here is what no table can say:
//! bytes that are no HTTP, peers that go away, and how much memory a long body takes.

mod bodies;
mod fields;
mod memory;
mod peers;
mod targets;

use e2e::rfc::{
    Answer, Driver, EdgeDriver, Received, Script, ScriptedOrigin, Sent, ShieldDriver, Then,
};
use e2e::wait_until;

/// Runs `check` against the edge.
async fn at_the_edge(check: impl AsyncFnOnce(&Site<'_, EdgeDriver>)) {
    let origin = ScriptedOrigin::start().await;
    let edge = EdgeDriver::start(&origin.url).await;
    check(&Site {
        cache: &edge,
        origin: &origin,
    })
    .await;
    edge.stop().await;
}

/// Runs `check` against the shield.
async fn at_the_shield(check: impl AsyncFnOnce(&Site<'_, ShieldDriver>)) {
    let origin = ScriptedOrigin::start().await;
    let shield = ShieldDriver::start(&origin.url).await;
    check(&Site {
        cache: &shield,
        origin: &origin,
    })
    .await;
}

/// A cache before an origin.
struct Site<'a, D> {
    cache: &'a D,
    origin: &'a ScriptedOrigin,
}

impl<D: Driver> Site<'_, D> {
    /// A path of its own, with what the origin answers below it.
    fn page(&self, name: &str) -> Page<'_, D> {
        let path = format!("/bad/{name}");
        Page {
            cache: self.cache,
            script: self.origin.script(&path),
            path,
        }
    }

    /// Nothing that came before has done harm: a new path is filled, stored, and answered from the store.
    async fn is_well(&self, after: &str) {
        let page = self.page(&format!("well-after-{after}"));
        page.answers([cacheable("well")]);
        let filled = page.get(&[]).await;
        assert_eq!(filled.head.status(), 200, "after {after}");
        let hit = page.hit().await;
        assert_eq!(hit.body.bytes, b"well", "after {after}");
    }
}

/// One path of a site.
struct Page<'a, D> {
    cache: &'a D,
    script: Script,
    path: String,
}

impl<D: Driver> Page<'_, D> {
    /// From now on the origin gives these answers, one each.
    fn answers<const N: usize>(&self, answers: [Answer; N]) {
        self.script.begin(answers.into());
    }

    fn request(&self, fields: &[(&str, &[u8])]) -> Sent {
        Sent {
            method: "GET".to_owned(),
            target: self.path.clone(),
            fields: fields.iter().copied().collect(),
            body: Vec::new(),
        }
    }

    async fn get(&self, fields: &[(&str, &[u8])]) -> Received {
        self.cache.send(&self.request(fields)).await.unwrap()
    }

    /// `GET` until the answer comes from the store: that it is stored happens behind the answer.
    async fn hit(&self) -> Received {
        let request = Sent {
            fields: [("cache-control", b"only-if-cached".as_slice())]
                .into_iter()
                .collect(),
            ..self.request(&[])
        };
        wait_until(&format!("{} is stored", self.path), async || {
            let got = self.cache.send(&request).await.unwrap();
            (got.head.status() != 504).then_some(got)
        })
        .await
    }

    /// Waits until something that came later is stored; what came before would be by now.
    async fn settle(&self) {
        let request = Sent {
            method: "GET".to_owned(),
            target: format!("{}{}", self.path, ScriptedOrigin::SETTLED),
            ..Sent::default()
        };
        wait_until(&format!("{} has settled", self.path), async || {
            let got = self.cache.send(&request).await.unwrap();
            got.head.fields.has("age").then_some(())
        })
        .await;
    }

    fn asked_times(&self) -> usize {
        self.script.asked_times()
    }
}

/// 200 with this content, fresh for an hour.
fn cacheable(body: &str) -> Answer {
    Answer::new(200, &[("Cache-Control", "max-age=3600")], body)
}

/// A head as it stands here, and then this content.
fn raw(head: &str, body: &[u8], then: Then) -> Answer {
    Answer::Bytes {
        head: head.as_bytes().to_vec(),
        body: body.to_vec(),
        then,
    }
}
