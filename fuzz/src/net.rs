//! What `tls` shows of `net` under its own name. Nothing that is fuzzed needs it.

pub mod tls {
    pub fn connect() {}
    pub fn create_server() {}
    pub struct ContextOptions;
    pub struct NewSessionReply;
    pub struct OcspReply;
    pub struct ResumeReply;
    pub struct SniReply;
    pub struct StartTls;
    pub struct TlsConnectOptions;
    pub struct TlsInfo;
    pub struct TlsOptions;
}
