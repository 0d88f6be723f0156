//! How the gateway's own pages look: readable at any size, in light and dark, without a font or a picture from anywhere.

/// The only style sheet; pages name its hash.
pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--ground:#f3f4f6;--card:#fff;--ink:#1b1d21;--soft:#4b5563;--line:#6b7280;--act:#0b57d0;--on:#fff;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ground:#131417;--card:#1e2025;--ink:#e8eaed;--soft:#b4b9c2;--line:#8b929e;--act:#a8c7fa;--on:#062e6f;--bad:#f2b8b5}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:1.0625rem/1.6 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",\"Noto Sans CJK JP\",sans-serif}
main{max-width:31rem;margin:6vh auto;padding:2rem;background:var(--card);border-radius:1rem}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.3}
h2{margin:2rem 0 .5rem;font-size:1.125rem}
p,ul,ol{margin:.5rem 0}
li{margin:.25rem 0}
label{display:block;margin-top:1rem;font-weight:600}
.hint{color:var(--soft);font-size:.9375rem}
.problem{border-left:.25rem solid var(--bad);padding:.25rem 0 .25rem .75rem;color:var(--bad);font-weight:600}
input{width:100%;margin-top:.25rem;padding:.7rem .8rem;border:1px solid var(--line);border-radius:.5rem;background:transparent;color:inherit;font:inherit}
input.code{font:1.375rem/1.3 ui-monospace,Menlo,Consolas,monospace;letter-spacing:.15em}
button,a.button{display:inline-block;margin:1rem .5rem 0 0;padding:.7rem 1.4rem;border:1px solid var(--act);border-radius:2rem;background:var(--act);color:var(--on);font:inherit;font-weight:600;text-decoration:none;cursor:pointer}
button.quiet,a.quiet{background:transparent;color:var(--act)}
a{color:var(--act)}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}
details{margin-top:1.5rem;border-top:1px solid var(--line);padding-top:.75rem}
summary{cursor:pointer;color:var(--act);font-weight:600}
svg{display:block;width:min(100%,15rem);height:auto;margin:1rem 0;border-radius:.5rem}
code{font:1rem/1.5 ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
ol.codes{columns:2;padding-left:2rem}
ol.codes li{margin:0;padding:.25rem 0;break-inside:avoid}
ol.codes code{font-size:1.125rem}
form.line{display:inline}
ul.sessions{padding:0;list-style:none}
ul.sessions li{margin:0;padding:1rem 0;border-top:1px solid var(--line)}
.agent{overflow-wrap:anywhere;font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.125rem 1rem;margin:.5rem 0 0;color:var(--soft);font-size:.9375rem}
dd{margin:0;overflow-wrap:anywhere}
@media print{body{background:#fff;color:#000}form,a.button{display:none}}
@media (max-width:34rem){main{margin:0;border-radius:0;min-height:100vh;padding:1.25rem}}
";
