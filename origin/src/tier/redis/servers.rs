//! Where a Redis is: one server, what Sentinels name, or a Cluster.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{Client, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisResult};

use super::connection::{Live, TIMEOUT};

/// The servers of one Redis, and how to find the one that counts.
pub(super) enum Servers {
    /// A single one.
    One(Client),
    /// The master that Sentinels name; another one after a fail-over.
    Sentinel(Sentinels),
    /// A Cluster, known by some of its nodes.
    Cluster(Nodes),
}

/// Where keys are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spread {
    /// All on one server.
    OneServer,
    /// On the slots of a Cluster.
    Slots,
}

/// Sentinels, and the master that they watch.
pub(super) struct Sentinels {
    /// Asking changes what it remembers of its connections.
    client: tokio::sync::Mutex<SentinelClient>,
    master: String,
}

/// Some nodes of a Cluster.
pub(super) struct Nodes {
    known: Vec<ConnectionInfo>,
    /// Which of them is listened to next: another one each time, as the last one may be gone.
    next: AtomicUsize,
}

impl Servers {
    /// What `url` names; see [`Redis::lazy`](super::Redis::lazy).
    pub(super) fn parse(url: &str) -> RedisResult<Self> {
        if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            return Self::parse_sentinels(rest);
        }
        if let Some(rest) = url.strip_prefix("redis+cluster://") {
            let (user, hosts) = user_and_hosts(rest);
            return Self::cluster(
                hosts
                    .trim_end_matches('/')
                    .split(',')
                    .map(|host| with_user(user, host)),
            );
        }
        Ok(Self::One(Client::open(url)?))
    }

    /// The master of this name, which the Sentinels at `urls` watch.
    pub(super) fn sentinel(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        master: &str,
        of_master: SentinelNodeConnectionInfo,
    ) -> RedisResult<Self> {
        if master.is_empty() {
            return Err(wrong("the name of the master is missing"));
        }
        let urls: Vec<String> = urls
            .into_iter()
            .map(|url| url.as_ref().to_owned())
            .collect();
        let client = SentinelClient::build(
            urls,
            master.to_owned(),
            Some(of_master),
            SentinelServerType::Master,
        )?;
        Ok(Self::Sentinel(Sentinels {
            client: tokio::sync::Mutex::new(client),
            master: master.to_owned(),
        }))
    }

    /// The Cluster that the nodes at `urls` belong to.
    pub(super) fn cluster(urls: impl IntoIterator<Item = impl AsRef<str>>) -> RedisResult<Self> {
        let known = urls
            .into_iter()
            .map(|url| url.as_ref().into_connection_info());
        let known: Vec<_> = known.collect::<RedisResult<_>>()?;
        if known.is_empty() {
            return Err(wrong("a Cluster needs at least one node"));
        }
        Ok(Self::Cluster(Nodes {
            known,
            next: AtomicUsize::new(0),
        }))
    }

    /// Where keys are.
    pub(super) const fn spread(&self) -> Spread {
        match self {
            Self::One(_) | Self::Sentinel(_) => Spread::OneServer,
            Self::Cluster(_) => Spread::Slots,
        }
    }

    /// Connects to whoever counts now.
    pub(super) async fn connect(&self) -> RedisResult<Live> {
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        match self {
            Self::One(client) => {
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Live::Server(connection.await?))
            }
            Self::Sentinel(sentinels) => {
                let client = sentinels.client.lock().await.async_get_client().await?;
                let connection = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Live::Server(connection.await?))
            }
            Self::Cluster(nodes) => {
                // Redirections are followed; a node that does not answer is the caller's to try again.
                let client = ClusterClientBuilder::new(nodes.known.clone())
                    .connection_timeout(TIMEOUT)
                    .response_timeout(TIMEOUT)
                    .retries(3)
                    .build()?;
                Ok(Live::Cluster(client.get_async_connection().await?))
            }
        }
    }

    /// A server on which whatever is published can be heard.
    pub(super) async fn to_listen_to(&self) -> RedisResult<Client> {
        match self {
            Self::One(client) => Ok(client.clone()),
            Self::Sentinel(sentinels) => sentinels.client.lock().await.async_get_client().await,
            Self::Cluster(nodes) => {
                let next = nodes.next.fetch_add(1, Ordering::Relaxed) % nodes.known.len();
                match nodes.known.get(next) {
                    Some(node) => Client::open(node.clone()),
                    None => Err(wrong("a Cluster needs at least one node")),
                }
            }
        }
    }

    /// `[user:password@]host:port,host:port/master[/database][?sentinel_username=…&sentinel_password=…]`
    fn parse_sentinels(rest: &str) -> RedisResult<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, rest) = user_and_hosts(rest);
        let (hosts, path) = rest
            .split_once('/')
            .ok_or_else(|| wrong("the name of the master is missing"))?;
        let (master, database) = path.split_once('/').unwrap_or((path, ""));
        // The crate's own parser knows how users and passwords are written.
        let master_url = format!("{}/{database}", with_user(user, "master"));
        let settings = master_url.into_connection_info()?.redis_settings().clone();
        let of_master = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
        let setting = |name: &str| {
            let value =
                |pair: &'_ str| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned());
            query.split('&').find_map(value).unwrap_or_default()
        };
        let (name, password) = (setting("sentinel_username"), setting("sentinel_password"));
        let user = (!password.is_empty()).then(|| format!("{name}:{password}"));
        let sentinels = hosts
            .split(',')
            .map(|host| with_user(user.as_deref(), host));
        Self::sentinel(sentinels, master, of_master)
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(client) => client.get_connection_info().addr().fmt(formatter),
            Self::Sentinel(sentinels) => {
                write!(formatter, "Sentinel's master {}", sentinels.master)
            }
            Self::Cluster(nodes) => {
                formatter.write_str("the cluster of")?;
                let mut between = " ";
                for node in &nodes.known {
                    write!(formatter, "{between}{}", node.addr())?;
                    between = ", ";
                }
                Ok(())
            }
        }
    }
}

/// What stands before the last `@`, and after it.
fn user_and_hosts(rest: &str) -> (Option<&str>, &str) {
    match rest.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, rest),
    }
}

fn with_user(user: Option<&str>, host: &str) -> String {
    match user {
        Some(user) => format!("redis://{user}@{host}"),
        None => format!("redis://{host}"),
    }
}

fn wrong(what: &'static str) -> redis::RedisError {
    (ErrorKind::InvalidClientConfig, what).into()
}
