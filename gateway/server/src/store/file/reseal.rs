//! Seals all of a state file anew, or takes its seal away: whole or not at all, while no gateway uses it.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use redb::{Database, ReadableDatabase as _, ReadableTable as _};

use super::{OWN, VALUES, database, placed};
use crate::store::own;
use crate::store::seal::Seal;

/// How many values there are. The new file takes the old one's place: a file that is changed where it stands keeps what it
/// no longer holds in pages that nobody has written over yet.
///
/// # Errors
/// A sentence when the file is in use, damaged, or not sealed as `was` says; it is unchanged then.
pub(crate) fn reseal(path: &Path, was: &Seal, now: &Seal) -> Result<usize, String> {
    let told = |why: String| format!("state file {}: {why}", path.display());
    if !path.exists() {
        return Err(told("no such file".to_owned()));
    }
    // Held to the end: no gateway may begin to write to what is about to go.
    let old = database(path).map_err(told)?;
    let beside = path.with_extension("resealed");
    let written = copy(&old, &beside, was, now).and_then(|count| {
        let moved = fs::rename(&beside, path).and_then(|()| sync(path));
        moved.map(|()| count).map_err(|why| why.to_string())
    });
    if written.is_err() {
        // Of no use to anybody; where it never came to be there is nothing to remove.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(told)
}

/// The name of a file outlives a crash once its folder is on the disk.
fn sync(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    fs::File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn copy(old: &Database, to: &Path, was: &Seal, now: &Seal) -> Result<usize, String> {
    let damaged = |why: redb::Error| format!("is damaged: {why}");
    let reading = old.begin_read().map_err(|why| damaged(why.into()))?;
    let own = reading.open_table(OWN);
    let own = own.map_err(|why| damaged(why.into()))?;
    let secret = own.get("keys").map_err(|why| damaged(why.into()))?;
    let secret = secret.ok_or("is no state file of a gateway")?;
    let secret = own::stored(now, &own::open(was, secret.value())?)?;
    let values = reading.open_table(VALUES);
    let values = values.map_err(|why| damaged(why.into()))?;
    let mut changed = Vec::new();
    for entry in values.iter().map_err(|why| damaged(why.into()))? {
        let (place, value) = entry.map_err(|why| damaged(why.into()))?;
        changed.push(again(place.value(), value.value(), was, now)?);
    }
    let write = || -> Result<(), redb::Error> {
        let fresh = fresh(to)?;
        let writing = fresh.begin_write()?;
        {
            writing.open_table(OWN)?.insert("keys", secret.as_slice())?;
            let mut table = writing.open_table(VALUES)?;
            for (place, value) in &changed {
                table.insert(place.as_slice(), value.as_slice())?;
            }
        }
        Ok(writing.commit()?)
    };
    write().map_err(|why| why.to_string())?;
    Ok(changed.len())
}

/// What an attempt before left is of no use.
fn fresh(path: &Path) -> Result<Database, redb::Error> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => return Err(why.into()),
        Ok(()) | Err(_) => {}
    }
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    Ok(Database::builder().create_file(options.open(path)?)?)
}

/// Place and value as they are to be from now on.
fn again(place: &[u8], value: &[u8], was: &Seal, now: &Seal) -> Result<(Vec<u8>, Vec<u8>), String> {
    let Some(name) = placed(place) else {
        return Ok((place.to_vec(), value.to_vec()));
    };
    let parts = value.split_first_chunk::<8>();
    let (end, stored) = parts.ok_or("is damaged: a value is too short")?;
    let plain = if was.covers(name.0) {
        let opened = was.open(place, stored);
        opened.map_err(|_| own::STRANGE.to_owned())?.to_vec()
    } else {
        stored.to_vec()
    };
    let mut fresh = end.to_vec();
    if now.covers(name.0) {
        let sealed = now.seal(place, &plain);
        fresh.extend_from_slice(&sealed.map_err(|_| "cannot be sealed".to_owned())?);
    } else {
        fresh.extend_from_slice(&plain);
    }
    Ok((place.to_vec(), fresh))
}
