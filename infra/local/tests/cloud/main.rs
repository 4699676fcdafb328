//! The local cloud, from the outside: real sockets, real processes, real SDKs.

#[cfg(test)]
mod build;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod control;
#[cfg(test)]
mod events;
#[cfg(test)]
mod gateway;
#[cfg(test)]
mod lambda;
#[cfg(test)]
#[allow(clippy::string_slice, reason = "it reads source files that are ASCII where they are cut")]
mod layers;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod state;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod stripe;
#[cfg(test)]
mod world;
