# what: an SQL database in memory and one in a file
import os
import sqlite3
import tempfile

a, b = map(int, input().split())
with tempfile.TemporaryDirectory() as folder:
    for place in (":memory:", os.path.join(folder, "sum.db")):
        with sqlite3.connect(place) as database:
            database.execute("create table numbers (x integer)")
            database.executemany("insert into numbers values (?)", [(a,), (b,)])
            total = database.execute("select sum(x) from numbers").fetchone()[0]
        database.close()
print(total)
