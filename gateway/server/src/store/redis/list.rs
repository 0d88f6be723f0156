//! Values of a space, for operators: walks over all keys of the server, a thousand at a time.

use std::time::Duration;

use futures_util::StreamExt as _;
use policy::io::{Key, Space, StoreFault};
use redis::Value;

use super::{Operation, Redis};
use crate::store::Listed;

/// Values that are fetched at the same time.
const TOGETHER: usize = 64;

/// Steps of a walk: at a thousand keys each, ten million of them.
const STEPS: usize = 10_000;

impl Redis {
    /// Up to `most` living values of a space, in no order.
    pub(in crate::store) async fn list(
        &self,
        space: Space,
        most: usize,
    ) -> Result<Vec<Listed>, StoreFault> {
        let mut found = Vec::new();
        let link = self.link.load_full().ok_or(StoreFault::Down)?;
        let mut connection = super::Connection::clone(&link);
        let nodes = connection.nodes().await.map_err(|why| super::fault(&why))?;
        for node in nodes {
            let mut cursor = b"0".to_vec();
            for _ in 0..STEPS {
                let mut command = redis::cmd("SCAN");
                let pattern = format!("{}:v:{{{}:*", self.settings.prefix, space.as_str());
                command.arg(&cursor).arg("MATCH").arg(pattern);
                command.arg("COUNT").arg(1000);
                let step = connection.ask_node(&command, node.as_ref());
                // A walk is patient; a server that hangs is noticed by others.
                let step = tokio::time::timeout(Duration::from_secs(5), step).await;
                let step = step.map_err(|_| StoreFault::Slow)?;
                let (next, keys) = parts(step.map_err(|why| super::fault(&why))?)?;
                let keys = keys.into_iter().filter_map(|key| named(&key));
                let read = futures_util::stream::iter(keys.map(|key| self.listed(space, key)));
                let mut read = read.buffer_unordered(TOGETHER);
                while let Some(one) = read.next().await {
                    found.extend(one?);
                    if found.len() >= most {
                        found.truncate(most);
                        return Ok(found);
                    }
                }
                if next == b"0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(found)
    }

    /// A walk may meet a key twice, or one that has just ended.
    async fn listed(&self, space: Space, key: Key) -> Result<Option<Listed>, StoreFault> {
        let Some(value) = self.get(space, key).await? else {
            return Ok(None);
        };
        let mut command = redis::cmd("PTTL");
        command.arg(self.value(space, key));
        let Value::Int(left) = self.ask(Operation::Get, &command).await? else {
            return Err(StoreFault::Corrupt);
        };
        let left = u64::try_from(left).map(Duration::from_millis);
        Ok(left.ok().map(|left| Listed { key, value, left }))
    }
}

fn parts(answer: Value) -> Result<(Vec<u8>, Vec<Vec<u8>>), StoreFault> {
    let Value::Array(parts) = answer else {
        return Err(StoreFault::Corrupt);
    };
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next()) {
        (Some(Value::BulkString(next)), Some(Value::Array(keys))) => {
            let key = |key| match key {
                Value::BulkString(key) => Some(key),
                _ => None,
            };
            Ok((next, keys.into_iter().filter_map(key).collect()))
        }
        _ => Err(StoreFault::Corrupt),
    }
}

/// `…:{space:KEY}`.
fn named(place: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(place).ok()?.strip_suffix('}')?;
    let (_, hex) = text.rsplit_once(':')?;
    u128::from_str_radix(hex, 16).ok().map(Key)
}
