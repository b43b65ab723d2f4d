# SPDX-License-Identifier: MIT
# SQLite's sorter threads.
# needs: sqlite3
# expect: .totals.pins.opened == 0
run sqlite3 data.db "
  PRAGMA threads=2; PRAGMA cache_size=100;
  CREATE TABLE t(a, b);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  INSERT INTO t SELECT (i * 7919) % 60013, 'row ' || i FROM n;
  CREATE INDEX x ON t(a, b);
  SELECT count(*), sum(a) FROM t; PRAGMA integrity_check;"
