"""What must not be let out is put in everywhere, and looked for in everything that the program puts out."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.support.configurations import account, write_configuration
from tests.support.http import ask, ask_json, basic_auth
from tests.support.processes import Finished, Programs, Running, eventually

pytestmark = pytest.mark.processes

USER, PASSWORD, WRONG_PASSWORD = "prometheus", "canary-web-password", "canary-wrong-password"
APP = "/apps/production/app-1"
PATHS = (
    *("/", "/metrics", "/metrics/tasks", "/-/ready", "/-/healthy", "/config", "/nothing?canary-query=1"),
    *(APP, f"{APP}/tasks/one", f"{APP}/collect", "/violations", "/changes", "/rules", "/static/pages.js"),
    *("/api/v1/apps", "/api/v1/tasks", "/api/v1/tasks/production/app-1/one", "/api/v1/changes", "/api/v1/violations"),
    *("/api/v1/rules", "/api/v1/openapi.json", "/api/v1/nothing", "/api/v1/tasks?limit=no"),
)
REST = (
    "collection: {interval: 200ms, sweep_interval: 1s, stale_after: 60s}\n"
    "storage: {url: 'sqlite:state'}\n"
    "metrics: {per_task: {enabled: true}}\n"
)
COMMANDS = {
    "collect": ("table", "json", "prometheus"),
    "audit": ("table", "json", "sarif", "junit"),
    "rules list": ("table", "json"),
}


@pytest.mark.parametrize("log_format", ["logfmt", "json"])
def test_secrets_and_foreign_text_are_let_out_nowhere(programs: Programs, log_format: str) -> None:
    """Keys, tokens, passwords, hashes, user ids, payloads and what follows a URL's host are in no output."""
    _, simulator = programs.start_simulator("--apps=2", "--tasks=3", "--churn=0")
    ask_json(f"{simulator}/-/tasks", method="POST", body={"AppId": "app-1", "TaskId": "one", **_canaries("first")})
    config = _configuration(programs.directory, simulator)
    web_config, password_hash = _web_configuration(programs.directory)
    daemon, url = programs.start_daemon(config, f"--web.config.file={web_config}", f"--log.format={log_format}")
    eventually(lambda: _all_have_ended(url))
    ask_json(f"{simulator}/-/tasks/app-1/one", method="PATCH", body=_canaries("second"))
    daemon.wait_for(r"task modified.*task_id\W+one")

    shown = dict(_served(url))
    assert not [path for path in ("/metrics", "/", "/api/v1/apps") if "odd-" in shown[path]]
    for secret in ("key-secret", "token", "proxy"):
        assert f"canary-{secret}" not in shown["/config"]
    assert shown["/config"].count("<secret>") >= 4
    shown |= _refused(programs, daemon, config, url)
    shown["the log"] = daemon.end().err
    shown["the database"] = _content(programs.directory / "state")
    if log_format == "logfmt":
        shown |= dict(_commands(programs, config))
    # An id is no secret, and anyone who reads a configuration looks for it.
    shown["/config"] = shown["/config"].replace("canary-key-id", "")
    hidden = ("simulator-key-secret", "canary", password_hash, b64encode(f"{USER}:{PASSWORD}".encode()).decode())
    for where, text in shown.items():
        assert text, where
        for secret in hidden:
            assert secret not in text, where
        assert where == "the database" or "\x1b" not in text, where


def _configuration(directory: Path, simulator: str) -> Path:
    """Write a configuration with a secret wherever one can be."""
    token = "credentials: {access_key_id: a, access_key_secret: canary-key-secret, security_token: canary-token}"
    proxied = account("http://service.invalid", ["app-1"], name="proxied", key_secret="canary-key-secret")
    temporary = account(simulator, ["app-1"], name="temporary")
    return write_configuration(
        directory,
        account(simulator, ["app-1", "nobodys"]),
        account(simulator, ["app-2"], name="refused", key_id="canary-key-id", key_secret="canary-key-secret"),
        re.sub("credentials: .*", token, temporary),
        proxied.replace("  credentials", "  proxy: http://canary-proxy:canary-proxy@127.0.0.1:1\n  credentials"),
        rest=REST,
    )


