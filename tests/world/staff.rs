//! Staff with an issuer and an audience of their own (`StaffIssuer`, `StaffAudience`).

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_local::control::TokenRequest;
use tollgate_local::template::{Resolver, Template};

use crate::support::{ADMIN, Processes, START, World};

const PRICES: &str = "/v1/admin/prices";
const ISSUER: &str = "https://staff.example";
const AUDIENCE: &str = "back-office";

#[tokio::test]
async fn only_tokens_for_staff_reach_staffs_routes() {
    let parameters = [("StaffIssuer", ISSUER), ("StaffAudience", AUDIENCE)];
    // The operator sets prices in it.
    let world = World::with(START, Processes::One, &parameters).await;
    let of_customers = world.api.get("/local/.well-known/openid-configuration").await.unwrap();
    let customers = of_customers.json()["issuer"].as_str().unwrap().to_owned();
    assert_ne!(customers, ISSUER);

    let status = async |claims: Value, path: &str| {
        let request = TokenRequest {
            account: "someone".to_owned(),
            scope: Some(ADMIN.to_owned()),
            claims: claims.as_object().unwrap().clone(),
            ..TokenRequest::default()
        };
        let api = world.api.with_token(world.cloud.token(&request).unwrap());
        api.get(path).await.unwrap().status
    };
    assert_eq!(status(json!({}), PRICES).await, 200);
    for wrong in [
        json!({"iss": customers}),
        json!({"aud": "tollgate"}),
        json!({"iss": customers, "aud": "tollgate"}),
    ] {
        assert_eq!(status(wrong.clone(), PRICES).await, 401, "{wrong}");
    }
    // Nor is staff's token a customer's.
    assert_eq!(status(json!({}), "/v1/account").await, 401);
    assert_eq!(status(json!({"iss": customers, "aud": "tollgate"}), "/v1/account").await, 200);
}

#[tokio::test]
async fn either_of_the_two_is_enough() {
    for (parameter, value, claim, of_customers) in
        [("StaffIssuer", ISSUER, "iss", None), ("StaffAudience", AUDIENCE, "aud", Some("tollgate"))]
    {
        let world = World::with(START, Processes::One, &[(parameter, value)]).await;
        let path = "/local/.well-known/openid-configuration";
        let configuration = world.api.get(path).await.unwrap().json();
        let of_customers = of_customers.map_or(configuration["issuer"].clone(), Value::from);
        let claims = json!({claim: of_customers}).as_object().unwrap().clone();
        let (account, scope) = ("someone".to_owned(), Some(ADMIN.to_owned()));
        let request = TokenRequest { account, scope, claims, ..TokenRequest::default() };
        let api = world.api.with_token(world.cloud.token(&request).unwrap());
        assert_eq!(api.get(PRICES).await.unwrap().status, 401, "{parameter}");
        assert_eq!(api.get("/v1/account").await.unwrap().status, 200, "{parameter}");
    }
}

#[test]
fn every_route_of_staff_asks_for_a_token_for_staff() {
    let template = Template::of_this_repository().unwrap();
    let resolver = Resolver::new(&template, BTreeMap::new());
    let mut routes = 0;
    for (name, function) in resolver.resources("AWS::Serverless::Function") {
        for (event, route) in function["Events"].as_object().into_iter().flatten() {
            let properties = &route["Properties"];
            let is_staffs =
                properties["Path"].as_str().is_some_and(|path| path.starts_with("/v1/admin"));
            let authorizer = properties["Auth"]["Authorizer"].as_str();
            assert_eq!(is_staffs, authorizer == Some("Staff"), "{name} {event}");
            routes += usize::from(is_staffs);
        }
    }
    assert!(routes > 10, "{routes}");
}
