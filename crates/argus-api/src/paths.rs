//! The paths of the interface, each written once: for the route and for its description in the OpenAPI document.

macro_rules! api {
    ($($(#[$doc:meta])* $name:ident = $path:literal;)+) => {
        $($(#[$doc])* pub const $name: &str = concat!("/api/v1", $path);)+
    };
}

/// Everything that is not at the root lies below this.
pub const API: &str = "/api/v1";
/// The refresh cookie is sent below this only.
pub const AUTH: &str = "/api/v1/auth";

api! {
    /// The cameras.
    CAMERAS = "/cameras";
    /// The try of a source.
    CAMERA_TEST = "/cameras/test";
    /// One camera.
    CAMERA = "/cameras/{id}";
    /// Enables a camera.
    CAMERA_START = "/cameras/{id}/start";
    /// Disables a camera.
    CAMERA_STOP = "/cameras/{id}/stop";
    /// The newest picture.
    CAMERA_SNAPSHOT = "/cameras/{id}/snapshot";
    /// How capture is doing.
    CAMERA_STATUS = "/cameras/{id}/status";
    /// The events.
    EVENTS = "/events";
    /// One event.
    EVENT = "/events/{id}";
    /// Asks for another description of it.
    EVENT_REANALYSE = "/events/{id}/reanalyse";
    /// The same, as it is spelt elsewhere.
    EVENT_REANALYZE = "/events/{id}/reanalyze";
    /// Counts and averages of events.
    EVENT_STATS = "/events/stats";
    /// Events as a table or lines.
    EVENT_EXPORT = "/events/export";
    /// The small picture of an event.
    EVENT_THUMBNAIL = "/events/{id}/thumbnail";
    /// One of the pictures that the describer was given.
    EVENT_FRAME = "/events/{id}/frames/{index}";
    /// Its video.
    EVENT_CLIP = "/events/{id}/clip";
    /// The receipts of its descriptions.
    EVENT_ANALYSES = "/events/{id}/analyses";
    /// Sends the request of one of them again.
    EVENT_REPRODUCE = "/events/{id}/analyses/{analysis_id}/reproduce";
    /// Providers of descriptions.
    AI_PROVIDERS = "/ai/providers";
    /// One provider.
    AI_PROVIDER = "/ai/providers/{id}";
    /// Its try with a built-in picture.
    AI_PROVIDER_TEST = "/ai/providers/{id}/test";
    /// Describes a picture that is sent.
    AI_DESCRIBE = "/ai/describe";
    /// Calls, tokens, money, budgets.
    AI_USAGE = "/ai/usage";
    /// What each kind of provider needs and can do.
    AI_CAPABILITIES = "/ai/capabilities";
    /// What left the machine on a day.
    AI_EGRESS = "/ai/egress";
    /// The days on which something did.
    AI_EGRESS_DAYS = "/ai/egress/days";
    /// The UniFi Protect controllers.
    CONTROLLERS = "/protect/controllers";
    /// The try of a connection.
    CONTROLLER_TEST = "/protect/controllers/test";
    /// One controller.
    CONTROLLER = "/protect/controllers/{id}";
    /// Its cameras.
    CONTROLLER_CAMERAS = "/protect/controllers/{id}/cameras";
    /// One of them.
    CONTROLLER_CAMERA = "/protect/controllers/{id}/cameras/{camera_id}";
    /// Whether the first user is still missing.
    SETUP_STATUS = "/auth/setup-status";
    /// Makes the first user.
    SETUP = "/auth/setup";
    /// Begins a session.
    LOGIN = "/auth/login";
    /// Goes on with it.
    REFRESH = "/auth/refresh";
    /// Ends it.
    LOGOUT = "/auth/logout";
    /// Who the caller is.
    ME = "/auth/me";
    /// Another password for the caller.
    CHANGE_PASSWORD = "/auth/change-password";
    /// The caller's sessions.
    SESSIONS = "/auth/sessions";
    /// One of them.
    SESSION = "/auth/sessions/{id}";
    /// One-time tickets for live messages by WebSocket.
    WS_TICKET = "/auth/ws-ticket";
    /// The users.
    USERS = "/users";
    /// One user.
    USER = "/users/{id}";
    /// A temporary password for a user.
    RESET_PASSWORD = "/users/{id}/reset-password";
    /// Live messages by long poll.
    JOURNAL = "/journal";
    /// The keys of programs.
    API_KEYS = "/api-keys";
    /// One key.
    API_KEY = "/api-keys/{id}";
    /// How it was used.
    API_KEY_USAGE = "/api-keys/{id}/usage";
    /// Health of the server.
    HEALTH = "/system/health";
    /// What people set.
    SETTINGS = "/system/settings";
    /// What everything that is kept takes up.
    STORAGE = "/system/storage";
    /// State of the encryption.
    SSL_STATUS = "/system/ssl-status";
}

/// Live messages by WebSocket.
pub const WS: &str = "/ws";
/// The description of this interface as pages to try.
pub const DOCS: &str = "/docs";
/// Parts of those pages.
pub const DOCS_PART: &str = "/docs/{file}";
/// The description of this interface as one page to read.
pub const REDOC: &str = "/redoc";
/// Parts of that page.
pub const REDOC_PART: &str = "/redoc/{file}";
/// The description of this interface.
pub const OPENAPI: &str = "/openapi.json";
/// Counts for Prometheus.
pub const METRICS: &str = "/metrics";
