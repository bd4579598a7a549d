-- People who sign in. `email_key` is the address with its case taken away.
CREATE TABLE "user" (
    id                   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    username             TEXT COLLATE "C" NOT NULL UNIQUE,
    email                TEXT,
    email_key            TEXT COLLATE "C" UNIQUE,
    role                 TEXT    NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
    is_active            BOOLEAN NOT NULL,
    -- Argon2id, as a PHC string.
    password_hash        TEXT    NOT NULL,
    must_change_password BOOLEAN NOT NULL,
    -- End of a temporary password.
    password_expires_us  BIGINT,
    created_us           BIGINT  NOT NULL,
    updated_us           BIGINT  NOT NULL,
    last_login_us        BIGINT,
    CHECK ((email IS NULL) = (email_key IS NULL))
);
CREATE INDEX user_by_age ON "user" (created_us, id);

-- What one sign-in began. It ends with its row.
CREATE TABLE session (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id        TEXT COLLATE "C" NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    created_us     BIGINT NOT NULL,
    last_active_us BIGINT NOT NULL,
    -- End of its newest refresh token.
    expires_us     BIGINT NOT NULL,
    ip_address     TEXT,
    user_agent     TEXT
);
CREATE INDEX session_by_user ON session (user_id, created_us, id);
CREATE INDEX session_by_end ON session (expires_us);

-- The chain of refresh tokens of a session: the newest is not replaced; one that is, and comes again, was stolen.
CREATE TABLE refresh_token (
    sha256      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    session_id  TEXT COLLATE "C" NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    expires_us  BIGINT NOT NULL,
    replaced_us BIGINT
);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);
CREATE UNIQUE INDEX refresh_token_newest ON refresh_token (session_id) WHERE replaced_us IS NULL;
