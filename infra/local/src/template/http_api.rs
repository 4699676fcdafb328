//! The HTTP API and its routes.

use std::collections::BTreeMap;

/// An HTTP API.
#[derive(Clone, Debug, Default)]
pub struct HttpApi {
    /// Authorizers by name.
    pub authorizers: BTreeMap<String, JwtAuthorizer>,
    /// The authorizer of routes that name none.
    pub default_authorizer: Option<String>,
    /// Answers to browsers on other origins.
    pub cors: Option<Cors>,
    /// How many requests a route takes, unless it has its own numbers.
    pub throttling: Throttling,
    /// Numbers of single routes, by route key.
    pub route_throttling: BTreeMap<String, Throttling>,
    pub routes: Vec<Route>,
}

/// A JWT authorizer: the claims a token must have.
#[derive(Clone, Debug)]
pub struct JwtAuthorizer {
    /// The issuer, `iss`.
    pub issuer: String,
    /// The audience, `aud` or `client_id`: one of these.
    pub audience: Vec<String>,
    /// Scopes of routes that have none of their own.
    pub scopes: Vec<String>,
}

/// The other origins that may call, and their limits.
#[derive(Clone, Debug, Default)]
pub struct Cors {
    /// The values of `Access-Control-Allow-Origin`.
    pub origins: Vec<String>,
    /// The values of `Access-Control-Allow-Methods`.
    pub methods: Vec<String>,
    /// The values of `Access-Control-Allow-Headers`.
    pub headers: Vec<String>,
    /// The values of `Access-Control-Expose-Headers`.
    pub exposed: Vec<String>,
    /// `Access-Control-Max-Age`, in seconds.
    pub age_max: Option<u64>,
    /// `Access-Control-Allow-Credentials: true` or not.
    pub credentials: bool,
}

/// A token bucket for each route. None is without limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Throttling {
    /// Requests in each second.
    pub rate: Option<u32>,
    /// Requests at once.
    pub burst: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Route {
    /// `GET`, or `ANY`.
    pub method: String,
    /// `/v1/things/{thing}`, or `$default`.
    pub path: String,
    /// The function, by name.
    pub function: String,
    /// The authorizer of the route.
    pub authorizer: RouteAuthorizer,
    /// How long the function may take, in milliseconds.
    pub timeout_ms: u64,
}

/// The authorizer of a route.
#[derive(Clone, Debug)]
pub enum RouteAuthorizer {
    /// Open to every caller.
    None,
    /// A token for the authorizer of this name, with one of these scopes if there are any.
    Jwt {
        /// Name of the authorizer.
        name: String,
        /// One of these scopes is needed; empty is none.
        scopes: Vec<String>,
    },
}

impl HttpApi {
    /// The authorizer of the routes that need one of these scopes, separated by blanks, else that of
    /// routes that name none.
    pub(crate) fn authorizer_of(&self, scopes: &str) -> Option<&JwtAuthorizer> {
        let named = self.routes.iter().find_map(|route| match &route.authorizer {
            RouteAuthorizer::Jwt { name, scopes: needed } => {
                let needs_it = scopes.split(' ').any(|scope| needed.iter().any(|one| one == scope));
                needs_it.then_some(name)
            }
            RouteAuthorizer::None => None,
        });
        self.authorizers.get(named.or(self.default_authorizer.as_ref())?)
    }
}

impl Route {
    /// `GET /v1/things/{thing}`, as in the event.
    #[must_use]
    pub fn key(&self) -> String {
        if self.path == "$default" {
            self.path.clone()
        } else {
            format!("{} {}", self.method, self.path)
        }
    }
}
