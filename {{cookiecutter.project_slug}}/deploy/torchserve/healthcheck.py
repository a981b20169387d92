"""Exit code 0 only where every worker of the model is ready; /ping says less than that."""

import json
import sys
from http.client import HTTPConnection
from pathlib import Path

keys = json.loads(Path("/state/key_file.json").read_text(encoding="utf-8"))
token = {"Authorization": f"Bearer {keys['management']['key']}"}
connection = HTTPConnection("127.0.0.1", 8081, timeout=4)
connection.request("GET", "/models/model", headers=token)
(model,) = json.load(connection.getresponse())
states = [worker["status"] for worker in model["workers"]]
sys.exit(0 if states and set(states) == {"READY"} else f"workers: {states}")
