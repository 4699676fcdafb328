//! The check as CloudFormation asks for it, with a Secrets Manager and an address for the answer
//! that are reached over HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use deployment_check::{
    AnswerError, CheckAnswer, CheckClients, CheckRequest, CheckTimeouts, handle, way_back,
};
use serde_json::{Value, json};
use tollgate_local::template::Template;
use tollgate_tests::cloudformation::CloudFormation;

const ARN: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:tollgate-aBcDeF";
const SECRET: &str = r#"{"secret_key": "rk_test_hidden", "webhook_secrets": []}"#;

/// What an issuer publishes, with all its endpoints on its own origin.
const CONFIGURATION: &str = r#"{"issuer": "{issuer}", "jwks_uri": "{issuer}/keys", "more": [],
    "authorization_endpoint": "{issuer}/authorize", "token_endpoint": "{issuer}/token",
    "userinfo_endpoint": "{issuer}/userinfo"}"#;

/// The answers of Secrets Manager, in order. The last one repeats forever.
#[derive(Debug)]
struct Vault {
    answers: Vec<(u16, Value)>,
    asked: usize,
}

struct Deployment {
    cloudformation: CloudFormation,
    clients: CheckClients,
    vault: Arc<Mutex<Vault>>,
    issuer: String,
}

/// An issuer of tokens that publishes this about itself, `{issuer}` being its own address.
async fn issuer(status: u16, configuration: &str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}/pool", listener.local_addr().unwrap());
    let answer =
        (StatusCode::from_u16(status).unwrap(), configuration.replace("{issuer}", &issuer));
    let router =
        Router::new().route("/pool/.well-known/openid-configuration", get(|| async { answer }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    issuer
}

impl Deployment {
    async fn new(answers: Vec<(u16, Value)>) -> Deployment {
        let vault = Arc::new(Mutex::new(Vault { answers, asked: 0 }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(secret_value).with_state(Arc::clone(&vault));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let value_of = |variable| match variable {
            "AWS_ENDPOINT_URL" => Some(url.clone()),
            "AWS_REGION" => Some("us-east-1".to_owned()),
            _ => Some("local".to_owned()),
        };
        let patience = CheckTimeouts {
            pause: Duration::from_millis(1),
            attempts_max: 3,
            give_up_after: Duration::from_secs(10),
        };
        let clients = CheckClients {
            aws: tollgate::runtime::aws::read(value_of).unwrap(),
            way_back: way_back().unwrap(),
            patience,
        };
        let issuer = issuer(200, CONFIGURATION).await;
        Deployment { cloudformation: CloudFormation::new().await, clients, vault, issuer }
    }

    async fn with_secret(text: &str) -> Deployment {
        Deployment::new(vec![(200, json!({"ARN": ARN, "Name": "tollgate", "SecretString": text}))])
            .await
    }

    async fn asked(
        &self,
        to: &str,
        set: &[(&'static str, &str)],
    ) -> Result<CheckAnswer, AnswerError> {
        let request: CheckRequest =
            serde_json::from_value(self.cloudformation.request(to)).unwrap();
        let value_of = |variable: &'static str| {
            let set = set
                .iter()
                .find(|(name, _)| *name == variable)
                .map(|(_, value)| (*value).to_owned());
            set.or_else(|| match variable {
                "LEDGER_TABLE" | "ACCOUNTS_TABLE" => Some(variable.to_lowercase()),
                "STRIPE_SECRET_ARN" => Some(ARN.to_owned()),
                "TOKEN_ISSUER" => Some(self.issuer.clone()),
                _ => None,
            })
        };
        handle(&self.clients, value_of, &request).await
    }

    /// Status and reason of the only answer that CloudFormation got. It equals the returned one.
    async fn answer(&self, to: &str, set: &[(&'static str, &str)]) -> (String, String) {
        let returned = self.asked(to, set).await.unwrap();
        let answers = self.cloudformation.take();
        assert_eq!(answers, [serde_json::to_value(returned).unwrap()]);
        let text = |field: &str| answers[0][field].as_str().unwrap().to_owned();
        assert!(!answers[0].to_string().contains("hidden"), "{answers:?}");
        (text("Status"), text("Reason"))
    }

    fn reads(&self) -> usize {
        self.vault.lock().unwrap().asked
    }
}

async fn secret_value(State(vault): State<Arc<Mutex<Vault>>>) -> (StatusCode, String) {
    let mut vault = vault.lock().unwrap();
    let (status, body) = vault.answers[vault.asked.min(vault.answers.len() - 1)].clone();
    vault.asked += 1;
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

fn refused(kind: &str, message: &str) -> (u16, Value) {
    (400, json!({"__type": kind, "message": message}))
}

#[tokio::test]
async fn usable_parameters_are_deployed() {
    let world = Deployment::with_secret(SECRET).await;
    for to in ["Create", "Update"] {
        let request = world.cloudformation.request(to);
        world.asked(to, &[]).await.unwrap();
        let expected = json!({
            "Status": "SUCCESS",
            "Reason": "the functions can start with this",
            "PhysicalResourceId": "DeploymentCheck",
            "StackId": request["StackId"],
            "RequestId": request["RequestId"],
            "LogicalResourceId": "DeploymentCheck",
        });
        assert_eq!(world.cloudformation.take(), [expected], "{to}");
    }
    assert_eq!(world.reads(), 2, "the secret may have been replaced since the last deployment");
}

#[tokio::test]
async fn a_parameter_that_cannot_be_used_is_named() {
    let world = Deployment::with_secret(SECRET).await;
    for (set, variable) in [
        (("TOPUP_MIN", "1000.01"), "TOPUP_MIN"),
        (("TOPUP_MAX", "0.99"), "TOPUP_MIN"),
        // The template's pattern for it knows no length.
        (("TRIAL_EXCLUDES", &format!("vm,{}", "x".repeat(65))), "TRIAL_EXCLUDES"),
        (("STRIPE_TAX", "maybe"), "STRIPE_TAX"),
        (("LEDGER_TABLE", ""), "LEDGER_TABLE"),
        (("STRIPE_SECRET_ARN", " "), "STRIPE_SECRET_ARN"),
        (("TOKEN_ISSUER", "https://issuer_of.example"), "TOKEN_ISSUER"),
        (("PAGE_CONNECT", "https://a.example;script-src"), "PAGE_CONNECT"),
    ] {
        let (status, reason) = world.answer("Create", &[set]).await;
        assert_eq!(status, "FAILED", "{set:?}");
        assert!(reason.contains(variable), "{set:?}: {reason}");
    }
    assert_eq!(world.reads(), 0, "what is wrong without the secret is said without it");
    let (_, reason) = world.answer("Update", &[("TOPUP_MAX", "0.99")]).await;
    assert_eq!(
        reason,
        "the environment variable TOPUP_MIN cannot be used: must be at most TOPUP_MAX ($0.99)"
    );
}

/// A provider may give its scopes to every customer who signs in with the page's client.
#[tokio::test]
async fn page_client_among_staff_or_platform_fails_the_deployment() {
    let world = Deployment::with_secret(SECRET).await;
    for variable in ["STAFF_CLIENTS", "PLATFORM_CLIENTS"] {
        let set = [("PAGE_CLIENT_ID", "page"), (variable, "backend, page")];
        let (status, reason) = world.answer("Create", &set).await;
        assert_eq!(status, "FAILED", "{variable}");
        assert!(reason.contains(variable) && reason.contains("PAGE_CLIENT_ID"), "{reason}");
    }
    let set = [("PAGE_CLIENT_ID", "page"), ("STAFF_CLIENTS", "staff"), ("PLATFORM_CLIENTS", "run")];
    assert_eq!(world.answer("Create", &set).await.0, "SUCCESS");
}

/// Customers could sign in on it, or nobody could do anything there.
#[tokio::test]
async fn staff_page_without_its_own_issuer_and_scope_fails_the_deployment() {
    let world = Deployment::with_secret(SECRET).await;
    let client = ("STAFF_PAGE_CLIENT_ID", "desk");
    let listed = ("STAFF_CLIENTS", "staff, desk");
    for set in [vec![client, listed], vec![client, listed, ("STAFF_ISSUER", &world.issuer)]] {
        let (status, reason) = world.answer("Create", &set).await;
        assert_eq!(status, "FAILED");
        assert!(reason.contains("needs an issuer of its own"), "{reason}");
    }
    let own = r#"{"issuer": "{issuer}", "jwks_uri": "{issuer}/keys",
        "authorization_endpoint": "{issuer}/login", "token_endpoint": "{issuer}/token"}"#;
    let own = issuer(200, own).await;
    let with = |clients| [client, ("STAFF_CLIENTS", clients), ("STAFF_ISSUER", own.as_str())];
    let (status, reason) = world.answer("Create", &with("staff")).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("is not listed in STAFF_CLIENTS"), "{reason}");
    let (status, reason) = world.answer("Create", &with("staff, desk")).await;
    assert_eq!(status, "SUCCESS", "{reason}");
    // Nobody signs in at the customers' issuer by our page, so its endpoints do not matter.
    let elsewhere = r#"{"issuer": "{issuer}", "jwks_uri": "{issuer}/keys",
        "token_endpoint": "https://login.example/token"}"#;
    let customers = issuer(200, elsewhere).await;
    let set = [&with("staff, desk")[..], &[("TOKEN_ISSUER", customers.as_str())]].concat();
    let (status, reason) = world.answer("Create", &set).await;
    assert_eq!(status, "SUCCESS", "{reason}");
}

#[tokio::test]
async fn unusable_issuer_fails_the_deployment_before_tables_exist() {
    let world = Deployment::with_secret(SECRET).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let slashed = format!("{}/", world.issuer);
    let otherwise = "names the issuer";
    for (issuer, why) in [
        (issuer(404, "").await, "returned status 404"),
        (issuer(200, "<html>").await, "is not an OpenID configuration"),
        (issuer(200, r#"{"issuer": "{issuer}"}"#).await, "missing field `jwks_uri`"),
        (issuer(200, r#"{"issuer": "{issuer}", "jwks_uri": ""}"#).await, "has no jwks_uri"),
        // API Gateway compares it with a token's `iss` to the letter.
        (issuer(200, r#"{"issuer": "{issuer}/", "jwks_uri": "{issuer}/keys"}"#).await, otherwise),
        (slashed, otherwise),
        (format!("http://{nobody}"), "does not respond"),
    ] {
        let (status, reason) = world.answer("Create", &[("TOKEN_ISSUER", &issuer)]).await;
        assert_eq!(status, "FAILED", "{issuer}");
        assert!(reason.contains("TOKEN_ISSUER") && reason.contains(why), "{issuer}: {reason}");
        let (status, reason) = world.answer("Create", &[("STAFF_ISSUER", &issuer)]).await;
        assert_eq!(status, "FAILED", "{issuer}");
        assert!(reason.contains("STAFF_ISSUER") && reason.contains(why), "{issuer}: {reason}");
    }
    let staffs = issuer(200, r#"{"issuer": "{issuer}", "jwks_uri": "{issuer}/keys"}"#).await;
    assert_eq!(world.answer("Create", &[("STAFF_ISSUER", &staffs)]).await.0, "SUCCESS");
}

#[tokio::test]
async fn audience_of_customers_is_none_for_staff() {
    let world = Deployment::with_secret(SECRET).await;
    let shared = [("TOKEN_AUDIENCE", "tollgate, back-office"), ("STAFF_AUDIENCE", "back-office")];
    let (status, reason) = world.answer("Create", &shared).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("STAFF_AUDIENCE") && reason.contains("TOKEN_AUDIENCE"), "{reason}");
    let own = [("TOKEN_AUDIENCE", "tollgate"), ("STAFF_AUDIENCE", "back-office")];
    assert_eq!(world.answer("Create", &own).await.0, "SUCCESS");
    // With another issuer no customer gets a token for it.
    let staffs = issuer(200, r#"{"issuer": "{issuer}", "jwks_uri": "{issuer}/keys"}"#).await;
    let elsewhere = [shared[0], shared[1], ("STAFF_ISSUER", staffs.as_str())];
    assert_eq!(world.answer("Create", &elsewhere).await.0, "SUCCESS");
}

#[tokio::test]
async fn wrong_issuer_of_staff_is_found_although_the_other_is_away() {
    let world = Deployment::with_secret(SECRET).await;
    let (away, wrong) = (issuer(503, "").await, issuer(404, "").await);
    let set = [("TOKEN_ISSUER", away.as_str()), ("STAFF_ISSUER", wrong.as_str())];
    let (status, reason) = world.answer("Update", &set).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("STAFF_ISSUER"), "{reason}");
}

/// The page's content security policy would block the requests, and nobody could sign in.
#[tokio::test]
async fn endpoints_that_the_page_cannot_call_fail_the_deployment() {
    let world = Deployment::with_secret(SECRET).await;
    let without = |field: &str| CONFIGURATION.replace(&format!("\"{field}\""), "\"other\"");
    let elsewhere = |field: &str| {
        let at = format!("\"{field}\": \"");
        CONFIGURATION
            .replace(&format!("{at}{{issuer}}"), &format!("{at}https://login.example/pool"))
    };
    let both = elsewhere("token_endpoint")
        .replace("{issuer}/userinfo", "https://graph.example/oidc/userinfo");
    let page = ("PAGE_CLIENT_ID", "page");
    let connect = |origins| ("PAGE_CONNECT", origins);
    for (configuration, set, expected) in [
        (without("token_endpoint"), vec![page], Some("has no token_endpoint")),
        (without("authorization_endpoint"), vec![page], Some("has no authorization_endpoint")),
        (without("userinfo_endpoint"), vec![page], None),
        (without("token_endpoint"), vec![], None),
        (without("token_endpoint"), vec![page, ("SIGN_IN", "local")], None),
        (elsewhere("token_endpoint"), vec![], None),
        (elsewhere("token_endpoint"), vec![page], Some("token_endpoint https://login.example")),
        (
            elsewhere("token_endpoint"),
            vec![page, connect("https://login.example:8443")],
            Some("PAGE_CONNECT"),
        ),
        (elsewhere("token_endpoint"), vec![page, connect("https://login.example/oauth2")], None),
        (
            elsewhere("userinfo_endpoint"),
            vec![page],
            Some("userinfo_endpoint https://login.example"),
        ),
        (both.clone(), vec![page, connect("https://login.example")], Some("https://graph.example")),
        (both, vec![page, connect("https://graph.example https://login.example")], None),
    ] {
        let issuer = issuer(200, &configuration).await;
        let set = [set, vec![("TOKEN_ISSUER", issuer.as_str())]].concat();
        let (status, reason) = world.answer("Create", &set).await;
        match expected {
            None => assert_eq!(status, "SUCCESS", "{configuration} {set:?}: {reason}"),
            Some(why) => {
                assert_eq!(status, "FAILED", "{configuration} {set:?}");
                assert!(reason.contains("TOKEN_ISSUER") && reason.contains(why), "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn an_issuer_that_is_away_stops_a_first_deployment_and_no_other() {
    let world = Deployment::with_secret(SECRET).await;
    let away = issuer(503, "").await;
    let (status, reason) = world.answer("Create", &[("TOKEN_ISSUER", &away)]).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("TOKEN_ISSUER") && reason.contains("returned status 503"), "{reason}");
    assert_eq!(world.answer("Update", &[("TOKEN_ISSUER", &away)]).await.0, "SUCCESS");
    let none = issuer(404, "").await;
    assert_eq!(world.answer("Update", &[("TOKEN_ISSUER", &none)]).await.0, "FAILED");
}

#[tokio::test]
async fn test_cards_buy_no_credit_in_production() {
    let world = Deployment::with_secret(SECRET).await;
    let (status, reason) = world.answer("Create", &[("STAGE", "prod")]).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("STRIPE_SECRET_ARN") && reason.contains("STAGE"), "{reason}");
    let live = Deployment::with_secret(&SECRET.replace("test", "live")).await;
    assert_eq!(live.answer("Create", &[("STAGE", "prod")]).await.0, "SUCCESS");
    assert_eq!(live.answer("Create", &[("STAGE", "dev")]).await.0, "SUCCESS");
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named() {
    let missing =
        refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.");
    let world = Deployment::new(vec![missing]).await;
    let (status, reason) = world.answer("Create", &[]).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains(ARN) && reason.contains("can't find the specified secret"), "{reason}");
    assert_eq!(world.reads(), 3);
}

#[tokio::test]
async fn a_secret_that_holds_no_key_is_named_and_not_shown() {
    for (text, why) in [
        ("rk_test_hidden", "it is not JSON"),
        (r#"{"key": "rk_test_hidden"}"#, "it has no secret_key"),
        (r#"{"secret_key": "pk_test_hidden"}"#, "a secret key starts with sk_ or rk_"),
        (
            r#"{"secret_key": "rk_test_hidden", "webhook_secrets": "whsec_hidden"}"#,
            "webhook_secrets is not a list",
        ),
    ] {
        let world = Deployment::with_secret(text).await;
        let (status, reason) = world.answer("Create", &[]).await;
        assert_eq!(status, "FAILED", "{text}");
        assert!(reason.contains(ARN) && reason.contains(why), "{text}: {reason}");
        assert_eq!(world.reads(), 1, "trying again makes no other secret of it");
    }
}

#[tokio::test]
async fn a_role_that_not_all_of_aws_knows_yet_is_waited_for() {
    let denied = refused(
        "AccessDeniedException",
        "no identity-based policy allows secretsmanager:GetSecretValue",
    );
    let world =
        Deployment::new(vec![denied.clone(), denied, (200, json!({"SecretString": SECRET}))]).await;
    assert_eq!(world.answer("Create", &[]).await.0, "SUCCESS");
    assert_eq!(world.reads(), 3);
}

#[tokio::test]
async fn silent_secrets_manager_is_given_up_before_the_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut world = Deployment::with_secret(SECRET).await;
    let value_of = |variable| {
        Some(if variable == "AWS_ENDPOINT_URL" { url.clone() } else { "local".to_owned() })
    };
    world.clients.aws = tollgate::runtime::aws::read(value_of).unwrap();
    world.clients.patience.give_up_after = Duration::from_millis(200);
    let (status, reason) = world.answer("Create", &[]).await;
    assert_eq!(status, "FAILED");
    assert!(reason.contains("STRIPE_SECRET_ARN") && reason.contains("200ms"), "{reason}");
}

#[tokio::test]
async fn a_stack_is_removed_whatever_its_parameters_are() {
    let world = Deployment::new(vec![refused("ResourceNotFoundException", "")]).await;
    let (status, _) =
        world.answer("Delete", &[("TOPUP_MIN", "lots"), ("STRIPE_SECRET_ARN", "")]).await;
    assert_eq!((status.as_str(), world.reads()), ("SUCCESS", 0));
}

#[tokio::test]
async fn an_answer_names_the_resource_as_it_was_named_before() {
    let world = Deployment::with_secret(SECRET).await;
    let mut request = world.cloudformation.request("Delete");
    request["PhysicalResourceId"] = json!("made-up-by-cloudformation-when-create-timed-out");
    let request: CheckRequest = serde_json::from_value(request).unwrap();
    let answer = handle(&world.clients, |_| None, &request).await.unwrap();
    assert_eq!(answer.physical_resource_id, "made-up-by-cloudformation-when-create-timed-out");
}

#[tokio::test]
async fn an_answer_that_is_not_taken_is_put_once_more() {
    let world = Deployment::with_secret(SECRET).await;
    world.cloudformation.refuse(1);
    assert_eq!(world.answer("Create", &[]).await.0, "SUCCESS");
    world.cloudformation.refuse(2);
    let failure = world.asked("Create", &[]).await.unwrap_err().to_string();
    assert!(failure.contains("status 503") && !failure.contains("http"), "{failure}");
    assert_eq!(world.cloudformation.take(), [] as [Value; 0]);
}

#[tokio::test]
async fn long_answer_is_cut_to_what_cloudformation_takes() {
    let world = Deployment::with_secret(SECRET).await;
    let far_too_much = "\u{1f4b8}".repeat(5_000);
    let (status, reason) = world.answer("Create", &[("STRIPE_TAX", &far_too_much)]).await;
    assert_eq!(status, "FAILED");
    assert!(
        reason.starts_with("the environment variable STRIPE_TAX") && reason.len() < 3_000,
        "{}",
        reason.len()
    );
}

#[tokio::test]
async fn foreign_request_is_an_error() {
    let whole = CloudFormation::new().await.request("Update");
    assert!(serde_json::from_value::<CheckRequest>(whole.clone()).is_ok());
    for field in ["RequestType", "ResponseURL", "StackId", "RequestId", "LogicalResourceId"] {
        let mut request = whole.clone();
        request.as_object_mut().unwrap().remove(field);
        assert!(serde_json::from_value::<CheckRequest>(request).is_err(), "without {field}");
    }
    let mut unknown = whole.clone();
    unknown["RequestType"] = json!("Import");
    assert!(serde_json::from_value::<CheckRequest>(unknown).is_err());
    let request: CheckRequest = serde_json::from_value(whole).unwrap();
    assert!(!format!("{request:?}").contains("Signature"), "whoever has the address can answer");
}

/// A parameter that is a variable of the functions, and no property of the check, could be changed
/// without being checked.
#[test]
fn changing_any_parameter_reruns_the_check() {
    let template = Template::of_this_repository().unwrap();
    let document = template.document();
    let parameters = document["Parameters"].as_object().unwrap();
    let referred = |values: &Value| -> BTreeSet<String> {
        let names = values.as_object().unwrap().values().filter_map(|value| value["Ref"].as_str());
        names.filter(|name| parameters.contains_key(*name)).map(str::to_owned).collect()
    };
    let globals = &document["Globals"]["Function"]["Environment"]["Variables"];
    let own =
        &document["Resources"]["DeploymentCheckFunction"]["Properties"]["Environment"]["Variables"];
    let read: BTreeSet<String> = referred(globals).union(&referred(own)).cloned().collect();
    assert!(read.contains("TopupMin") && read.contains("StripeSecretArn"), "{read:?}");
    assert_eq!(referred(&document["Resources"]["DeploymentCheck"]["Properties"]), read);
}
