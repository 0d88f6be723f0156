//! The tokens of a text for those who want to see them: nothing in the engine does.

use super::{
    Folded,
    tokens::{Token, Tokens},
};

/// The kind of a token and its text, of a string or variable with the quotes it has.
pub(super) type Piece = (char, Vec<u8>);

/// The tokens of a text.
pub(crate) fn pieces(text: &[u8]) -> Vec<Piece> {
    let mut source = Tokens::new(text, 0, false);
    let token = || source.next().as_ref().map(piece);
    std::iter::from_fn(token).collect()
}

/// What is left of them.
pub(crate) fn folded(text: &[u8]) -> Vec<Piece> {
    let folded = Folded::of(text, 0, false);
    let left = folded.tokens.iter().take(folded.count);
    left.map(piece).collect()
}

fn piece(token: &Token) -> Piece {
    let quoted = matches!(token.kind, b's' | b'v');
    let quote = |byte: u8| (quoted && byte != 0).then_some(byte);
    let inner = token.value().iter().copied();
    let text = quote(token.open).into_iter().chain(inner);
    let text = text.chain(quote(token.close)).collect();
    (char::from(token.kind), text)
}
