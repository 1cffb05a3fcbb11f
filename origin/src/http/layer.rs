//! The layer: what it is told, and what its services share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::uri::Scheme;
use terrace_shared::http::Exposure;
use terrace_shared::outcome::CacheStatus;
use terrace_shared::time::ByteCount;
use tower_layer::Layer;

use super::CacheService;
use super::site::Site;
use crate::Cache;

/// The cache in front of a service, as a tower layer.
///
/// Whatever one layer wraps (each route of a router, each connection's service) shares what is stored.
#[derive(Clone, Debug)]
pub struct CacheLayer {
    cache: Cache,
    config: Config,
    site: Arc<OnceLock<Arc<Site>>>,
}

/// What a layer is told.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) memory: ByteCount,
    pub(super) largest_body: ByteCount,
    pub(super) largest_shared_body: ByteCount,
    pub(super) surrogate_keys: Exposure,
    pub(super) scheme: Scheme,
    pub(super) host: Box<str>,
    pub(super) head_timeout: Duration,
    pub(super) fill_timeout: Duration,
    pub(super) name: Box<str>,
}

impl CacheLayer {
    /// A layer over the tiers of `cache`, by the routes of its policy, with every setting at its default.
    pub fn new(cache: Cache) -> Self {
        let config = Config {
            memory: ByteCount::mebibytes(64),
            largest_body: ByteCount::mebibytes(32),
            largest_shared_body: ByteCount::mebibytes(1),
            surrogate_keys: Exposure::Strip,
            scheme: Scheme::HTTP,
            host: "localhost".into(),
            head_timeout: Duration::from_mins(1),
            fill_timeout: Duration::from_mins(5),
            name: CacheStatus::NAME.into(),
        };
        Self {
            cache,
            config,
            site: Arc::default(),
        }
    }

    /// Most bytes that stored responses take in this process's memory, beside the cache's own. Default: 64 MiB.
    #[must_use]
    pub fn memory(self, capacity: ByteCount) -> Self {
        self.with(|config| config.memory = capacity)
    }

    /// Longest body that is stored; longer ones flow through. Default: 32 MiB.
    #[must_use]
    pub fn largest_body(self, length: ByteCount) -> Self {
        self.with(|config| config.largest_body = length)
    }

    /// Longest body that is stored in Redis too, if there is one. Default: 1 MiB.
    #[must_use]
    pub fn largest_shared_body(self, length: ByteCount) -> Self {
        self.with(|config| config.largest_shared_body = length)
    }

    /// Whether clients see surrogate keys, and with them `Terrace-Epoch`: for a service behind the edge,
    /// which needs both (R9). Default: [`Exposure::Strip`].
    #[must_use]
    pub fn surrogate_keys(self, exposure: Exposure) -> Self {
        self.with(|config| config.surrogate_keys = exposure)
    }

    /// The scheme of requests that do not name one, as those of HTTP/1.1 never do. Default: `http`.
    #[must_use]
    pub fn scheme(self, scheme: Scheme) -> Self {
        self.with(|config| config.scheme = scheme)
    }

    /// The host of requests that name none. Default: `localhost`.
    #[must_use]
    pub fn host(self, host: impl Into<Box<str>>) -> Self {
        let host = host.into();
        self.with(|config| config.host = host)
    }

    /// How long the service may take to begin its answer to a request that can be cached. Default: 60 s.
    #[must_use]
    pub fn head_timeout(self, limit: Duration) -> Self {
        self.with(|config| config.head_timeout = limit)
    }

    /// How long a fill may take; a longer one is not stored, and goes on as long as somebody reads it.
    /// Default: 300 s.
    #[must_use]
    pub fn fill_timeout(self, limit: Duration) -> Self {
        self.with(|config| config.fill_timeout = limit)
    }

    /// The name that this cache signs `Cache-Status` with. Default: `Terrace`.
    #[must_use]
    pub fn name(self, name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        self.with(|config| config.name = name)
    }

    /// What is told from now on is not what services that were made before go by.
    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self.site = Arc::default();
        self
    }

    fn site(&self) -> &Arc<Site> {
        self.site
            .get_or_init(|| Arc::new(Site::new(&self.cache, self.config.clone())))
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = CacheService<S>;

    fn layer(&self, inner: S) -> CacheService<S> {
        CacheService::new(inner, self.site().clone())
    }
}
