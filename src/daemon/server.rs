//! API v1 over the unix socket: routes from the one list, bodies read within bounds, verbs run off the event loop.

mod answer;
mod audience;
mod body;
mod listen;
mod verbs;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use bowline_api::routes::{Method, ROUTES, Verb};
use bowline_core::{Code, Error};

use crate::manager::{Caller, Manager};
use crate::ready::Ready;
use audience::Audience;

pub(crate) use listen::{MOST, Socket, serve};

/// What every verb is given.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) manager: Arc<Manager>,
    pub(crate) ready: Ready,
}

pub(crate) fn router(shared: Shared) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(route.path, method(route.method, route.verb));
    }
    let nowhere = |request: Request| async move {
        let what = format!("{} {}", request.method(), request.uri().path());
        answer::failure(
            &Error::new(Code::NoSuchPath, format!("the API has no {what}"))
                .fix("see /v1/openapi.json for what there is"),
        )
    };
    router.fallback(nowhere).method_not_allowed_fallback(nowhere).with_state(shared)
}

fn method(method: Method, verb: Verb) -> MethodRouter<Shared> {
    let filter = match method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Patch => MethodFilter::PATCH,
        Method::Delete => MethodFilter::DELETE,
    };
    on(filter, move |State(shared), Extension(caller), params, request| {
        handle(verb, shared, caller, params, request)
    })
}

async fn handle(
    verb: Verb,
    shared: Shared,
    caller: Caller,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let params = match params {
        Ok(params) => params,
        Err(error) => {
            return answer::failure(
                &Error::new(Code::InvalidRequest, "the request's path is not understood")
                    .because(error.body_text()),
            );
        }
    };
    let name = params.iter().next().map(|(_, value)| value.to_string()).unwrap_or_default();
    if verb == Verb::Events {
        return answer::events(shared.manager.events());
    }
    let uri = request.uri().clone();
    let bytes = match body::read(request.into_body()).await {
        Ok(bytes) => bytes,
        Err(error) => return answer::failure(&error),
    };
    let audience = Arc::new(Audience::default());
    let seat = audience::Seat::new(audience.clone(), shared.manager.clone());
    let done = tokio::task::spawn_blocking(move || {
        let asked = verbs::Asked { caller, name: &name, uri: &uri, body: &bytes, audience: &audience };
        verbs::run(verb, &shared, asked)
    })
    .await;
    seat.answered();
    match done {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::debug!(?verb, code = %error.code, "{error}");
            answer::failure(&error)
        }
        // A panic in one request is that request's failure; the daemon lives.
        Err(panic) => {
            tracing::error!(?verb, "a request panicked: {panic}");
            answer::failure(
                &Error::new(Code::Internal, "the request could not be finished")
                    .because("a mistake in the daemon, see its log")
                    .fix("bowline system repair puts the kernel right"),
            )
        }
    }
}
