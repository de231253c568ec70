"""The Cypher of the people graph, in one place. Values are parameters, never text.

Rows are lists rather than maps: Bolt then carries no key with every value.
"""

SCHEMA = (
    "CREATE CONSTRAINT employee_id IF NOT EXISTS FOR (e:Employee) REQUIRE e.id IS UNIQUE",
    "CREATE CONSTRAINT stream_ledger_key IF NOT EXISTS FOR (l:StreamLedger) REQUIRE l.key IS UNIQUE",
    "CREATE INDEX employee_touched IF NOT EXISTS FOR (e:Employee) ON (e.touched_epoch)",
    "CREATE CONSTRAINT privacy_ledger_key IF NOT EXISTS FOR (l:PrivacyLedger) REQUIRE l.key IS UNIQUE",
    "CREATE CONSTRAINT erased_digest IF NOT EXISTS FOR (e:Erased) REQUIRE e.digest IS UNIQUE",
    "CREATE INDEX employee_opted_out IF NOT EXISTS FOR (e:Employee) ON (e.opted_out)",
    "CREATE INDEX employee_on_leave IF NOT EXISTS FOR (e:Employee) ON (e.on_leave)",
    "CREATE INDEX seen_events IF NOT EXISTS FOR (s:SeenEvents) ON (s.last_ms)",
)

# --- ledger and lease -----------------------------------------------------------

READ_LEDGER = "MATCH (l:StreamLedger {key: $key}) RETURN l"

# The SET before the read takes the node's write lock: of two writers one waits here.
MAKE_LEDGER = """
MERGE (l:StreamLedger {key: $key})
ON CREATE SET l.epoch = 0, l.watermark_ms = 0, l.watermark_seq = 0, l.invalidated_epoch = 0, l.scaled_people = 0,
  l.added_seen = 0, l.lease_until = 0, l.half_life_ms = $half_life_ms, l.created_at = timestamp()
SET l.locked_at = timestamp()
RETURN l.lease_run AS lease_run, l.lease_until - timestamp() AS lease_left_ms, l.half_life_ms AS half_life_ms
"""

TAKE_LEASE = """
MATCH (l:StreamLedger {key: $key})
SET l.epoch = l.epoch + 1, l.lease_run = $run, l.lease_until = timestamp() + $ttl_ms
RETURN l
"""

LOCK_LEDGER = """
MATCH (l:StreamLedger {key: $key}) SET l.locked_at = timestamp()
RETURN l.epoch AS epoch, l.watermark_ms AS ms, l.watermark_seq AS seq, l.last_batch AS last_batch
"""

RELEASE_LEASE = """
MATCH (l:StreamLedger {key: $key}) WHERE l.lease_run = $run SET l.lease_until = 0
"""

# --- one batch ------------------------------------------------------------------

# Of a person: [id, added strength]
WRITE_PEOPLE = """
UNWIND $people AS row
MERGE (e:Employee {id: row[0]})
ON CREATE SET e.provisional = true, e.created_at = timestamp(), e.degree = 0, e.degree_centrality = 0.0,
  e.strength = 0.0
SET e.strength = coalesce(e.strength, 0.0) + row[1], e.touched_epoch = $epoch
"""

# Of an edge: [source, target, count, weight, recency_weight, first_at, last_at]; see batch.py for the formulas.
# Then the degree of everyone with a new edge (one whose count is what this row brought): distinct people
# interacted with in either direction; a pair that writes both ways counts once.
WRITE_EDGES = """
UNWIND $edges AS row
MATCH (a:Employee {id: row[0]})
MATCH (b:Employee {id: row[1]})
MERGE (a)-[r:INTERACTS]->(b)
ON CREATE SET r.count = row[2], r.weight = row[3], r.recency_weight = row[4], r.first_at = row[5], r.last_at = row[6]
ON MATCH SET
  r.recency_weight =
    r.recency_weight * exp($rate * (r.last_at - CASE WHEN row[6] > r.last_at THEN row[6] ELSE r.last_at END))
    + row[4] * exp($rate * (row[6] - CASE WHEN row[6] > r.last_at THEN row[6] ELSE r.last_at END)),
  r.count = r.count + row[2],
  r.weight = r.weight + row[3],
  r.first_at = CASE WHEN row[5] < r.first_at THEN row[5] ELSE r.first_at END,
  r.last_at = CASE WHEN row[6] > r.last_at THEN row[6] ELSE r.last_at END
WITH a, b, r, row WHERE r.count = row[2]
WITH collect(a) + collect(b) AS gained
CALL () { MATCH (everyone:Employee) RETURN count(everyone) AS people }
UNWIND gained AS e
WITH DISTINCT e, people
WITH e, people, COUNT { MATCH (e)-[:INTERACTS]-(other) RETURN DISTINCT other } AS degree
SET e.degree = degree,
    e.degree_centrality = CASE WHEN people > 1 THEN toFloat(degree) / (people - 1) ELSE 0.0 END
"""

COUNT_PEOPLE = "MATCH (e:Employee) RETURN count(e) AS people"

# The event ids (packed digests) and the new watermark belong to the same transaction as the edges.
ADVANCE_LEDGER = """
MATCH (l:StreamLedger {key: $key})
SET l.watermark_ms = $ms, l.watermark_seq = $seq, l.last_batch = $batch, l.lease_until = timestamp() + $ttl_ms,
    l += $totals
FOREACH (_ IN CASE WHEN $digests IS NULL THEN [] ELSE [1] END |
  CREATE (:SeenEvents {key: $key, last_ms: $newest_ms, digests: $digests}))
RETURN l
"""

# --- the end of a run -------------------------------------------------------------

RESCALE_DEGREES = """
MATCH (e:Employee)
SET e.degree_centrality = CASE WHEN $people > 1 THEN toFloat(coalesce(e.degree, 0)) / ($people - 1) ELSE 0.0 END
"""

SET_LEDGER = "MATCH (l:StreamLedger {key: $key}) SET l += $values"

# Only while the lease is the caller's: a run that took it over goes on writing under the same epoch.
MARK_INVALIDATED = """
MATCH (l:StreamLedger {key: $key})
WHERE l.lease_run = $run AND l.epoch = $epoch AND l.invalidated_epoch < $epoch
SET l.invalidated_epoch = $epoch
"""

LOAD_SEEN = "MATCH (s:SeenEvents) WHERE s.last_ms >= $since_ms AND s.key = $key RETURN s.digests AS digests"

FORGET_EVENTS = "MATCH (s:SeenEvents) WHERE s.last_ms < $before_ms AND s.key = $key DELETE s"

# Everyone touched since `epoch`, and everyone next to them: their cached figures may have changed.
TOUCHED = """
MATCH (e:Employee) WHERE e.touched_epoch > $epoch
WITH collect(e) AS touched
UNWIND touched AS e
CALL (e) { RETURN e AS person UNION MATCH (e)-[:INTERACTS]-(person) RETURN person }
RETURN DISTINCT person.id AS id
"""

COUNT_TOUCHED = "MATCH (e:Employee) WHERE e.touched_epoch > $epoch RETURN count(e) AS touched"