def _web_configuration(directory: Path) -> tuple[Path, str]:
    """Write a web configuration; return where, and the hash of the password in it."""
    password_hash = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    path = directory / "web.yml"
    path.write_text(f"basic_auth_users: {{{USER}: {password_hash}}}\n")
    return path, password_hash


def _all_have_ended(url: str) -> None:
    """Whether something has come of every account."""
    text = _get(f"{url}/metrics")
    for name, state in {"production": "ok", "refused": "auth_error", "proxied": "network_error"}.items():
        assert re.search(rf'rtcmpu_collection_state\{{account="{name}",app_id="\S*",state="{state}"\}} 1', text), name
    assert 'rtcmpu_up{account="production",app_id="app-1"} 1' in text
    assert re.search(r'rtcmpu_collection_state\{account="temporary",app_id="app-1",state="pending"\} 0', text)


def _served(url: str) -> Iterator[tuple[str, str]]:
    """Yield what every path shows, after somebody has asked for a reading."""
    origin = {"Origin": url, **basic_auth(USER, PASSWORD)}
    yield "a reading", ask(f"{url}{APP}/collect", method="POST", headers=origin).text
    for path in PATHS:
        yield path, _get(url + path)
    yield "wrong password", ask(url, headers=basic_auth(USER, WRONG_PASSWORD)).text


def _get(url: str) -> str:
    return ask(url, headers=basic_auth(USER, PASSWORD)).text


def _refused(programs: Programs, daemon: Running, config: Path, url: str) -> Mapping[str, str]:
    """Return what is said about a configuration whose secrets stand where they are mistakes."""
    good = config.read_text()
    bad = good + "nonsense: 1\npolicy: {rule_files: https://u:canary@x/}\n"
    config.write_text(bad.replace("access_key_secret: canary-key-secret", "access_key_secret: [canary-key-secret]"))
    checked = programs.run_exporter("check-config", config)
    daemon.wait_for("configuration refused")
    page = _get(f"{url}/config").replace("canary-key-id", "")
    config.write_text(good)
    return {"a refused configuration": _told(checked, code=2), "/config after a refusal": page}


def _commands(programs: Programs, config: Path) -> Iterator[tuple[str, str]]:
    """Yield what each command says in each form."""
    yield "check-config", _told(programs.run_exporter("check-config", "--probe", config), code=3)
    for command, outputs in COMMANDS.items():
        for output in outputs:
            done = programs.run_exporter(*command.split(), f"--config.file={config}", f"--output={output}")
            yield f"{command} {output}", _told(done, code={"rules list": 0, "collect": 3}.get(command, 1))


def _told(done: Finished, *, code: int) -> str:
    assert done.code == code, done.err
    return done.out + done.err


def _content(path: Path) -> str:
    """Return what a database and its log hold."""
    return "".join(file.read_bytes().decode("latin-1") for file in path.parent.glob(f"{path.name}*"))


def _canaries(version: str) -> dict[str, Any]:
    """Return a task that holds what must not be let out (canary) and what must not become a label (odd)."""
    secret = f"canary-{version}"
    return {
        "ChannelId": f"odd-channel-{version}",
        "MixMode": f"odd-mode-{version}",
        "Region": f"odd-region-{version}\x1b[31m\n",
        "MaxIdleTime": f"odd-time-{version}",
        "StreamURL": f"rtmp://{secret}:{secret}@push.example.com/{secret}?auth={secret}",
        "MultiStreamURL": [{"URL": f"odd-scheme://push.example.com/{secret}", "IsAliCdn": False}],
        "SingleSubParams": {"UserId": secret, "StreamType": f"odd-stream-{version}"},
        "TranscodeParams": {
            "Background": {"URL": f"https://example.com/{secret}"},
            "EncodeParams": {"VideoCodec": f"odd-codec-{version}", "EnhancedParam": f"{{{secret}"},
            "UserInfos": [{"UserId": secret, "ChannelId": secret}],
        },
        "SeiParams": {"PassThrough": {"PayloadContent": secret, "PayloadContentKey": secret}},
    }
