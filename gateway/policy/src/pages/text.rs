//! Every word on the gateway's own pages. One table per language, each in a file of its own; a word that a table lacks does
//! not compile. `{n}`, `{digits}`, `{date}`, `{minutes}`, `{user}` and `{header}` stand for what is filled in.

mod de;
mod en;
mod ja;
mod ko;
mod zh_hans;
mod zh_hant;

pub(crate) use de::TEXT as GERMAN;
pub(crate) use en::TEXT as ENGLISH;
pub(crate) use ja::TEXT as JAPANESE;
pub(crate) use ko::TEXT as KOREAN;
pub(crate) use zh_hans::TEXT as CHINESE_SIMPLIFIED;
pub(crate) use zh_hant::TEXT as CHINESE_TRADITIONAL;

macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// One language.
        #[derive(Debug)]
        pub(crate) struct Text { $($(#[doc = $doc])* pub(crate) $name: &'static str,)* }

        #[cfg(test)]
        impl Text {
            /// Every word with its name.
            pub(crate) fn all(&self) -> Vec<(&'static str, &'static str)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

words! {
    /// Language tag (BCP 47).
    tag,
    /// Before the title of a page that says what went wrong.
    problem,
    back,
    go_on,
    /// A form that was not sent from a page of this session.
    stale,

    verify_title,
    verify_app,
    verify_other,
    code,
    code_hint,
    backup_open,
    backup_code,
    backup_hint,
    wrong,
    locked,

    key_use,
    key_lead,
    key_wait,
    key_failed,
    key_script,

    enrol_title,
    enrol_lead,
    enrol_scan,
    enrol_type,
    enrol_confirm,
    enrol_time,
    enrol_late,
    enrol_done,
    enrol_key,
    qr,

    codes_title,
    codes_lead,
    codes_kept,

    home_title,
    home_lead,
    app,
    app_since,
    app_none,
    app_set,
    app_again,
    keys,
    keys_none,
    key_add,
    key_title,
    key_add_lead,
    key_name,
    key_remove,
    key_done,
    backup_codes,
    backup_left,
    backup_new,
    backup_new_hint,
    off,
    off_title,
    off_lead,
    off_required,
    off_done,

    login_title,
    login_stale,
    login_refused,
    login_unavailable,
    login_full,
    login_again,
    login_done,
    logout_title,
    logout_lead,
    logout_done,

    sessions_title,
    session_here,
    session_address,
    session_since,
    session_seen,
    session_end,
    sessions_end_others,
    sessions_end_all,
    /// Of a client that sent no User-Agent.
    session_nameless,

    emergency_title,
    emergency_token,
    emergency_use,
    emergency_recorded,
    emergency_header,
    emergency_unknown,

    refused_malformed,
    refused_login,
    refused_denied,
    refused_nothing,
    refused_large,
    refused_tries,
    refused_often,
    refused_slow,
    refused_busy,
    refused_upstream,
    refused_later,
    refused_hint,
    refused_status,
    refused_reason,
    refused_request,
}

/// A number in its place.
pub(crate) fn filled(text: &str, place: &str, value: &str) -> String {
    text.replace(place, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&Text; 6] = [
        &ENGLISH,
        &GERMAN,
        &JAPANESE,
        &KOREAN,
        &CHINESE_SIMPLIFIED,
        &CHINESE_TRADITIONAL,
    ];

    /// The places in braces, in order of their names.
    fn places(text: &str) -> Vec<&str> {
        let mut places: Vec<_> = text
            .split('{')
            .skip(1)
            .filter_map(|part| part.split('}').next())
            .collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn every_language_says_everything_and_fills_in_the_same() {
        for text in ALL {
            for ((name, word), (_, english)) in text.all().into_iter().zip(ENGLISH.all()) {
                assert!(
                    !word.is_empty() && word.trim() == word,
                    "{} {name}",
                    text.tag
                );
                assert_eq!(places(word), places(english), "{} {name}", text.tag);
                let copied = word == english && text.tag != "en";
                assert!(!copied || name == "code", "{} {name} is English", text.tag);
            }
        }
    }
}
