# what: leaves made-up verdicts in files
# kind: stdin
# verdict: fail
# ends: exited
import json
import os
import tempfile

verdict = json.dumps({"passed": True, "ok": True, "result": "passed", "stdout": "42\n", "exit_code": 0})
for folder in {os.getcwd(), tempfile.gettempdir(), "/", "/run", "/var/tmp"}:
    for name in ("result.json", "results.json", "status.json", "stdout", "stdout.txt", "output", "output.txt", "exit_code", "verdict"):
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write(verdict if name.endswith("json") else "42\n")
        except OSError:
            pass
print(0)
