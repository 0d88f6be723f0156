//! What to try, as lines that can be pasted into another terminal.

use std::fmt::Write as _;

use super::Stage;
use crate::cli::paint::{Paint, Tone};

/// The list.
pub(super) fn text(stage: &Stage) -> String {
    let paint = Paint::stdout();
    let web = format!("http://{}", stage.http);
    let tls = format!("https://localhost:{}", stage.https.port());
    let mut out = format!(
        "\nPalisade is in front of a small shop: {} (TLS: {tls}).\nPaste these into another terminal; Ctrl-C ends everything.\n",
        paint.tone(Tone::Strong, &web),
    );
    for (why, lines) in requests(stage, &web, &tls)
        .into_iter()
        .chain(commands(stage, &web))
    {
        let _ = writeln!(out, "\n{}", paint.tone(Tone::Strong, why));
        for line in lines {
            let _ = writeln!(out, "  {}", paint.tone(Tone::Name, &line));
        }
    }
    out.push('\n');
    out
}

/// A reason, and the lines that show it.
type Shown = (&'static str, Vec<String>);

fn requests(stage: &Stage, web: &str, tls: &str) -> Vec<Shown> {
    let folder = stage.folder.display();
    vec![
        (
            "An allowed request, then the same over TLS and HTTP/2",
            vec![
                format!("curl -i '{web}/search?q=tea'"),
                format!("curl -i --http2 --cacert {folder}/demo.pem '{tls}/search?q=tea'"),
            ],
        ),
        (
            "SQL injection: 403, refused before the shop sees it",
            vec![
                format!("curl -i \"{web}/search?q=1'%20OR%20'1'='1\""),
                format!("curl -i -d 'user=admin&password=x%27%20OR%201%3D1--' {web}/login"),
            ],
        ),
        (
            "A limit: five logins a minute, then 429 with Retry-After",
            vec![format!(
                "for i in 1 2 3 4 5 6 7; do curl -s -o /dev/null -w '%{{http_code}} ' -d user=mia {web}/login; done; echo"
            )],
        ),
        (
            "Without a token 401, with one 200: the shop learns who asks",
            vec![
                format!("curl -i {web}/api/me"),
                format!("MIA={}", stage.user),
                format!("curl -i -H \"Authorization: Bearer $MIA\" {web}/api/me"),
            ],
        ),
        (
            "Admins only: 401 for mia, 200 for ada",
            vec![
                format!("ADA={}", stage.admin_user),
                format!("curl -i -H \"Authorization: Bearer $MIA\" {web}/admin"),
                format!("curl -i -H \"Authorization: Bearer $ADA\" {web}/admin"),
            ],
        ),
    ]
}

fn commands(stage: &Stage, web: &str) -> Vec<Shown> {
    let folder = stage.folder.display();
    let palisade = std::env::current_exe()
        .map_or_else(|_| "palisade".to_owned(), |path| path.display().to_string());
    vec![
        (
            "Server-sent events, unbuffered",
            vec![format!("curl -N {web}/events")],
        ),
        (
            "What the gateway saw",
            vec![
                format!("tail -n 3 {folder}/events.jsonl"),
                format!(
                    "curl -s http://{}/metrics | grep palisade_requests_total",
                    stage.admin
                ),
            ],
        ),
        (
            "Why a request is refused, without sending it",
            vec![format!(
                "{palisade} explain {folder}/policy.yaml \"GET /search?q=<script>alert(1)</script>\""
            )],
        ),
        (
            "Sessions, roles, a second factor, CSRF and a guard at the log-in, for a shop that has none of them: in a browser",
            vec![
                format!("cp {folder}/protected.yaml {folder}/policy.yaml"),
                format!(
                    "xdg-open http://localhost:{}/account   # noa is a user, mia an admin",
                    stage.http.port()
                ),
            ],
        ),
        (
            "Change the policy (deny 127.0.0.0/8, say) and send again: no restart",
            vec![
                format!("${{EDITOR:-vi}} {folder}/policy.yaml"),
                format!("curl -s --unix-socket {folder}/admin.sock http://localhost/policy"),
            ],
        ),
    ]
}
