//! The HTTP API answers as API Gateway does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::world::{bearer, cloud, get, got, send};

#[tokio::test]
async fn a_function_gets_a_request_in_payload_format_2() {
    let cloud = cloud().await;
    let token = bearer(&cloud, "acme", "a b", &json!({"groups": ["x", "y"], "level": 3}));
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("x-many", "1"),
        ("x-many", "2"),
        ("cookie", "a=1; b=2"),
        ("user-agent", "test"),
    ];
    let answer =
        send(&cloud, "POST", "/v1/things/a%20b?x=1&x=2&y=%26&z", &headers, "{\"k\":1}").await;
    assert_eq!(answer.status, 200);
    let event = answer.json();

    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "ANY /v1/things/{thing}");
    assert_eq!(event["rawPath"], "/v1/things/a%20b");
    assert_eq!(event["rawQueryString"], "x=1&x=2&y=%26&z");
    assert_eq!(event["queryStringParameters"], json!({"x": "1,2", "y": "&", "z": ""}));
    assert_eq!(event["pathParameters"], json!({"thing": "a b"}));
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["headers"]["x-many"], "1,2");
    assert_eq!(event["headers"]["cookie"], Value::Null);
    assert_eq!(event["headers"]["content-length"], "7");
    assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{\"k\":1}"), &json!(false)));
    let context = &event["requestContext"];
    assert_eq!(context["http"]["method"], "POST");
    assert_eq!(context["http"]["userAgent"], "test");
    assert_eq!(context["stage"], "$default");
    assert_eq!(context["time"], "01/Nov/2026:12:10:00 +0000");
    assert_eq!(context["timeEpoch"], 1_793_535_000_000_u64);
    assert_eq!(context["requestId"], answer.header("apigw-requestid"));
    let jwt = &context["authorizer"]["jwt"];
    assert_eq!(jwt["claims"]["sub"], "acme");
    assert_eq!(jwt["claims"]["email"], "acme@example.test");
    assert_eq!(jwt["claims"]["groups"], "[x y]");
    assert_eq!(jwt["claims"]["level"], "3");
    assert_eq!(jwt["scopes"], Value::Null);
}

#[tokio::test]
async fn what_is_not_there_is_not_in_the_event() {
    let cloud = cloud().await;
    let event = get(&cloud, "/answers/event").await.json();
    for absent in ["body", "cookies", "queryStringParameters", "stageVariables"] {
        assert!(event.get(absent).is_none(), "{absent}");
    }
    assert!(event["requestContext"].get("authorizer").is_none());
    assert_eq!(event["rawQueryString"], "");
}

#[tokio::test]
async fn forms_and_bytes_come_in_base64() {
    let cloud = cloud().await;
    let token = bearer(&cloud, "acme", "", &json!({}));
    let body = async |content_type: &str, body: &'static [u8]| {
        let headers = [("authorization", token.as_str()), ("content-type", content_type)];
        let event = send(&cloud, "POST", "/v1/things/1", &headers, body).await.json();
        (event["body"].clone(), event["isBase64Encoded"].clone())
    };
    assert_eq!(
        body("application/x-www-form-urlencoded", b"a=1").await,
        (json!("YT0x"), json!(true))
    );
    assert_eq!(body("application/json", b"\xff\x00").await, (json!("/wA="), json!(true)));
    assert_eq!(
        body("application/problem+json; charset=utf-8", b"{}").await,
        (json!("{}"), json!(false))
    );
}

#[tokio::test]
async fn an_answer_is_what_the_function_says_or_what_it_is_taken_for() {
    let cloud = cloud().await;
    let full = get(&cloud, "/answers/full").await;
    assert_eq!((full.status, full.body.as_slice()), (201, [0, 255].as_slice()));
    assert_eq!((full.header("content-type"), full.header("x-a")), ("text/css", "b"));
    let cookies: Vec<_> = full.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    // CORS is the API's affair, not the function's.
    assert_eq!(full.header("access-control-allow-origin"), "");

    let inferred = get(&cloud, "/answers/inferred").await;
    assert_eq!((inferred.status, inferred.json()), (200, json!({"a": 1})));
    assert_eq!(inferred.header("content-type"), "application/json");
    assert_eq!(get(&cloud, "/answers/text").await.body, b"text");

    for broken in ["/answers/broken", "/answers/exit"] {
        let answer = get(&cloud, broken).await;
        assert_eq!(
            (answer.status, answer.json()),
            (500, json!({"message": "Internal Server Error"}))
        );
    }
}

