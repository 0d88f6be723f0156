//! What routes ask in practice, all of it together.

use policy::decision::Reason;
use policy::invented::Invented;

use crate::Bench;
use crate::stage::{Asked, expect, load};
use crate::tokens;

const EDGE: &str = "
roles: {user: {allow: [read]}}
checks:
  bans:     {check: bans}
  networks: {check: ip, deny: [192.0.2.0/24, 198.51.100.0/24, '2001:db8::/32']}
  per-ip:   {check: rate_limit, key: [ip], limit: 100000000/1m}
  builtin:  {check: waf, rules: [policies/waf/*.yaml]}
  token:    {check: jwt, pem_files: ['FOLDER/ES256.pem'], algorithms: [ES256], require: {token_type: access}, forward: {sub: X-User-Id}}
  roles:    {check: authorize, role_from: role, need: read}
  per-user: {check: rate_limit, key: [user], limit: 100000000/1m}
  headers:  {check: response_headers, set: {X-Content-Type-Options: nosniff, X-Frame-Options: DENY}, remove: [Server]}
chains:
  edge: [bans, networks, per-ip, headers]
routes:
  - {name: api, match: {path: '/api/*'}, to: app, use: [edge, token, roles, per-user]}
  - {name: scanned, match: {path: '/pages/*'}, to: app, use: [edge, builtin], public: bench}
  - {name: all, match: {path: '/*'}, to: app, use: [edge], public: bench}
";

pub(crate) fn all(folder: &str) -> Result<Vec<Bench>, String> {
    let text = EDGE.replace("FOLDER", folder);
    let tokens = tokens::read(folder, "ES256")?;
    let token = format!("Bearer {}", tokens.last().ok_or("no tokens")?);
    let cases = [
        (
            "chain: edge (bans, ip, limit, headers)",
            Asked::get("/products/42"),
        ),
        ("chain: edge and built-in rules", Asked::get("/pages/42")),
        (
            "chain: edge, jwt known, authorize, limit by user",
            Asked::get("/api/items").with("authorization", &token)?,
        ),
    ];
    let made = cases
        .into_iter()
        .map(|(name, asked)| -> Result<Bench, String> {
            let policy = load(&text)?;
            let mut io = Invented::default();
            Ok(Bench::new(name, move |_| {
                expect(&policy, &mut io, &asked, Reason::Ok)
            }))
        });
    made.collect()
}
