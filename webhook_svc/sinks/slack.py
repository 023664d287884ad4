"""Slack: a notice through an incoming webhook, or the files themselves with a bot's token."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final
from urllib.parse import urlencode, urlsplit

from ..core.errors import Permanent, Retryable, Unlikely, WebhookError
from ..core.outgoing import Answer, Request, Upload
from ..core.ports import Progress, Sink
from ..core.settings import Secret, Url, host_of, setting
from ..core.types import Delivery, Part, Receipt, at_path
from .shared.answers import failure
from .shared.hook import JSON, host, message, origin
from .shared.notice import TEXT, judged, words
from .shared.once import Once, unsure

_LONGEST: Final = 4000
_LARGEST: Final = 1024**3
_CHANNEL: Final = re.compile(r"[CGD][A-Z0-9]{4,30}")
_WORD: Final = re.compile(r"[a-z_]{1,60}")
# https://docs.slack.dev/reference/methods/files.completeUploadExternal, 22 Nov 2026
_UNSURE: Final = frozenset({"fatal_error", "internal_error", "request_timeout", "service_unavailable"})
_MAY_PASS: Final = _UNSURE | {
    *("ratelimited", "rate_limited", "accesslimited", "access_denied", "ekm_access_denied", "org_login_required"),
    *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"),
    *("no_permission", "not_in_channel", "file_uploads_disabled", "team_added_to_org", "two_factor_setup_required"),
}
"""Credentials are renewed, scopes granted, bots invited, outages end."""
_UNSEEN: Final = ("file_not_found", "file_deleted", "missing_scope")
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings:
    url: Secret | None = setting("The address of an incoming webhook, for a notice; else `token` and `channel`.", None)
    token: Secret | None = setting("A bot's token (xoxb-…), for the files.", None)
    channel: str = setting("The id of the channel (C…) that the files go to.", "")
    text: str = setting("Template of the message; {files} lists the files.", TEXT)
    api: Url = setting("The address of Slack's API; GovSlack has another.", Url("https://slack.com/api"))

    def __post_init__(self) -> None:
        if (self.url is None) == (self.token is None):
            raise ValueError("either url, for a notice, or token and channel, for the files")
        if self.url is not None:
            origin(self.url)
        if self.token is not None and not _CHANNEL.fullmatch(self.channel):
            raise ValueError("the id of a channel such as C0NF841BK, which its details show; a name is none")
        judged(self.text)


class Slack(Sink):
    """Tells of a delivery, and with a token brings its files."""

    Settings = SlackSettings
    settings: SlackSettings
    create_only: ClassVar[bool] = False
    proof: ClassVar[str] = "accepted by Slack"
    remembered: ClassVar[int] = 50
    """Of files that are shared at once so many ids are kept, looked for and told of: all are shared, or none."""
    guide: ClassVar[str] = """\
With `url` it posts a notice in words; where the files lie, your `text` may say:
`text = "<https://archive.acme.example/{document}|{title}> is signed"`. With `token` and `channel` it uploads the files
and posts them together, under the same text. `&`, `<` and `>` of names and titles are escaped, so that no document's
title calls `@channel`.

**Permissions:** for a notice an app with Incoming Webhooks, and the address it shows: whoever knows it may post, so it
is treated as a secret. For files a bot with the scopes `files:write` and `files:read`, invited to the channel
(`/invite @bot`).

**Retry:** Slack knows no key that would make a repeat harmless. What it has accepted is remembered and not sent again.
Where an answer was lost, files are looked for by their id first, and sent again only if they were not shared; a notice
is sent again, for to be told twice is better than never. The receipt counts it (`repeats`). Uploads that were not
completed are thrown away by Slack.

