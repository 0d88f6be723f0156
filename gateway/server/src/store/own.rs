//! The secret that keyed names in a store are made with. Made once with the store, and sealed where anything is: whoever
//! has it could find out whom a key stands for by trying names.

use super::seal::Seal;

/// Where it lies, for the seal.
const NAME: &[u8] = b"own\0keys";
/// What an operator is told when a store was sealed with another key, or not at all.
pub(super) const STRANGE: &str = "holds what the secret of state.seal does not open: it was sealed with another one \
     (name that as `previous` of the secret), or began without a seal (`palisade state reseal --was plain` seals a file)";

/// A new one, and what is stored for it.
pub(super) fn make(seal: &Seal) -> Result<(Vec<u8>, Vec<u8>), String> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|why| why.to_string())?;
    let stored = stored(seal, &secret)?;
    Ok((secret, stored))
}

/// What is stored for it.
pub(super) fn stored(seal: &Seal, secret: &[u8]) -> Result<Vec<u8>, String> {
    if !seal.is_on() {
        return Ok(secret.to_vec());
    }
    let sealed = seal.seal(NAME, secret);
    Ok(sealed.map_err(|_| "cannot be sealed".to_owned())?.to_vec())
}

/// What was stored.
pub(super) fn open(seal: &Seal, stored: &[u8]) -> Result<Vec<u8>, String> {
    if seal.is_on() {
        let opened = seal.open(NAME, stored);
        return opened
            .map(|secret| secret.to_vec())
            .map_err(|_| STRANGE.to_owned());
    }
    if stored.len() == 32 {
        Ok(stored.to_vec())
    } else {
        Err("is sealed: name the secret as state.seal (`palisade state reseal --was FILE` takes the seal of a file away)".to_owned())
    }
}
