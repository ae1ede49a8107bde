-- Tokens by which others are told who the user is, by their SHA-256.
CREATE TABLE user_openid_tokens (
    scope INTEGER NOT NULL,
    token_hash TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, token_hash)
) STRICT, WITHOUT ROWID;
