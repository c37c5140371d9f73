//! What a program may ask of TLS: of a context, a connection, a server, and of a socket that is to go over to it.

mod connect;
mod context;
mod server;
mod side;
mod start;

pub use connect::TlsConnectOptions;
pub use context::ContextOptions;
pub use server::TlsOptions;
pub use start::StartTls;

pub(in crate::net) use connect::IdentityCheck;
pub(in crate::net) use server::SniCallback;
pub(in crate::net) use side::KeyLogger;

/// Hands a setter on to the options that have it.
macro_rules! pass_on {
    ($field:ident: $of:ident, $($name:ident($($argument:ident: $kind:ty),*),)*) => {
        $(
            #[doc = concat!("As [`", stringify!($of), "::", stringify!($name), "`].")]
            pub fn $name(mut self, $($argument: $kind),*) -> Self {
                self.$field = self.$field.$name($($argument),*);
                self
            }
        )*
    };
}
use pass_on;

/// The setters of what any socket has.
macro_rules! pass_on_socket {
    ($field:ident: $of:ident) => {
        pass_on! {
            $field: $of,
            allow_half_open(allow: bool),
            no_delay(on: bool),
            keep_alive(on: bool),
            keep_alive_initial_delay(delay: Duration),
            timeout(idle: Duration),
            high_water_mark(bytes: usize),
            max_queued(bytes: usize),
        }
    };
}
use pass_on_socket;
