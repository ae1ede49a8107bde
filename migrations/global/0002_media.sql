-- Media: what there is, whose it is and where its bytes are. The bytes are blobs, outside of this
-- store.
CREATE TABLE media (
    server_name TEXT NOT NULL,
    media_id TEXT NOT NULL,
    -- The local user who has uploaded it, or is to; NULL: it is of another server.
    uploader TEXT,
    created_at_ms INTEGER NOT NULL,
    -- Until when its bytes may come: those of the user who has made the identifier, or the answer
    -- of the other server; NULL: they are here.
    awaited_until_ms INTEGER,
    -- Its bytes; NULL: they are awaited.
    blob TEXT,
    content_type TEXT,
    file_name TEXT,
    -- 1: a browser may display it in place.
    may_be_shown INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    -- Of its bytes, in hexadecimal digits.
    sha256 TEXT,
    -- Since when the bytes are here.
    stored_at_ms INTEGER,
    -- When it was read last, within a day.
    read_at_ms INTEGER,
    PRIMARY KEY (server_name, media_id)
) STRICT, WITHOUT ROWID;

-- What a user has uploaded lately, and what is awaited of them.
CREATE INDEX media_by_uploader ON media (uploader, stored_at_ms, size_bytes)
    WHERE uploader IS NOT NULL;

CREATE INDEX media_awaited ON media (awaited_until_ms) WHERE awaited_until_ms IS NOT NULL;

CREATE INDEX media_of_others ON media (stored_at_ms) WHERE uploader IS NULL;

-- Blobs that no row names: those whose bytes are on their way in, and those that nobody wants any
-- more. They are removed when their time has come.
CREATE TABLE unnamed_blobs (
    blob TEXT NOT NULL PRIMARY KEY,
    remove_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX unnamed_blobs_by_time ON unnamed_blobs (remove_at_ms);
