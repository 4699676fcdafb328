//! An OpenID provider on loopback, as well-behaved as a test wants it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::Url;

/// How the provider answers.
#[derive(Clone, Debug)]
pub(crate) struct Conduct {
    /// The life of its tokens, in seconds.
    pub(crate) expires_in: i64,
    /// How far the browser's clock is ahead of its own, in seconds.
    pub(crate) behind: i64,
    pub(crate) refreshes: Refreshes,
    pub(crate) authorization: Authorization,
    /// Who is signed in there.
    pub(crate) person: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refreshes {
    Offered,
    Missing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authorization {
    Granted,
    /// An error, without the `state` that the page sent.
    ErrorWithoutState,
    /// A code for another `state`.
    OtherState,
}

/// What it was asked so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) authorizations: usize,
    pub(crate) refreshes: usize,
    pub(crate) logouts: usize,
}

#[derive(Debug)]
struct State {
    conduct: Conduct,
    asked: Asked,
    nonce: String,
    access_token: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Provider {
    pub(crate) fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let conduct = Conduct {
            expires_in: 3600,
            behind: 0,
            refreshes: Refreshes::Missing,
            authorization: Authorization::Granted,
            person: "acme",
        };
        let state = State {
            conduct,
            asked: Asked::default(),
            nonce: String::new(),
            access_token: String::new(),
        };
        let provider = Provider { url, state: Arc::new(Mutex::new(state)) };
        let serving = provider.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let provider = serving.clone();
                std::thread::spawn(move || provider.serve(stream));
            }
        });
        provider
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Conduct)) {
        change(&mut self.state.lock().unwrap().conduct);
    }

    /// The access token that it issues: one that the API accepts.
    pub(crate) fn issue(&self, access_token: String) {
        self.state.lock().unwrap().access_token = access_token;
    }

    pub(crate) fn asked(&self) -> Asked {
        self.state.lock().unwrap().asked.clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut first = String::new();
        let mut length = 0;
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) < 3 {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = first.split(' ').nth(1).unwrap_or("/");
        let url = Url::parse(&format!("{}{path}", self.url)).unwrap();
        let answer = self.answer(&url, &String::from_utf8(body).unwrap());
        let _gone = stream.write_all(answer.as_bytes());
    }

    fn answer(&self, url: &Url, body: &str) -> String {
        let query = |name: &str| {
            url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let mut state = self.state.lock().unwrap();
        match url.path() {
            "/.well-known/openid-configuration" => json_answer(&json!({
                "issuer": self.url,
                "authorization_endpoint": format!("{}/authorize", self.url),
                "token_endpoint": format!("{}/token", self.url),
                "end_session_endpoint": format!("{}/logout", self.url),
            })),
            "/authorize" => {
                state.asked.authorizations += 1;
                state.nonce = query("nonce").unwrap();
                let back = query("redirect_uri").unwrap();
                let sent = query("state").unwrap();
                found(&match state.conduct.authorization {
                    Authorization::Granted => format!("{back}?code=c&state={sent}"),
                    Authorization::ErrorWithoutState => format!("{back}?error=server_error"),
                    Authorization::OtherState => format!("{back}?code=c&state=other"),
                })
            }
            "/token" => {
                if body.contains("grant_type=refresh_token") {
                    state.asked.refreshes += 1;
                }
                json_answer(&tokens(&self.url, &state))
            }
            "/logout" => {
                state.asked.logouts += 1;
                found(&query("post_logout_redirect_uri").unwrap())
            }
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_owned(),
        }
    }
}

fn tokens(issuer: &str, state: &State) -> Value {
    #[allow(clippy::disallowed_methods, reason = "it has the clock of the browser's machine")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap() - state.conduct.behind;
    let claims = json!({
        "iss": issuer, "aud": "page", "sub": state.conduct.person, "nonce": state.nonce,
        "email": format!("{}@example.test", state.conduct.person),
        "iat": now, "exp": now + state.conduct.expires_in,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    // The page does not check the signature: the token came from the token endpoint.
    let id_token = format!("{}.{}.none", part(&json!({"alg": "none"})), part(&claims));
    let mut tokens = json!({
        "token_type": "Bearer",
        "access_token": state.access_token,
        "id_token": id_token,
        "expires_in": state.conduct.expires_in,
    });
    if state.conduct.refreshes == Refreshes::Offered {
        tokens["refresh_token"] = json!("again");
    }
    tokens
}

fn json_answer(body: &Value) -> String {
    let body = body.to_string();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn found(location: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}
