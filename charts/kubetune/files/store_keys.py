"""Prints the keys of the bucket of task logs as boto3's setting `credential_process` wants them: from mounted files."""

import json
import sys
from pathlib import Path

folder = Path(sys.argv[1])
access, secret = ((folder / name).read_text(encoding="utf-8").strip() for name in ("access_key", "secret_key"))
json.dump({"Version": 1, "AccessKeyId": access, "SecretAccessKey": secret}, sys.stdout)