**Limits:** 1 GiB a file, and no empty ones; a text ends after 4000 characters. The receipt names the ids of the first
fifty files. `check` sends a notice without words, which Slack refuses: so it tells a hook that works from one that is
gone. Of a token it tests that Slack knows it; its scopes and the bot's place in the channel show with the first
delivery.
"""

    def hosts(self) -> frozenset[str]:
        return frozenset({origin(self.settings.url) if self.settings.url else host_of(self.settings.api)})

    def deliver(self, delivery: Delivery, progress: Progress) -> Receipt:
        once = Once(delivery, progress)
        if once.known is not None:
            return self._receipt(delivery, once, once.known, found=True)
        if self.settings.url is not None:
            what = self._notice(self.settings.url, delivery, once)
        else:
            what = self._shared(once) or self._share(delivery, once)
        once.done(**what)
        return self._receipt(delivery, once, what, found=False)

    def check(self) -> str:
        if self.settings.url is None:
            self._call("auth.test", "testing the token")
            return "Slack knows our token (its scopes and its place in the channel show with the first delivery)"
        answer = self._post(self.settings.url, message({"text": ""}, lambda: None))
        if answer.status != 400:
            raise _hook_failure("testing the hook", answer)
        return f"{host(self.settings.url)} knows the hook (it refused an empty notice, which nobody sees)"

    # --- a notice ---

    def _notice(self, url: Secret, delivery: Delivery, once: Once) -> dict[str, Any]:
        answer = self._post(url, message({"text": self._text(delivery)}, once.begin))
        if answer.status != 200 or answer.body.strip() != b"ok":
            if not unsure(answer):
                once.refused()
            raise _hook_failure("posting", answer)
        return {}

    def _post(self, url: Secret, body: Upload) -> Answer:
        return self.http.call(Request(method="POST", url=url.reveal().strip(), headers=JSON, body=body))

    def _text(self, delivery: Delivery) -> str:
        return words(self.settings.text, delivery, _LONGEST, _escaped)

    # --- files ---

    def _share(self, delivery: Delivery, once: Once) -> dict[str, Any]:
        if any(placed.part.size > _LARGEST for placed in delivery.files):
            raise Permanent("Slack takes files of 1 GiB at most; a notice has no limit")
        ids = [self._upload(delivery, placed.part) for placed in delivery.files]
        kept = ids[: self.remembered]
        titles = [placed.part.name for placed in delivery.files]
        body = {
            "files": [{"id": one, "title": title} for one, title in zip(ids, titles, strict=True)],
            "channel_id": self.settings.channel,
            "initial_comment": self._text(delivery),
        }
        answer = self._ask("files.completeUploadExternal", JSON, message(body, partial(once.begin, ids=kept)))
        if _said(answer, "ok") is not True and not _is_unsure(answer):
            once.refused()
        _good("sharing the files", answer)
        return {"ids": kept}

    def _upload(self, delivery: Delivery, part: Part) -> str:
        """Nobody sees it until it is shared."""
        asked = self._call("files.getUploadURLExternal", "beginning", filename=part.name, length=str(part.size))
        url, file_id = at_path(asked, "upload_url"), at_path(asked, "file_id")
        if not isinstance(url, str) or not isinstance(file_id, str) or not re.fullmatch(r"\w{1,40}", file_id):
            raise Retryable("beginning: the answer names no place for the file")
        if urlsplit(url).scheme != urlsplit(self.settings.api).scheme:
            raise Retryable("beginning: the answer leads to where the file may be read on its way")
        body = Upload(open=partial(delivery.open, part), size=part.size)
        headers = {"Content-Type": "application/octet-stream"}
        answer = self.http.call(Request(method="POST", url=url, headers=headers, body=body))
        if answer.status != 200:
            raise failure("uploading", answer)
        return file_id

    def _shared(self, once: Once) -> dict[str, Any] | None:
        """What an earlier try shared although its answer was lost."""
        ids = once.begun["ids"] if once.begun else ()
        if not ids or not all(map(self._stands, ids)):
            return None
        return {"ids": list(ids)}

    def _stands(self, file_id: str) -> bool:
        """Whether the file is in our channel. A file that is not known, or that we may not look at, is not."""
        answer = self._ask("files.info", _FORM, urlencode({"file": file_id}).encode())
        if _said(answer, "ok") is not True and (not answer.ok or _said(answer, "error") not in _UNSEEN):
            _good("looking", answer)
        places: Iterable[Any] = (_said(answer, f"file.{one}") for one in ("channels", "groups", "ims"))
        return any(self.settings.channel in place for place in places if isinstance(place, list))

    def _call(self, method: str, act: str, **form: str) -> Any:
        return _good(act, self._ask(method, _FORM, urlencode(form).encode()))

    def _ask(self, method: str, headers: Mapping[str, str], body: bytes | Upload) -> Answer:
        token = self.settings.token.reveal() if self.settings.token else ""
        return self.http.call(
            Request(
                method="POST",
                url=f"{self.settings.api.rstrip('/')}/{method}",
                headers=headers,
                auth={"Authorization": f"Bearer {token}"},
                body=body,
            )
        )

    def _receipt(self, delivery: Delivery, once: Once, what: Mapping[str, Any], *, found: bool) -> Receipt:
        ids = what.get("ids", [])
        details = {"ids": ids, "repeats": once.repeats}
        if ids:
            details["sha256"] = [placed.part.sha256 for placed in delivery.files]
            details["bytes"] = sum(placed.part.size for placed in delivery.files)
        location = f"Slack channel {self.settings.channel}" if self.settings.token else "a Slack channel"
        return Receipt(location=location, proof=self.proof, found=found, details=details)


def _escaped(text: str) -> str:
    """https://docs.slack.dev/messaging/formatting-message-text#escaping, 22 Nov 2026"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _said(answer: Answer, path: str) -> Any:
    return at_path(answer.json(), path) if answer.ok else None


def _is_unsure(answer: Answer) -> bool:
    return unsure(answer) or _said(answer, "error") in _UNSURE


def _good(act: str, answer: Answer) -> Any:
    """The answer's JSON; a 200 may say no as well."""
    if not answer.ok:
        raise failure(act, answer)
    if _said(answer, "ok") is not True:
        raise _refusal(act, answer)
    return answer.json()


def _refusal(act: str, answer: Answer) -> WebhookError:
    word = str(_said(answer, "error"))
    said = f"{act}: Slack said no ({word if _WORD.fullmatch(word) else 'in words of its own'})"
    if word in _MAY_PASS:
        return Retryable(said, after=answer.retry_after())
    return Unlikely(f"{said}: is the bot in it?") if word == "channel_not_found" else Permanent(said)


def _hook_failure(act: str, answer: Answer) -> WebhookError:
    word = answer.body.decode(errors="replace").strip()
    said = word if _WORD.fullmatch(word) else ""
    if answer.ok:
        return Retryable(f"{act}: what answered is not Slack")
    return failure(act, answer, said)
