-- {{text}} is text that compares bytewise. Moments are microseconds since 1970, 0 is never.
-- documents.terms repeats the terms table as a JSON array, so that a document is read and its index renewed from one row.
CREATE TABLE documents (
	key         {{text}} NOT NULL PRIMARY KEY,
	kind        {{text}} NOT NULL,
	etag        BIGINT NOT NULL,
	created     BIGINT NOT NULL,
	terms       TEXT NOT NULL,
	body        TEXT NOT NULL,
	due         BIGINT NOT NULL,
	lease_owner TEXT NOT NULL DEFAULT '',
	lease_until BIGINT NOT NULL DEFAULT 0,
	attempt     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX documents_kind ON documents (kind, key);
CREATE INDEX documents_due ON documents (kind, due, key) WHERE due > 0;

CREATE TABLE terms (
	term {{text}} NOT NULL,
	kind {{text}} NOT NULL,
	key  {{text}} NOT NULL,
	PRIMARY KEY (term, kind, key)
){{norowid}};

CREATE TABLE changes (
	revision BIGINT NOT NULL PRIMARY KEY,
	key      {{text}} NOT NULL,
	kind     {{text}} NOT NULL,
	deleted  BIGINT NOT NULL
);

-- The one row whose lock makes writers of PostgreSQL take turns.
CREATE TABLE meta (
	id       BIGINT NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL
);
INSERT INTO meta (id, revision) VALUES (1, 0);
