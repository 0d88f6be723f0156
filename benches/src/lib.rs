//! Nothing of its own: the bare proxy in `bin/bare.rs` and the side-by-side runs in `peers/`.
