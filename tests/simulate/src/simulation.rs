//! The events of one simulated edge, in their order.

mod asking;
mod measure;
mod objects;
mod requests;

use std::rc::Rc;

use terrace_shared::purge::bulletin::{self, Label};
use terrace_shared::purge::refresh::{Bounds, Urgency};
use terrace_shared::time::TimestampMillis;

use crate::clock::{Moment, Span};
use crate::data_centre::{DataCentre, Shared, Whole};
use crate::figures::Figures;
use crate::history::{History, News};
use crate::isolate::Isolate;
use crate::network::{Dice, Region};
use crate::object::Object;
use crate::scenario::{Incident, Scenario, Sharing};
use crate::schedule::Schedule;
use measure::Measures;
use objects::Mirror;

/// Runs `scenario`; the same seed gives the same figures.
pub(crate) fn run(scenario: &Scenario, seed: u64) -> Figures {
    let mut simulation = Simulation::new(scenario, seed);
    while let Some((at, event)) = simulation.schedule.next() {
        simulation.now = at;
        simulation.happen(event);
    }
    simulation.finish()
}

struct Simulation<'a> {
    scenario: &'a Scenario,
    dice: Dice,
    now: Moment,
    from: Moment,
    until: Moment,
    schedule: Schedule<Event>,
    history: History,
    data_centres: Vec<DataCentre>,
    isolates: Vec<Isolate>,
    /// The authority, and the replica of each region where there are such.
    objects: Vec<Object>,
    mirrors: Vec<Mirror>,
    /// When the authority last pushed.
    pushed: (u64, Moment),
    /// Where the authority stood when it last encoded the whole ledger.
    encoded: Option<u64>,
    measures: Measures,
}

/// An isolate's place among all, and which of those that have been there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Who {
    isolate: usize,
    life: u32,
}

enum Event {
    /// A request that may have something to do; void if another has been drawn since.
    Request {
        isolate: usize,
        draw: u32,
    },
    /// An isolate reads its data centre's entries, for the question it asked at that time, after so many other looks.
    Look(Who, TimestampMillis, Urgency, usize),
    /// An isolate that found nothing there asks an object.
    Ask(Who, TimestampMillis),
    /// A question reaches an object.
    Arrive(Box<Question>),
    /// An answer reaches its isolate; none if the object refused.
    Answer(Box<Question>, Option<Box<Shared>>),
    /// An answer can be read by others.
    Put(Who, Box<Leaving>),
    /// The whole ledger can.
    PutWhole {
        data_centre: usize,
        whole: Box<Whole>,
    },
    /// Requests that looked for another's answer ask themselves.
    Courtesy(Who, TimestampMillis),
    /// A question is given up.
    Patience(Who, TimestampMillis),
    /// A call to purge so many scopes reaches the authority for the first time at that moment.
    Purge {
        arrived: Moment,
    },
    /// Its receipt is given.
    Receipt {
        sequence: u64,
        arrived: Moment,
    },
    /// The authority pushes what is new to the replicas.
    Push,
    /// A replica gets what was pushed, and acknowledges it.
    Pushed {
        mirror: usize,
        head: u64,
        sent: Moment,
    },
    Acknowledged {
        mirror: usize,
        head: u64,
    },
    /// An isolate ends, and another takes its place.
    Restart {
        isolate: usize,
        life: u32,
    },
    /// What lies in the Cache API is not read any more.
    Empty,
    /// The authority answers again.
    Wake {
        region: Region,
    },
}

/// An answer on its way to the other isolates of a data centre.
struct Leaving {
    data_centre: usize,
    label: Label,
    length: usize,
    /// The whole ledger's bytes, if it is that and a witness will read them.
    whole: Option<Rc<[u8]>>,
}

/// A question on its way.
struct Question {
    who: Who,
    asked: TimestampMillis,
    /// When it was sent: the view is as old as that once it is answered.
    sent: Moment,
    since: Option<u64>,
}

