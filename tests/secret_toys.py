"""Recipes that hold a secret, one in each place where a person may put it, and a search for it wherever it may leak."""

from pathlib import Path

CANARY = "c4nary-Hunter2"

SQL = "data.source={{kind: sql, query: select 1, url: '{}'}}"
FILES = "data.source={{kind: files, paths: {{all: '{}'}}}}"
HUB = "data.source={{kind: hub, name: '{}'}}"
PACKAGE = "data.source={{kind: package, distribution: d, path: '{}'}}"

HELD = {
    "sql password": SQL.format(f"postgresql://user:{CANARY}@host/db"),
    "sql password with a slash": SQL.format(f"postgresql://user:x/{CANARY}?#@host/db"),
    "sql password with an at": SQL.format(f"postgresql://user:x@{CANARY}@host/db"),
    "sql password with a blank": SQL.format(f"postgresql://user:my {CANARY}@host/db"),
    "sql password of nobody": SQL.format(f"redis://:{CANARY}@host/0"),
    "sql parameter": SQL.format(f"mysql+pymysql://host/db?charset=utf8&password={CANARY}"),
    "sql odbc": SQL.format(f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7BX%7D%3BUID%3Du%3BPWD%3D{CANARY}"),
    "sql odbc twice encoded": SQL.format(f"mssql+pyodbc:///?odbc_connect=UID%253Du%253BPWD%253D{CANARY}"),
    "sql connection string": SQL.format(f"Driver=X;Server=h;UID=u;PWD={CANARY}"),
    "sql encoded login": SQL.format(f"https%3A%2F%2Fuser%3A{CANARY}%40host"),
    "sql token": SQL.format(f"databricks://host/db?access_token={CANARY}"),
    "query with a login": f"data.source={{kind: sql, query: \"select * from s3('https://u:{CANARY}@h/x')\"}}",
    "query with a connection": f"data.source={{kind: sql, query: \"select dblink('host=h password={CANARY}', 'q')\"}}",
    "https login": FILES.format(f"https://user:{CANARY}@host/rows.csv"),
    "https user": FILES.format(f"https://{CANARY}@host/rows.csv"),
    "https capitals": FILES.format(f"HTTPS://User:{CANARY}@host/rows.csv"),
    "signed at Amazon": FILES.format(f"https://host/rows.csv?X-Amz-Date=1&X-Amz-Signature={CANARY}"),
    "signed at Azure": FILES.format(f"https://host/rows.csv?sv=2024&sig={CANARY}"),
    "signed at Google": FILES.format(f"https://host/rows.csv?X-Goog-Signature={CANARY}"),
    "https token": FILES.format(f"https://host/rows.csv?access_token={CANARY}"),
    "s3 login": FILES.format(f"s3://key:{CANARY}@bucket/rows.csv"),
    "local share": FILES.format(f"//user:{CANARY}@host/share/rows.csv"),
    "one of several files": f"data.source={{kind: files, paths: {{train: [a.csv, 'https://u:{CANARY}@h/b.csv']}}}}",
    "hub name": HUB.format(f"https://user:{CANARY}@hub/org/name"),
    "hub token": HUB.format(f"org/hf_{CANARY.replace('-', '')}{'a' * 30}"),
    "hub revision": f"data.source={{kind: hub, name: a/b, revision: 'x?token={CANARY}'}}",
    "package path": PACKAGE.format(f"https://u:{CANARY}@host/rows.csv"),
    "model of a hub": f"model.source={{kind: hub, name: 'https://u:{CANARY}@hub/org/name'}}",
    "model in a folder": f"model.source={{kind: path, path: '//u:{CANARY}@host/model'}}",
    "model in a bucket": f"model.source={{kind: s3, url: 's3://bucket/model?secret_key={CANARY}'}}",
    "model of a package": f"model.source={{kind: package, distribution: 'd @ https://u:{CANARY}@h/d', path: p}}",
    "tokenizer": f"model.source={{kind: scratch, tokenizer: {{kind: path, path: 'https://u:{CANARY}@h/m'}}}}",
    "description": f"description='see https://u:{CANARY}@host/wiki'",
    "description in words": f"description='password: {CANARY}'",
    "column": f"data.columns.keep=['https://u:{CANARY}@h/x']",
    "suite": f"behaviour.suite={{name: own, description: 'https://u:{CANARY}@h/x'}}",
}
"""What it is → an override of a recipe that puts it there."""

BROKEN = {
    "no override": f"postgresql://user:{CANARY}@host/db",
    "no YAML": f"data.source.url='postgresql://user:{CANARY}@host/db",
    "no YAML in a map": f"data.source={{url: postgresql://user:{CANARY}@host/db: 1",
    "unknown key": f"data.source.address=postgresql://user:{CANARY}@host/db",
    "secret key": f"data.source.https://u:{CANARY}@h/x=1",
    "wrong type": f"training.batch=postgresql://user:{CANARY}@host/db",
    "wrong type, a list": f"training.batch=['postgresql://user:{CANARY}@host/db']",
    "wrong type, long": f"training.batch=postgresql://user:{'x' * 100}{CANARY}@host/db",
    "wrong name": f"name=https://u:{CANARY}@h",
    "wrong pattern": f"model.source={{kind: s3, url: 'https://u:{CANARY}@h/x'}}",
    "wrong kind": f"data.source={{kind: 'https://u:{CANARY}@h/x'}}",
    "wrong suite": f"behaviour.suite=https://u:{CANARY}@h/x",
    "wrong slice": f"evaluation.slices=['https://u:{CANARY}@h/x']",
    "wrong day": f"data.source.url=[2001-99-99, 'https://u:{CANARY}@h/x']",
}
"""Overrides that are wrong anyhow, whose explanation must not repeat what they hold."""

INNOCENT = (
    SQL.format("postgresql://user@host:5432/db?sslmode=require"),
    SQL.format("sqlite:////data/rows.db"),
    SQL.format("snowflake://user@account/db?private_key_path=/keys/p8"),
    "data.source={kind: sql, query: \"select token, password from users where token = 5 and key = 'a@b'\"}",
    "data.source={kind: sql, query: \"select 'a' as password, x from t where pwd = secret and s = 'b'\"}",
    FILES.format("https://host:8443/a@b/rows.csv?version=3&page=2"),
    FILES.format("s3://bucket/pass/token/rows.csv"),
    FILES.format("/data/password.csv"),
    FILES.format(f"upload:{'0' * 64}/rows.csv"),
    HUB.format("stanfordnlp/token-secrets"),
    "description='Sorts the mail of anna@example.org: token by token, key by key.'",
    "data.labels=[password reset, 'secret: no', token]",
)
"""Overrides that only look like it."""


def places(folder: Path, canary: str = CANARY) -> list[str]:
    """Files below a folder, records, databases and logs alike, that hold the canary or their name does."""
    wanted = canary.lower().encode()
    found = [path for path in folder.rglob("*") if path.is_file() and wanted in path.read_bytes().lower()]
    return [str(path.relative_to(folder)) for path in found] + [str(p) for p in folder.rglob(f"*{canary}*")]
