-- People who sign in. `email_key` is the address with its case taken away.
CREATE TABLE "user" (
    id                   TEXT    NOT NULL PRIMARY KEY,
    username             TEXT    NOT NULL UNIQUE,
    email                TEXT,
    email_key            TEXT    UNIQUE,
    role                 TEXT    NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
    is_active            INTEGER NOT NULL CHECK (is_active IN (0, 1)),
    -- Argon2id, as a PHC string.
    password_hash        TEXT    NOT NULL,
    must_change_password INTEGER NOT NULL CHECK (must_change_password IN (0, 1)),
    -- End of a temporary password.
    password_expires_us  INTEGER,
    created_us           INTEGER NOT NULL,
    updated_us           INTEGER NOT NULL,
    last_login_us        INTEGER,
    CHECK ((email IS NULL) = (email_key IS NULL))
) STRICT;
CREATE INDEX user_by_age ON "user" (created_us, id);

-- What one sign-in began. It ends with its row.
CREATE TABLE session (
    id             TEXT    NOT NULL PRIMARY KEY,
    user_id        TEXT    NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    created_us     INTEGER NOT NULL,
    last_active_us INTEGER NOT NULL,
    -- End of its newest refresh token.
    expires_us     INTEGER NOT NULL,
    ip_address     TEXT,
    user_agent     TEXT
) STRICT;
CREATE INDEX session_by_user ON session (user_id, created_us, id);
CREATE INDEX session_by_end ON session (expires_us);

-- The chain of refresh tokens of a session: the newest is not replaced; one that is, and comes again, was stolen.
CREATE TABLE refresh_token (
    sha256      TEXT    NOT NULL PRIMARY KEY,
    session_id  TEXT    NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    expires_us  INTEGER NOT NULL,
    replaced_us INTEGER
) STRICT;
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);
CREATE UNIQUE INDEX refresh_token_newest ON refresh_token (session_id) WHERE replaced_us IS NULL;
