//! Keeps the server in reach: connects, notices when it is gone or hangs, connects again; watches that it is fit for what
//! is kept there. And the secret of keyed names, which lies there for all gateways alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;

use super::link::{self, Connection};
use super::{Opening, Redis};
use crate::store::own as secret;

/// How long the first answer may take at the start.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Answers in a row that do not come in time until the connection is given up.
const SILENT: u32 = 3;

/// The secret of keyed names, made by whoever comes first, and as it is stored.
pub(super) async fn own(opening: &Opening) -> Result<(Vec<u8>, Vec<u8>), String> {
    let begun = Instant::now();
    loop {
        let read = async {
            let mut connection = link::connect(&opening.settings, &opening.base).await?;
            tokio::time::timeout(PATIENCE, stored(&mut connection, opening))
                .await
                .map_err(|_| "no answer".to_owned())?
        };
        match read.await {
            Ok(found) => {
                let opened = secret::open(&opening.seal, &found);
                let opened = opened.map_err(|why| format!("the store {why}"))?;
                return Ok((opened, found));
            }
            Err(why) if begun.elapsed() > PATIENCE => return Err(why),
            Err(_) => tokio::time::sleep(FIRST_PAUSE * 3).await,
        }
    }
}

async fn stored(connection: &mut Connection, opening: &Opening) -> Result<Vec<u8>, String> {
    let place = format!("{}:own", opening.settings.prefix);
    let (_, fresh) = secret::make(&opening.seal)?;
    settled(connection, &place, &fresh).await
}

/// Stores the secret where there is none; gives the one that is there then.
async fn settled(
    connection: &mut Connection,
    place: &str,
    fresh: &[u8],
) -> Result<Vec<u8>, String> {
    let mut command = redis::cmd("SET");
    command.arg(place).arg(fresh).arg("NX");
    let set = connection.ask(&command).await;
    set.map_err(|why| why.to_string())?;
    let mut command = redis::cmd("GET");
    command.arg(place);
    match connection.ask(&command).await {
        Ok(Value::BulkString(found)) => Ok(found),
        Ok(_) => Err("the secret of keyed names is gone".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

/// Connects and stays connected, until the process ends.
pub(super) async fn connected(redis: Arc<Redis>) {
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let reached = match link::connect(&redis.settings, &redis.base).await {
            Ok(connection) => fit(&redis, connection).await,
            Err(why) => Err(why),
        };
        match reached {
            Ok(connection) => {
                (pause, told) = (FIRST_PAUSE, false);
                redis.link.store(Some(Arc::new(connection)));
                redis.meter.up.set(1);
                redis.tell("store_up", &redis.settings.reach.to_string());
                follow(&redis).await;
                // A server that takes connections and drops them is not asked without a pause.
                tokio::time::sleep(FIRST_PAUSE / 5).await;
            }
            Err(why) => {
                if !std::mem::replace(&mut told, true) {
                    redis.tell("store_unreachable", &why);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Whether a connection may serve: it answers in time, and holds the names that this gateway uses.
async fn fit(redis: &Redis, mut connection: Connection) -> Result<Connection, String> {
    let place = format!("{}:own", redis.settings.prefix);
    let asked = settled(&mut connection, &place, &redis.own);
    // Two questions.
    let found = tokio::time::timeout(redis.settings.timeout * 2, asked).await;
    let found = found.map_err(|_| "answers too slowly".to_owned())??;
    let same = |stored: &[u8]| secret::open(&redis.seal, stored).ok();
    if same(&found) != same(&redis.own) {
        // It was emptied, and another gateway began anew: nothing that this one asks for would be found.
        return Err("is another store by now: restart this gateway".to_owned());
    }
    let policy = eviction(&mut connection, redis.settings.timeout).await;
    let evicts = policy
        .as_deref()
        .is_some_and(|policy| policy != "noeviction");
    redis.meter.evicts.set(i64::from(evicts));
    if let Some(policy) = policy.filter(|_| evicts) {
        let told = format!(
            "maxmemory-policy is {policy}: a full server forgets bans, revocations and sessions; set noeviction"
        );
        redis.tell("store_evicts", &told);
    }
    Ok(connection)
}

/// What the server does when it is full, where it says so.
async fn eviction(connection: &mut Connection, within: Duration) -> Option<String> {
    let mut command = redis::cmd("INFO");
    command.arg("memory");
    let asked = connection.ask_node(&command, None);
    let answer = tokio::time::timeout(within, asked).await.ok()?.ok()?;
    let text = match answer {
        Value::BulkString(text) => String::from_utf8(text).ok()?,
        Value::VerbatimString { text, .. } => text,
        _ => return None,
    };
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("maxmemory_policy:"))?;
    Some(line.trim().to_owned())
}

/// Until the connection is lost.
async fn follow(redis: &Redis) {
    let mut known = redis.known_bans();
    let mut silent = 0;
    loop {
        let Some(link) = redis.link.load_full() else {
            return;
        };
        match redis.follow_bans(&mut known).await {
            Ok(()) => silent = 0,
            Err(_) => silent += 1,
        }
        if silent >= SILENT {
            redis.lose(&link, "no answer in time");
        }
        tokio::select! {
            () = tokio::time::sleep(redis.settings.sync) => {}
            () = redis.lost.notified() => {}
        }
    }
}