impl<'a> Simulation<'a> {
    /// Figures count from so long after the beginning.
    const WARM_UP: Span = Span::seconds(6);

    /// How long an isolate lives, on average.
    const LIFE: Span = Span::seconds(600);

    /// Isolates that read what travels, each in another region.
    const WITNESSES: usize = 4;

    /// When an incident begins, after the warm-up.
    const INCIDENT: Span = Span::seconds(5);

    fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let from = Moment::BEGIN.after(Self::WARM_UP);
        let until = from.after(scenario.measured);
        let mut objects = vec![Object::new(Region::EasternNorthAmerica, from, until)];
        let mut mirrors = Vec::new();
        let history = History::new(scenario.keys);
        if scenario.sharing == Sharing::Regional {
            for region in Region::ALL {
                objects.push(Object::new(region, from, until));
                mirrors.push(Mirror::new(history.head()));
            }
        }
        let pushed = (history.head(), Moment::BEGIN);
        let mut simulation = Self {
            scenario,
            dice: Dice::new(seed),
            now: Moment::BEGIN,
            from,
            until,
            schedule: Schedule::new(Moment::BEGIN, until),
            history,
            data_centres: Vec::new(),
            isolates: Vec::new(),
            objects,
            mirrors,
            pushed,
            encoded: None,
            measures: Measures::new(scenario),
        };
        simulation.settle();
        simulation.begin();
        simulation
    }

    /// Puts data centres and isolates in their places, with views as old as their traffic makes them.
    fn settle(&mut self) {
        let scenario = self.scenario;
        let mut regions: Vec<Region> = (0..scenario.data_centres)
            .map(|place| {
                let part = u32::from(place) * 100 / u32::from(scenario.data_centres.max(1));
                Region::of_part(u8::try_from(part).unwrap_or_default())
            })
            .collect();
        self.dice.shuffle(&mut regions);
        let mut watched: Vec<Region> = Vec::new();
        for (number, region) in (0..scenario.data_centres).zip(regions) {
            let remoteness = self.dice.about(Span::millis(10));
            let mut centre = DataCentre::new(region, remoteness);
            centre.has_witness = watched.len() < Self::WITNESSES && !watched.contains(&region);
            if centre.has_witness {
                watched.push(region);
            }
            self.data_centres.push(centre);
            self.settle_entries(usize::from(number));
            let rates = scenario
                .traffic
                .per_isolate(scenario.data_centres, scenario.isolates_each);
            let rate = rates[usize::from(number)];
            for place in 0..scenario.isolates_each {
                let bounds = self.draw_bounds();
                let mut isolate = Isolate::new(number, rate, bounds);
                let age = Span::from(bounds.refresh_after)
                    .times(self.dice.fraction())
                    .plus(self.dice.wait(rate))
                    .min(Span::seconds(60));
                let confirmed_at = Moment::BEGIN.before(age).timestamp();
                let here = self.history.beginning();
                let _ = isolate.take(&self.history, here, confirmed_at);
                if place == 0 && self.data_centres[usize::from(number)].has_witness {
                    let mut witness = Box::default();
                    self.measures.show(
                        &mut witness,
                        &self.history,
                        &News::Snapshot(None),
                        here,
                        confirmed_at,
                    );
                    isolate.witness = Some(witness);
                }
                self.isolates.push(isolate);
            }
        }
    }

    /// Puts the whole ledger where the isolates of a data centre find it, some time ago.
    fn settle_entries(&mut self, number: usize) {
        let age = Span::from(bulletin::KEPT).times(self.dice.fraction());
        let put_at = Moment::BEGIN.before(age);
        let here = self.history.beginning();
        let centre = &mut self.data_centres[number];
        let label = Label {
            asked_at: put_at.timestamp(),
            from: None,
            head: self.history.epoch(here),
        };
        let bytes = centre.has_witness.then(|| self.history.snapshot_at(here));
        let whole = Whole { label, bytes };
        if self.scenario.sharing != Sharing::None {
            centre.put_whole(whole, put_at);
            let missing = centre.put(label, 0, Moment::BEGIN);
            debug_assert_eq!(missing, None);
        }
    }

    /// Schedules what begins by itself.
    fn begin(&mut self) {
        for isolate in 0..self.isolates.len() {
            self.draw_request(isolate);
            let life = self.dice.wait(1.0 / Self::LIFE.as_seconds());
            self.later(life, Event::Restart { isolate, life: 0 });
        }
        self.draw_purge();
        if !self.mirrors.is_empty() {
            self.later(Span::ZERO, Event::Push);
        }
        let incident = Self::WARM_UP.plus(Self::INCIDENT);
        match self.scenario.incident {
            Incident::None => {}
            Incident::Outage { length, to } => {
                self.later(incident.plus(length), Event::Wake { region: to });
            }
            Incident::Deployment | Incident::ColdStart => {
                let lasts = if self.scenario.incident == Incident::ColdStart {
                    self.later(incident, Event::Empty);
                    Span::seconds(1)
                } else {
                    Span::seconds(30)
                };
                for isolate in 0..self.isolates.len() {
                    let wait = incident.plus(lasts.times(self.dice.fraction()));
                    self.later(wait, Event::Restart { isolate, life: 0 });
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request { isolate, draw } => self.on_request(isolate, draw),
            Event::Look(who, asked, urgency, looks) => self.on_look(who, asked, urgency, looks),
            Event::Ask(who, asked) => self.on_ask(who, asked),
            Event::Arrive(question) => self.on_arrive(question),
            Event::Answer(question, answer) => self.on_answer(&question, answer),
            Event::Put(who, leaving) => self.on_put(who, *leaving),
            Event::PutWhole { data_centre, whole } => {
                self.data_centres[data_centre].put_whole(*whole, self.now);
            }
            Event::Courtesy(who, asked) => self.on_courtesy(who, asked),
            Event::Patience(who, asked) => self.on_failure(who, asked),
            Event::Purge { arrived } => self.on_purge(arrived),
            Event::Receipt { sequence, arrived } => self.on_receipt(sequence, arrived),
            Event::Push => self.on_push(),
            Event::Pushed { mirror, head, sent } => self.on_pushed(mirror, head, sent),
            Event::Acknowledged { mirror, head } => self.on_acknowledged(mirror, head),
            Event::Restart { isolate, life } => self.on_restart(isolate, life),
            Event::Empty => self.data_centres.iter_mut().for_each(DataCentre::empty),
            Event::Wake { region } => self.on_wake(region),
        }
    }

    fn later(&mut self, wait: Span, event: Event) {
        self.at(self.now.after(wait), event);
    }

    fn at(&mut self, at: Moment, event: Event) {
        self.schedule.add(at, event);
    }

    /// How old the view of an isolate may be in its next round; with sharing, a lot decides.
    fn draw_bounds(&mut self) -> Bounds {
        let bounds = self.scenario.bounds;
        match self.scenario.sharing {
            Sharing::None => bounds,
            Sharing::Shared | Sharing::Regional => bounds.spread(self.draw_lot()),
        }
    }

    fn draw_lot(&mut self) -> u8 {
        u8::try_from(self.dice.below(256)).unwrap_or_default()
    }

    fn who(&self, isolate: usize) -> Who {
        Who {
            isolate,
            life: self.isolates[isolate].life,
        }
    }

    fn is_alive(&self, who: Who) -> bool {
        self.isolates[who.isolate].life == who.life
    }

    /// Whether the authority answers nobody.
    fn is_down(&self) -> bool {
        let began = self.from.after(Self::INCIDENT);
        match self.scenario.incident {
            Incident::Outage { length, .. } => began <= self.now && self.now < began.after(length),
            Incident::None | Incident::Deployment | Incident::ColdStart => false,
        }
    }
}

#[cfg(test)]
mod tests;
