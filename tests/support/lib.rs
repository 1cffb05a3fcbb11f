//! What the end-to-end tests stand on: real processes on free ports, ended with the test, and an origin that
//! holds its answers until it is told.

mod browser;
mod client;
mod edge;
mod origin;
mod process;
mod raw;
mod redis;
pub mod rfc;
mod shield;
mod shop;

pub use browser::run_in_chromium;
pub use client::{Answer, Client};
pub use edge::{Edge, PRODUCTS_TOKEN, PURGE_TOKEN, TOKEN_SECRET, token_list};
pub use origin::{Content, Hold, TestOrigin};
pub use process::{Process, root, wait_until};
pub use raw::{RawConnection, RawUpstream};
pub use redis::RedisServer;
pub use shield::Shield;
pub use shop::{Shop, ShopOptions};
