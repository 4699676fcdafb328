//! Reads the HTTP API and its routes: `AWS::Serverless::HttpApi`, and `HttpApi` triggers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::template::document::TemplateError;
use crate::template::http_api::{Cors, HttpApi, JwtAuthorizer, Route, RouteAuthorizer, Throttling};
use crate::template::reading::properties::Properties;
use crate::template::resolve::Resolver;
use crate::template::wiring::Wiring;

/// The integration's time-out, which cannot be longer
/// (docs.aws.amazon.com/apigateway, "Quotas for configuring and running an HTTP API").
const TIMEOUT_MS: u64 = 30_000;

pub(super) fn read(resolver: &Resolver<'_>, wiring: &mut Wiring) -> Result<(), TemplateError> {
    for (logical_id, properties) in resolver.resources("AWS::Serverless::HttpApi") {
        if wiring.api.is_some() {
            return Err(TemplateError(format!(
                "{logical_id}: the local cloud has one HTTP API, and it has another"
            )));
        }
        wiring.api = Some(http_api(&Properties::of(&logical_id, &properties))?);
    }
    Ok(())
}

fn http_api(properties: &Properties<'_>) -> Result<HttpApi, TemplateError> {
    properties.only(&[
        "AccessLogSettings",
        "Auth",
        "CorsConfiguration",
        "DefaultRouteSettings",
        "Description",
        "Domain",
        "FailOnWarnings",
        "Name",
        "PropagateTags",
        "RouteSettings",
        "StageName",
        "Tags",
    ])?;
    if properties.optional_text("StageName")?.is_some_and(|stage| stage != "$default") {
        return Err(properties.wrong("StageName", "$default, the only stage of the local cloud"));
    }
    let auth = properties.part("Auth");
    auth.only(&["Authorizers", "DefaultAuthorizer"])?;
    let mut authorizers = BTreeMap::new();
    for (name, authorizer) in auth.part("Authorizers").all() {
        let authorizer = Properties::of(&format!("{}.{name}", auth.owner()), authorizer);
        authorizers.insert(name.clone(), jwt_authorizer(&authorizer)?);
    }
    let mut route_throttling = BTreeMap::new();
    for (route, _) in properties.part("RouteSettings").all() {
        route_throttling
            .insert(route.clone(), throttling(&properties.part("RouteSettings").part(route))?);
    }
    Ok(HttpApi {
        authorizers,
        default_authorizer: auth.optional_text("DefaultAuthorizer")?.map(str::to_owned),
        cors: cors(properties)?,
        throttling: throttling(&properties.part("DefaultRouteSettings"))?,
        route_throttling,
        routes: Vec::new(),
    })
}

fn jwt_authorizer(properties: &Properties<'_>) -> Result<JwtAuthorizer, TemplateError> {
    properties.only(&["AuthorizationScopes", "IdentitySource", "JwtConfiguration"])?;
    if properties
        .optional_text("IdentitySource")?
        .is_some_and(|source| source != "$request.header.Authorization")
    {
        return Err(properties.wrong("IdentitySource", "$request.header.Authorization"));
    }
    let jwt = properties.part("JwtConfiguration");
    jwt.only(&["issuer", "audience"])?;
    Ok(JwtAuthorizer {
        issuer: jwt.text("issuer")?.to_owned(),
        audience: jwt.texts("audience"),
        scopes: properties.texts("AuthorizationScopes"),
    })
}

fn throttling(properties: &Properties<'_>) -> Result<Throttling, TemplateError> {
    Ok(Throttling {
        rate: properties.optional_count("ThrottlingRateLimit")?,
        burst: properties.optional_count("ThrottlingBurstLimit")?,
    })
}

fn cors(properties: &Properties<'_>) -> Result<Option<Cors>, TemplateError> {
    let Some(value) = properties.optional("CorsConfiguration") else { return Ok(None) };
    if let Some(every) = value.as_bool() {
        let all = || vec!["*".to_owned()];
        return Ok(every.then(|| Cors {
            origins: all(),
            methods: all(),
            headers: all(),
            ..Cors::default()
        }));
    }
    let cors = properties.part("CorsConfiguration");
    cors.only(&[
        "AllowCredentials",
        "AllowHeaders",
        "AllowMethods",
        "AllowOrigins",
        "ExposeHeaders",
        "MaxAge",
    ])?;
    Ok(Some(Cors {
        origins: cors.texts("AllowOrigins"),
        methods: cors.texts("AllowMethods"),
        headers: cors.texts("AllowHeaders"),
        exposed: cors.texts("ExposeHeaders"),
        age_max: cors.number("MaxAge")?,
        credentials: cors.is_true("AllowCredentials"),
    }))
}

/// An `HttpApi` trigger of a function.
pub(super) fn route(
    resolver: &Resolver<'_>,
    function: &str,
    properties: &Properties<'_>,
    wiring: &mut Wiring,
) -> Result<(), TemplateError> {
    properties.only(&[
        "ApiId",
        "Auth",
        "Method",
        "Path",
        "PayloadFormatVersion",
        "RouteSettings",
        "TimeoutInMillis",
    ])?;
    if properties.optional_text("PayloadFormatVersion")?.is_some_and(|version| version != "2.0") {
        return Err(properties.wrong("PayloadFormatVersion", "2.0"));
    }
    // A trigger that names no API belongs to the implicit one, which `Globals` may configure.
    let api = match &mut wiring.api {
        Some(api) => api,
        None => {
            let globals = resolver.section(&["Globals", "HttpApi"]);
            wiring.api.insert(http_api(&Properties::of("Globals.HttpApi", &globals))?)
        }
    };
    let method = properties.optional_text("Method")?.unwrap_or("ANY").to_uppercase();
    let method = if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" { "ANY".to_owned() } else { method };
    let path = properties.optional_text("Path")?.unwrap_or("$default").to_owned();
    let authorizer = route_authorizer(api, &properties.part("Auth"))?;
    let timeout_ms = properties.number("TimeoutInMillis")?.unwrap_or(TIMEOUT_MS).min(TIMEOUT_MS);
    let route = Route { method, path, function: function.to_owned(), authorizer, timeout_ms };
    let settings = properties.part("RouteSettings");
    if !Value::is_null(settings.value()) {
        api.route_throttling.insert(route.key(), throttling(&settings)?);
    }
    if api.routes.iter().any(|other| other.key() == route.key()) {
        return Err(TemplateError(format!(
            "{}: the route {} is there twice",
            properties.owner(),
            route.key()
        )));
    }
    api.routes.push(route);
    Ok(())
}

/// The authorizer that the route names, or the API's default.
fn route_authorizer(
    api: &HttpApi,
    auth: &Properties<'_>,
) -> Result<RouteAuthorizer, TemplateError> {
    auth.only(&["Authorizer", "AuthorizationScopes"])?;
    let named = auth
        .optional_text("Authorizer")?
        .map(str::to_owned)
        .or_else(|| api.default_authorizer.clone());
    let Some(name) = named.filter(|name| name != "NONE") else {
        return Ok(RouteAuthorizer::None);
    };
    let known = api
        .authorizers
        .get(&name)
        .ok_or_else(|| auth.wrong("Authorizer", "an authorizer of the API"))?;
    let own = auth.texts("AuthorizationScopes");
    let scopes = if own.is_empty() { known.scopes.clone() } else { own };
    Ok(RouteAuthorizer::Jwt { name, scopes })
}
