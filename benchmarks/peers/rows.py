"""Run inside a generated project: `rows.py DATABASE NUMBER` stores so many predictions in SQLite.

They are those of the reference, over and over, as if made a moment ago.
"""

import json
import sqlite3
import sys
from pathlib import Path

from my_project.metadata import ModelMetadata
from my_project.monitoring.reference import load_reference
from my_project.serving.records import connect, metadata

FILL = """
INSERT INTO predictions
WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers LIMIT :rows)
SELECT printf('%032x', number), strftime('%Y-%m-%d %H:%M:%f', 'now'), :model, NULL, 'label',
    probabilities, mean, std, 1, NULL
FROM numbers JOIN reference ON reference.rowid = number % :reference + 1
"""


def main() -> None:
    file, num_rows = sys.argv[1], int(sys.argv[2])
    metadata.create_all(connect(f"sqlite:///{file}"))
    sample = load_reference(Path("model")).tolist()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TEMP TABLE reference(probabilities, mean, std)")
        rows = [(json.dumps(row[:-2]), row[-2], row[-1]) for row in sample]
        database.executemany("INSERT INTO reference VALUES (?, ?, ?)", rows)
        model = ModelMetadata.load(Path("model")).sha256
        database.execute(FILL, {"rows": num_rows, "model": model, "reference": len(sample)})


main()
