//! Records that checks keep in the store: text that people can read in a pinch, and changes that lose nobody else's.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::io::{Io, Key, Space, StoreFault};

/// How often a change is tried again after somebody else's came first.
const TRIES: usize = 16;

/// A record as it is stored. Only shapes that cannot be written as JSON fail, and that is a fault of ours.
///
/// # Errors
/// [`StoreFault::Corrupt`].
pub fn encode<T: Serialize>(record: &T) -> Result<Bytes, StoreFault> {
    let text = serde_json::to_vec(record);
    text.map(Bytes::from).map_err(|_| StoreFault::Corrupt)
}

/// What was stored.
///
/// # Errors
/// [`StoreFault::Corrupt`] when it is something else.
pub fn decode<T: DeserializeOwned>(stored: &Bytes) -> Result<T, StoreFault> {
    serde_json::from_slice(stored).map_err(|_| StoreFault::Corrupt)
}

/// The record, if there is one.
///
/// # Errors
/// The store's, and [`StoreFault::Corrupt`].
pub async fn get<T: DeserializeOwned, I: Io>(
    io: &mut I,
    space: Space,
    key: Key,
) -> Result<Option<T>, StoreFault> {
    let stored = io.get(space, key).await?;
    stored.as_ref().map(decode).transpose()
}

/// What becomes of a record.
#[derive(Debug)]
pub enum Change<T> {
    /// Stays as it is.
    Keep,
    /// Becomes this, for so long.
    Put(T, Duration),
    /// Goes.
    Remove,
}

/// Changes a record by `change`, which is asked again with the newer record when somebody else changed it meanwhile; so
/// it must have no effect of its own. Gives what `change` gave beside the change that was made.
///
/// # Errors
/// The store's, [`StoreFault::Corrupt`], and [`StoreFault::Slow`] when others were faster 16 times in a row.
pub async fn update<T, R, I, F>(
    io: &mut I,
    space: Space,
    key: Key,
    mut change: F,
) -> Result<R, StoreFault>
where
    T: Serialize + DeserializeOwned + Send,
    R: Send,
    I: Io,
    F: FnMut(Option<T>) -> (Change<T>, R) + Send,
{
    for _ in 0..TRIES {
        let stored = io.get(space, key).await?;
        let record = stored.as_ref().map(decode).transpose()?;
        let (change, result) = change(record);
        let (value, ttl) = match change {
            Change::Keep => return Ok(result),
            Change::Put(record, ttl) => (Some(encode(&record)?), ttl),
            Change::Remove => (None, Duration::ZERO),
        };
        if io.swap(space, key, stored.as_ref(), value, ttl).await? {
            return Ok(result);
        }
    }
    Err(StoreFault::Slow)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::invented::{Invented, ready};

    #[test]
    fn a_record_is_made_changed_and_removed() {
        let mut io = Invented::default();
        let (space, key, hour) = (Space::User, Key(1), Duration::from_secs(3600));
        let mut add = |by: u32| {
            let change = |old: Option<u32>| {
                let sum = old.unwrap_or(0) + by;
                (Change::Put(sum, hour), sum)
            };
            ready(update(&mut io, space, key, change)).unwrap()
        };
        assert_eq!((add(2), add(3)), (Ok(2), Ok(5)));
        let gone = ready(update(&mut io, space, key, |old: Option<u32>| {
            (Change::Remove, old)
        }));
        assert_eq!(gone.unwrap(), Ok(Some(5)));
        assert_eq!(ready(get::<u32, _>(&mut io, space, key)).unwrap(), Ok(None));
    }

    #[test]
    fn what_is_no_record_is_a_fault() {
        let mut io = Invented::default();
        let (space, key) = (Space::User, Key(1));
        let put = io.put(
            space,
            key,
            Bytes::from_static(b"{"),
            Duration::from_secs(60),
        );
        ready(put).unwrap().unwrap();
        let read = ready(get::<u32, _>(&mut io, space, key)).unwrap();
        assert_eq!(read, Err(StoreFault::Corrupt));
    }
}
