//! Answers of a server that is known to be the master still, because a replica of it has said so since.
//!
//! A master that stood still, or was cut off, goes on answering after another one has taken its place, and what it
//! is told then is lost. No clock tells the two apart, a replica does: it follows one master at a time. So where the
//! servers demand replicas (`min-replicas-to-write`), an answer counts once as many of them have what the script has
//! written. That is exact where all replicas are demanded: whoever has taken over does not vouch for the old master.

use std::collections::HashMap;

use redis::aio::ConnectionLike;
use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, Slot, SlotAddr};
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisFuture, RedisResult, Value};

use super::connection::{Connection, Live, Sickness};

/// The code of the error of an answer that no replica has vouched for in time.
pub(super) const UNPROVEN: &str = "UNPROVEN";

/// One connection of a [`Connection`]'s, whose answers count only if its server is followed.
///
/// Whatever it is given must write something, or replicas have nothing new to say. It is for the ledger alone:
/// who asks for something else on the same connection waits for the replicas too.
pub(crate) struct Followed {
    connection: Connection,
    live: Live,
    number: u64,
    demand: u64,
}

/// Whether replicas vouch for what is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Vouched {
    /// They do, if something is written.
    ByReplicas,
    /// The servers demand none.
    ByNobody,
}

impl Connection {
    /// The connection in use, to be asked questions about `key` whose answers must be its master's.
    pub(crate) async fn followed(&self, key: &str) -> RedisResult<Followed> {
        let (number, mut live) = self.live().await?;
        let demand = if let Some(demand) = self.demand(number) {
            demand
        } else {
            let asked = live.demanded_replicas(key).await;
            self.judge(number, asked.as_ref().err());
            let demand = asked?;
            self.note_demand(number, demand);
            demand
        };
        Ok(Followed {
            connection: self.clone(),
            live,
            number,
            demand,
        })
    }
}

impl Followed {
    /// Longest wait for the replicas, in milliseconds: less than for the answer, even behind another one's wait.
    const PATIENCE_MS: u64 = 900;

    /// Whether replicas vouch for its answers.
    pub(crate) const fn vouched(&self) -> Vouched {
        match self.demand {
            0 => Vouched::ByNobody,
            _ => Vouched::ByReplicas,
        }
    }

    async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        if self.demand == 0 {
            return self.live.send(command).await?.extract_error();
        }
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command.clone());
        pipeline.cmd("WAIT").arg(self.demand).arg(Self::PATIENCE_MS);
        let mut answers = self.live.send_all(&pipeline, 0, 2).await?.into_iter();
        let answer = answers.next().unwrap_or(Value::Nil).extract_error()?;
        let replicas = answers.next().unwrap_or(Value::Nil).extract_error()?;
        match replicas {
            Value::Int(have) if u64::try_from(have).is_ok_and(|have| have >= self.demand) => {
                Ok(answer)
            }
            _ => {
                let detail = "too few replicas have it: it may be lost with its server";
                let detail = Some(detail.to_owned());
                Err(redis::make_extension_error(UNPROVEN.to_owned(), detail))
            }
        }
    }
}

impl ConnectionLike for Followed {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let answer = self.send(command).await;
            let error = answer.as_ref().err();
            self.connection.judge(self.number, error);
            if let Some(Sickness::Alone | Sickness::Unproven) = error.map(Sickness::of) {
                self.connection.give_up(self.number);
            }
            answer
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _pipeline: &'a Pipeline,
        _offset: usize,
        _count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let error = (ErrorKind::Client, "the ledger's calls go one by one");
        Box::pin(std::future::ready(Err(error.into())))
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}

impl Live {
    /// How many replicas the master of `key` must have to write; one if it says only that it must have some, and none
    /// if it does not say.
    async fn demanded_replicas(&mut self, key: &str) -> RedisResult<u64> {
        let mut setting = redis::cmd("CONFIG");
        setting.arg("GET").arg("min-replicas-to-write");
        let setting: Option<HashMap<String, u64>> = self.told_by_master_of(key, &setting).await?;
        if let Some(demanded) = setting.and_then(|setting| setting.into_values().next()) {
            return Ok(demanded);
        }
        let mut info = redis::cmd("INFO");
        info.arg("replication");
        let info: Option<String> = self.told_by_master_of(key, &info).await?;
        let must_have_some = info.is_some_and(|info| info.contains("min_slaves_good_slaves:"));
        Ok(u64::from(must_have_some))
    }

    /// What the master of `key` tells; none if it does not.
    async fn told_by_master_of<T: FromRedisValue>(
        &mut self,
        key: &str,
        command: &Cmd,
    ) -> RedisResult<Option<T>> {
        let answer = match self {
            Self::Server(server) => server.send_packed_command(command).await,
            Self::Cluster(cluster) => {
                let master = Route::with_slot(Slot::for_key(key), SlotAddr::Master);
                let master = SingleNodeRoutingInfo::SpecificNode(master);
                let master = RoutingInfo::SingleNode(master);
                cluster.route_command(command.clone(), master).await
            }
        };
        match answer.and_then(Value::extract_error) {
            Ok(answer) => Ok(redis::from_redis_value(answer).ok()),
            Err(error) if Sickness::of(&error) == Sickness::None => Ok(None),
            Err(error) => Err(error),
        }
    }
}
