//! Scripts that the server runs, plain Lua; known there by the hash of their text.

use aws_lc_rs::digest;

/// One script.
pub(super) struct Script {
    pub(super) text: &'static str,
    /// SHA-1 in hex: the server's name for it, no protection.
    pub(super) hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let hex = |byte: &u8| format!("{byte:02x}");
        Self {
            text,
            hash: digest.as_ref().iter().map(hex).collect(),
        }
    }
}

/// All of them.
pub(super) struct Scripts {
    pub(super) window: Script,
    pub(super) buckets: Script,
    pub(super) pace: Script,
    pub(super) take: Script,
    pub(super) keep: Script,
    pub(super) swap: Script,
    pub(super) note: Script,
    pub(super) noted: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            window: Script::new(include_str!("lua/window.lua")),
            buckets: Script::new(include_str!("lua/buckets.lua")),
            pace: Script::new(include_str!("lua/pace.lua")),
            take: Script::new(include_str!("lua/take.lua")),
            keep: Script::new(include_str!("lua/keep.lua")),
            swap: Script::new(include_str!("lua/swap.lua")),
            note: Script::new(include_str!("lua/note.lua")),
            noted: Script::new(include_str!("lua/noted.lua")),
        }
    }
}
