//! Keys as they are written in Redis.

use redis::{Cmd, RedisWrite, ToRedisArgs};

/// A key of the tier, behind what every key in this Redis begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    pub(super) prefix: &'a str,
    pub(super) name: &'a str,
}

impl Key<'_> {
    /// A command about it.
    pub(super) fn command(&self, name: &str) -> Cmd {
        let bytes = name.len() + self.prefix.len() + self.name.len();
        let mut command = Cmd::with_capacity(2, bytes);
        command.arg(name).arg(*self);
        command
    }
}

impl ToRedisArgs for Key<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        if self.prefix.is_empty() {
            out.write_arg(self.name.as_bytes());
        } else {
            out.write_arg_fmt(format_args!("{}{}", self.prefix, self.name));
        }
    }
}
