//! Sessions that are the application's own tokens, counted among their user's from the first request that brings one: so they
//! can be limited, listed and ended one by one. What ended stays known for as long as a token of it may hold.

use std::time::Duration;

use super::keeper::{Keeper, NotBegun, Open, millis};
use super::own::Happened;
use super::record::{Entry, Record};
use crate::decision::Reason;
use crate::io::{Io, Key, Space, StoreFault};
use crate::request::Request;
use crate::stored::{self, Change};

/// A token is accepted for so long after it expired, at most: as far as clocks may be apart.
const LEEWAY: u64 = 5 * 60_000;

/// A token that holds.
pub(super) struct Brought<'b> {
    /// Where the record of its session is.
    pub(super) key: Key,
    /// What belongs to the session is bound to this.
    pub(super) binding: Key,
    pub(super) user: &'b str,
    /// Unix milliseconds from which on neither it nor what prolongs it holds.
    pub(super) until: u64,
}

impl Keeper {
    /// Lets the session go on, or begin where it is new; tells what happened.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn admit<I: Io>(
        &self,
        io: &mut I,
        request: &Request<'_>,
        brought: &Brought<'_>,
    ) -> Result<Vec<Happened>, Reason> {
        let mut happened = Vec::new();
        // The second time around it is written down, by this request or another.
        for _ in 0..2 {
            let stored = io.get(Space::Session, brought.key).await.map_err(|_| Reason::StoreUnavailable)?;
            match stored {
                Some(stored) => {
                    let known = self.known.of(brought.key, stored).ok_or(Reason::StoreUnavailable)?;
                    let open = Open { key: brought.key, binding: brought.binding, known };
                    return self.goes_on(io, request, brought, &open).await.map(|()| happened);
                }
                None => {
                    let (told, written) = self.first(io, request, brought).await?;
                    happened = told;
                    if written {
                        return Ok(happened);
                    }
                }
            }
        }
        Err(Reason::StoreUnavailable)
    }

    /// Whether a session that was admitted has ended since.
    pub(super) async fn is_buried<I: Io>(&self, io: &mut I, key: Key) -> Result<bool, Reason> {
        let record = stored::get::<Record, _>(io, Space::Session, key).await;
        Ok(record.map_err(|_| Reason::StoreUnavailable)?.is_some_and(|record| record.ended))
    }

    async fn goes_on<I: Io>(
        &self,
        io: &mut I,
        request: &Request<'_>,
        brought: &Brought<'_>,
        open: &Open,
    ) -> Result<(), Reason> {
        let record = &open.known.record;
        let later = record.until.is_none_or(|until| until < brought.until);
        if later {
            // The application gave a token that holds for longer: the session does, and its end is remembered for longer.
            let now = io.now();
            let mut record = Record { until: Some(brought.until), ..record.clone() };
            if !record.ended {
                record.seen = now.unix;
                record.client = request.client.to_string();
            }
            let left = match record.ended {
                true => Some(self.buried_for(&record, now.unix)),
                false => self.left(&record, now),
            };
            if let (Some(left), Ok(value)) = (left, stored::encode(&record)) {
                let _ = io.swap(Space::Session, open.key, Some(&open.known.stored), Some(value), left).await;
            }
        }
        if record.ended {
            return Err(Reason::SessionEnded);
        }
        if !later {
            self.prolong(io, open, request).await;
        }
        Ok(())
    }

    /// What happened, and whether it was this request that wrote it down.
    async fn first<I: Io>(
        &self,
        io: &mut I,
        request: &Request<'_>,
        brought: &Brought<'_>,
    ) -> Result<(Vec<Happened>, bool), Reason> {
        let user = || Some(brought.user.to_owned());
        // By the session: what two requests write down at once is called the same.
        let handle = self.names.key("session/token/handle", &brought.key.0.to_be_bytes());
        let handle: String = format!("{:032x}", handle.0).chars().take(12).collect();
        let now = io.now();
        let record = Record {
            handle: handle.clone(),
            user: brought.user.to_owned(),
            until: Some(brought.until),
            ..Record::begun(request, now.unix)
        };
        let left = self.left(&record, now).ok_or(Reason::SessionExpired)?;
        let value = stored::encode(&record).map_err(|_| Reason::StoreUnavailable)?;
        let entry = Entry::new(brought.key, handle.clone(), now.unix);
        let ended = match self.enter(io, brought.user, entry).await {
            Ok(ended) => ended,
            Err(NotBegun::Full) => return Err(Reason::SessionsFull),
            Err(NotBegun::Store) => return Err(Reason::StoreUnavailable),
        };
        let mut happened: Vec<Happened> = Vec::new();
        for name in ended {
            happened.push(("session_ended", user(), format!("{name}: too many sessions, the oldest ends")));
        }
        let written = io.swap(Space::Session, brought.key, None, Some(value), left).await;
        let written = written.map_err(|_| Reason::StoreUnavailable)?;
        if written {
            happened.push(("session_started", user(), handle));
        }
        Ok((happened, written))
    }

    /// Ends a session in a way that its token cannot undo.
    pub(super) async fn bury<I: Io>(&self, io: &mut I, key: Key) -> Result<(), StoreFault> {
        let now = io.now().unix;
        stored::update(io, Space::Session, key, |record: Option<Record>| {
            let record = record.unwrap_or_default();
            let record = Record { ended: true, ..record };
            let left = self.buried_for(&record, now);
            (Change::Put(record, left), ())
        })
        .await
    }

    fn buried_for(&self, record: &Record, now: u64) -> Duration {
        let tokens = record.until.unwrap_or(0).saturating_add(LEEWAY);
        // And longer than any session: the application may give another token of it meanwhile.
        let session = now.saturating_add(millis(self.limits.absolute));
        Duration::from_millis(tokens.max(session).saturating_sub(now)).max(Duration::from_secs(1))
    }
}
