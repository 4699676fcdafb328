//! The page as a browser gets it: by events of API Gateway.

use std::io::Read as _;

use console::{ConsoleSettings, PageSettingsError, handle};
use lambda_http::request::from_str;
use lambda_http::{Body, Response};
use serde_json::{Value, json};

/// The whole page, compressed (issue: "under 150 KB in all").
const BYTES_MAX: usize = 150_000;

fn console(set: &[(&'static str, &str)]) -> Result<ConsoleSettings, PageSettingsError> {
    ConsoleSettings::read(|variable| {
        set.iter().find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
    })
}

fn oidc() -> ConsoleSettings {
    console(&[("TOKEN_ISSUER", "https://issuer.example/tenant"), ("PAGE_CLIENT_ID", "page")])
        .unwrap()
}

fn get(console: &ConsoleSettings, path: &str, headers: &Value) -> Response<Body> {
    let event = json!({
        "version": "2.0", "routeKey": format!("GET {path}"), "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": {"http": {"method": "GET", "path": path}, "stage": "$default", "timeEpoch": 1_795_341_600_000_i64},
        "isBase64Encoded": false,
    });
    handle(console, &from_str(&event.to_string()).unwrap())
}

fn text(response: &Response<Body>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

/// Every file that the page can load: those it links to, and their imports.
fn files(console: &ConsoleSettings) -> Vec<(String, Vec<u8>)> {
    let page = text(&get(console, "/", &json!({})));
    let links =
        page.split("\"assets/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let (mut open, mut found): (Vec<String>, Vec<(String, Vec<u8>)>) =
        (links.collect(), Vec::new());
    while let Some(name) = open.pop() {
        if found.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let response = get(console, &format!("/assets/{name}"), &json!({}));
        assert_eq!(response.status(), 200, "{name}");
        if name.ends_with(".js") {
            let directory = name.rsplit_once('/').unwrap().0.to_owned();
            for quoted in text(&response)
                .split("'")
                .filter(|part| part.starts_with("./") || part.starts_with("../"))
            {
                let joined = format!("{directory}/{quoted}");
                let mut parts: Vec<&str> = Vec::new();
                for part in joined.split('/').filter(|part| *part != ".") {
                    if part == ".." {
                        parts.pop();
                    } else {
                        parts.push(part);
                    }
                }
                open.push(parts.join("/"));
            }
        }
        let gzip =
            get(console, &format!("/assets/{name}"), &json!({"accept-encoding": "br, gzip"}));
        assert_eq!(gzip.headers()["content-encoding"], "gzip");
        found.push((name, gzip.body().to_vec()));
    }
    found
}

#[test]
fn every_file_that_the_page_loads_is_there_and_all_are_small() {
    let console = oidc();
    let files = files(&console);
    assert!(files.len() > 10, "{}", files.len());
    let page = get(&console, "/", &json!({"accept-encoding": "gzip"})).body().len();
    let all = page + files.iter().map(|(_, content)| content.len()).sum::<usize>();
    assert!(all < BYTES_MAX, "{all} bytes");
}

#[test]
fn files_are_kept_for_good_and_the_page_is_asked_for() {
    let console = oidc();
    let page = get(&console, "/", &json!({}));
    assert_eq!(
        (page.status().as_u16(), &page.headers()["cache-control"]),
        (200, &"no-cache".parse().unwrap())
    );
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let tag = page.headers()["etag"].to_str().unwrap();
    assert_eq!(get(&console, "/", &json!({"if-none-match": tag})).status(), 304);
    let (name, compressed) =
        files(&console).into_iter().find(|(name, _)| name.ends_with("/app.js")).unwrap();
    let plain = get(&console, &format!("/assets/{name}"), &json!({"accept-encoding": "gzip;q=0"}));
    assert!(plain.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body().to_vec());
    for missing in [
        "/assets/app.js",
        "/assets/0000000000000000/app.js",
        "/assets/../Cargo.toml",
        "/nothing",
        "/v1/nothing",
    ] {
        assert_eq!(get(&console, missing, &json!({})).status(), 404, "{missing}");
    }
}

#[test]
fn content_security_policy_allows_own_files_only() {
    let policy = |console: &ConsoleSettings| {
        get(console, "/", &json!({})).headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert!(policy(&oidc()).contains("connect-src 'self' https://issuer.example;"));
    let elsewhere = [
        ("TOKEN_ISSUER", "https://issuer.example/tenant"),
        ("PAGE_CLIENT_ID", "page"),
        ("PAGE_CONNECT", "https://tokens.example/oauth https://other.example"),
    ];
    let allowed = policy(&console(&elsewhere).unwrap());
    assert!(allowed.contains(
        "connect-src 'self' https://issuer.example https://tokens.example https://other.example;"
    ));
    assert!(policy(&console(&[("SIGN_IN", "local")]).unwrap()).contains("connect-src 'self';"));
    let page = text(&get(&oidc(), "/", &json!({})));
    for inline in
        ["<style", " style=", "onclick=", "<script>", "javascript:", "http://", "https://"]
    {
        assert!(!page.contains(inline), "{inline}");
    }
}

#[test]
fn page_gets_sign_in_settings_and_bad_ones_are_named() {
    let shown = get(&oidc(), "/config.json", &json!({}));
    let expected = json!({
        "mode": "oidc", "issuer": "https://issuer.example/tenant", "client_id": "page", "scopes": "openid email", "currency": "usd",
        "topup": {"min": "1.00", "max": "1000.00"}, "refill": {"min": "1.00", "max": "1000.00"}, "refill_preselected": true,
        "restore_seconds": 1_209_600,
    });
    assert_eq!(serde_json::from_str::<Value>(&text(&shown)).unwrap(), expected);
    assert_eq!(console(&[]).unwrap_err(), PageSettingsError::Missing("TOKEN_ISSUER"));
    for issuer in ["issuer", "ftp://x", "https://x; script-src *", "https://"] {
        let error = console(&[("TOKEN_ISSUER", issuer), ("PAGE_CLIENT_ID", "page")]).unwrap_err();
        assert!(
            matches!(error, PageSettingsError::Unusable { variable: "TOKEN_ISSUER", .. }),
            "{issuer}: {error}"
        );
    }
    assert!(console(&[("SIGN_IN", "yes")]).is_err());
}

#[test]
fn page_gets_the_limits_of_the_operators_parameters() {
    let set = [("SIGN_IN", "local"), ("TOPUP_MIN", "10"), ("TOPUP_MAX", "250.50")];
    let shown = text(&get(&console(&set).unwrap(), "/config.json", &json!({})));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["topup"], json!({"min": "10", "max": "250.50"}));
    let set = [("SIGN_IN", "local"), ("REFILL_CONSENT", "unselected")];
    let shown = text(&get(&console(&set).unwrap(), "/config.json", &json!({})));
    assert!(shown.contains(r#""refill_preselected":false"#), "{shown}");
    for (variable, value) in [
        ("TOPUP_MIN", "five"),
        ("TOPUP_MAX", "1e3"),
        ("REFILL_MIN", "1.005"),
        ("REFILL_MAX", "-1"),
        ("RESTORE_SECONDS", "two weeks"),
        ("REFILL_CONSENT", "yes"),
    ] {
        let error = console(&[("SIGN_IN", "local"), (variable, value)]).unwrap_err();
        assert!(error.to_string().contains(variable), "{error}");
    }
}

#[test]
fn the_api_is_described_also_where_there_is_no_page() {
    let console = console(&[("TOKEN_ISSUER", "https://issuer.example")]).unwrap();
    for none in ["/", "/config.json", "/assets/app.js"] {
        assert_eq!(get(&console, none, &json!({})).status(), 404, "{none}");
    }
    let described = get(&console, "/v1/openapi.json", &json!({}));
    assert_eq!(described.headers()["content-type"], "application/json");
    let described: Value = serde_json::from_str(&text(&described)).unwrap();
    assert_eq!(
        (&described["openapi"], &described["info"]["title"]),
        (&json!("3.1.0"), &json!("Tollgate"))
    );
}

#[test]
fn staff_page_needs_a_client_of_its_own() {
    let set = [("TOKEN_ISSUER", "https://issuer.example"), ("PAGE_CLIENT_ID", "page")];
    for path in ["/staff", "/staff/config.json"] {
        assert_eq!(get(&console(&set).unwrap(), path, &json!({})).status(), 404, "{path}");
    }
    let mut with = set.to_vec();
    with.extend([
        ("STAFF_PAGE_CLIENT_ID", "staff"),
        ("STAFF_ISSUER", "https://staff.example/tenant"),
        ("STAFF_AUDIENCE", "tollgate-staff"),
    ]);
    let console = console(&with).unwrap();
    let shown: Value =
        serde_json::from_str(&text(&get(&console, "/staff/config.json", &json!({})))).unwrap();
    let expected = json!({
        "mode": "oidc", "issuer": "https://staff.example/tenant", "client_id": "staff",
        "scopes": "openid email tollgate/admin", "audience": "tollgate-staff",
    });
    assert_eq!(shown, expected);
    let page = get(&console, "/staff", &json!({}));
    assert!(text(&page).contains("<title>Staff</title>"));
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("connect-src 'self' https://issuer.example https://staff.example;"),
        "{policy}"
    );
    let customers = text(&get(&console, "/config.json", &json!({})));
    assert!(!customers.contains("staff"), "{customers}");
}