#[tokio::test]
async fn a_token_is_checked_before_a_function_is_asked() {
    let cloud = cloud().await;
    let good = bearer(&cloud, "acme", "", &json!({}));
    let (head, _) = good.rsplit_once('.').unwrap();
    // Every local cloud has the same key unless it was given one.
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"other","typ":"JWT"}"#);
    let (_, rest) = good.split_once('.').unwrap();
    let cases = [
        ("", "Bearer"),
        ("Basic YTpi", "not a JWT"),
        ("Bearer abc", "not a JWT"),
        (&format!("{head}.AAAA"), "signature"),
        (&format!("Bearer {header}.{rest}"), "unknown key"),
        (&bearer(&cloud, "acme", "", &json!({"iss": "https://other.example.test"})), "issuer"),
        (&bearer(&cloud, "acme", "", &json!({"aud": "other"})), "audience"),
        (&bearer(&cloud, "acme", "", &json!({"aud": null, "client_id": "other"})), "audience"),
        (&bearer(&cloud, "acme", "", &json!({"exp": 1_793_535_000})), "expired"),
        (&bearer(&cloud, "acme", "", &json!({"nbf": 1_793_535_001})), "not valid yet"),
    ];
    for (token, reason) in cases {
        let headers = [("authorization", token)];
        let answer =
            send(&cloud, "GET", "/v1/things/1", if token.is_empty() { &[] } else { &headers }, "")
                .await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, json!({"message": "Unauthorized"})),
            "{token}"
        );
        assert!(answer.header("www-authenticate").contains(reason), "{reason}: {answer:?}");
    }
    assert!(got(&cloud, "web").is_empty());

    for token in [good.as_str(), good.strip_prefix("Bearer ").unwrap()] {
        assert_eq!(
            send(&cloud, "GET", "/v1/things/1", &[("authorization", token)], "").await.status,
            200
        );
    }
}

#[tokio::test]
async fn token_expires_by_the_clock_of_the_cloud() {
    let cloud = cloud().await;
    let short = bearer(&cloud, "acme", "", &json!({"exp": 1_793_535_060}));
    let long = bearer(&cloud, "acme", "", &json!({}));
    let status = async |token: &str| {
        send(&cloud, "GET", "/v1/things/1", &[("authorization", token)], "").await.status
    };
    assert_eq!((status(&short).await, status(&long).await), (200, 200));
    cloud.advance(std::time::Duration::from_secs(60)).await;
    assert_eq!((status(&short).await, status(&long).await), (401, 200));
}

#[tokio::test]
async fn a_route_with_scopes_wants_one_of_them() {
    let cloud = cloud().await;
    let status = async |scope: &str| {
        let token = bearer(&cloud, "acme", scope, &json!({}));
        send(&cloud, "GET", "/v1/admin", &[("authorization", token.as_str())], "").await
    };
    let refused = status("tollgate/platform").await;
    assert_eq!((refused.status, refused.json()), (403, json!({"message": "Forbidden"})));
    assert!(refused.header("www-authenticate").contains("insufficient_scope"));
    let admitted = status("openid tollgate/admin").await;
    assert_eq!(admitted.status, 200);
    assert_eq!(
        admitted.json()["requestContext"]["authorizer"]["jwt"]["scopes"],
        json!(["openid", "tollgate/admin"])
    );
}

#[tokio::test]
async fn the_issuers_keys_and_configuration_are_served() {
    let cloud = cloud().await;
    let key = get(&cloud, "/local/jwks.json").await.json()["keys"][0].clone();
    assert_eq!((&key["kty"], &key["alg"]), (&json!("RSA"), &json!("RS256")));
    assert_eq!(key["n"].as_str().unwrap().len(), 342);
    let configuration = get(&cloud, "/local/.well-known/openid-configuration").await.json();
    assert_eq!(configuration["issuer"], "https://issuer.example.test");
    assert_eq!(configuration["jwks_uri"], format!("{}/local/jwks.json", cloud.urls().api));
}

#[tokio::test]
async fn unknown_route_is_not_found_and_large_body_is_refused() {
    let cloud = cloud().await;
    for (method, path) in
        [("GET", "/"), ("GET", "/v1/things"), ("POST", "/answers/text"), ("GET", "/v1/things/1/2")]
    {
        let answer = send(&cloud, method, path, &[], "").await;
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({"message": "Not Found"})),
            "{method} {path}"
        );
    }
    let token = bearer(&cloud, "acme", "", &json!({}));
    for size in [11 * 1024 * 1024, 7 * 1024 * 1024] {
        let answer = send(
            &cloud,
            "POST",
            "/v1/things/1",
            &[("authorization", token.as_str())],
            vec![b'x'; size],
        )
        .await;
        assert_eq!(
            (answer.status, answer.json()),
            (413, json!({"message": "Request Entity Too Large"})),
            "{size}"
        );
    }
}

#[tokio::test]
async fn a_route_takes_no_more_than_its_throttling_says() {
    let cloud = cloud().await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(get(&cloud, "/limited").await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[tokio::test]
async fn browsers_on_another_origin_are_told_what_they_may() {
    let cloud = cloud().await;
    let preflight = async |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        send(&cloud, "OPTIONS", "/v1/things/1", &headers, "").await
    };
    let allowed = preflight("https://page.example.test").await;
    assert_eq!((allowed.status, allowed.body.len()), (204, 0));
    assert_eq!(allowed.header("access-control-allow-origin"), "https://page.example.test");
    assert_eq!(allowed.header("access-control-allow-methods"), "GET,POST");
    assert_eq!(allowed.header("access-control-max-age"), "600");
    let refused = preflight("https://other.example.test").await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (204, ""));

    let answer =
        send(&cloud, "GET", "/answers/text", &[("origin", "https://page.example.test")], "").await;
    assert_eq!(answer.header("access-control-allow-origin"), "https://page.example.test");
}
