"""What consumers say of a product: a rating, a comment, a request; and what its owner answers."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from polyport.errors import AccessError, LimitError, NotFoundError, QueryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from polyport.ledger.journal import Journal
    from polyport.model import Entry, Principal

LONGEST = 2_000
"""Characters of one text."""
BEST = 5
DAILY = 20
"""How often one principal may say something in a day, of one product."""
_DAY = timedelta(days=1)
_MARKUP = re.compile(r"<[A-Za-z/!?]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that turn the direction of text."""
FIELDS = ("rating", "comment", "request", "public")


@dataclass(frozen=True, slots=True)
class Feedback:
    """What one principal said, and the owner's answer."""

    id: str
    by: str
    at: datetime
    rating: int | None
    """1 to 5."""
    comment: str
    request: str
    """What they would need."""
    public: bool
    """Whether everybody may read it, or only they and the owner."""
    answer: str = ""
    answered_by: str = ""
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """All ratings of a product."""

    count: int
    """How many said something."""
    ratings: int
    mean: float | None
    """Of the ratings; None where there is none."""


def say(journal: Journal, product: str, principal: Principal, given: Mapping[str, Any]) -> Feedback:
    """Keep what `principal` says of `product`.

    Raises:
        QueryError: It is not feedback: nothing said, a rating not from 1 to 5, a text too long or with markup.
        LimitError: The principal said enough for a day.
        StoreError: The journal cannot be read or written.
    """
    document = _checked(given)
    _check_often(journal, product, principal)
    entry = journal.append(
        "feedback", f"f-{secrets.token_hex(5)}", document, product=product, by=principal.id
    )
    return _feedback([entry])


def answer(journal: Journal, product: str, principal: Principal, name: str, text: Any) -> Feedback:
    """Keep the owner's answer to the feedback called `name`; a later one takes its place.

    Raises:
        AccessError: `principal` does not own the product.
        NotFoundError: There is no such feedback.
        QueryError: The text is empty, too long or has markup.
        StoreError: The journal cannot be read or written.
    """
    if not principal.owns(product):
        raise AccessError(
            f"{principal.id} may not answer", where=product, fix="the product's owner answers"
        )
    said = journal.entries("feedback", product=product, name=name)
    if not said:
        raise NotFoundError(f"no feedback {name[:60]!r}", where=product, fix="see `feedback`")
    if not _text(text, "text"):
        raise QueryError("the answer is empty", fix='send {"text": "..."}')
    document = {**said[0].document, "answer": text.strip()}
    made = journal.append("feedback", name, document, product=product, by=principal.id)
    return _feedback([*said, made])


def feedback(journal: Journal, product: str) -> Sequence[Feedback]:
    """All feedback on `product`, newest first.

    Raises:
        StoreError: The journal cannot be read.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in journal.entries("feedback", product=product):
        by_name.setdefault(entry.name, []).append(entry)
    return [_feedback(entries) for entries in reversed(by_name.values())]


def seen_by(principal: Principal, product: str, said: Iterable[Feedback]) -> list[Feedback]:
    """What `principal` may read of it: its own and what is public; the owner: all."""
    everything = principal.owns(product)
    return [each for each in said if everything or each.public or each.by == principal.id]


def summary(said: Iterable[Feedback]) -> Summary:
    """The ratings, added up: of each principal the newest."""
    newest: dict[str, Feedback] = {}
    every = list(said)
    for each in sorted(every, key=lambda f: f.at):
        if each.rating is not None:
            newest[each.by] = each
    ratings = [each.rating for each in newest.values() if each.rating is not None]
    mean = round(sum(ratings) / len(ratings), 2) if ratings else None
    return Summary(len(every), len(ratings), mean)


def _feedback(entries: Sequence[Entry]) -> Feedback:
    """From the entries of one name, oldest first: what was said, then the answers."""
    first, last = entries[0], entries[-1]
    said = first.document
    answered = last if last is not first else None
    return Feedback(
        id=first.name,
        by=first.by,
        at=first.at,
        rating=said.get("rating"),
        comment=said.get("comment") or "",
        request=said.get("request") or "",
        public=bool(said.get("public")),
        answer=answered.document.get("answer", "") if answered else "",
        answered_by=answered.by if answered else "",
        answered_at=answered.at if answered else None,
    )


def _check_often(journal: Journal, product: str, principal: Principal) -> None:
    now = datetime.now(UTC)
    theirs = [
        each.at
        for each in feedback(journal, product)
        if each.by == principal.id and now - each.at < _DAY
    ]
    if len(theirs) >= DAILY:
        wait = int((min(theirs) + _DAY - now).total_seconds()) + 1
        raise LimitError(
            f"{principal.id} said {DAILY} things of {product!r} in a day, as many as are kept",
            where=product,
            fix="come back tomorrow",
            retry_after=wait,
        )


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    for name in given:
        if name not in FIELDS:
            raise QueryError(f"unknown member {name[:60]!r}", fix=f"known: {', '.join(FIELDS)}")
    rating, public = given.get("rating"), given.get("public", False)
    whole = isinstance(rating, int) and not isinstance(rating, bool)
    if rating is not None and not (whole and 1 <= rating <= BEST):
        raise QueryError(f"the rating is not a whole number from 1 to {BEST}", fix='"rating": 4')
    if not isinstance(public, bool):
        raise QueryError("'public' is not true or false", fix='"public": true')
    texts = {name: _text(given.get(name, ""), name) for name in ("comment", "request")}
    if rating is None and not any(texts.values()):
        raise QueryError("nothing is said", fix="send a rating, a comment or a request")
    return {"rating": rating, "public": public, **texts}


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{name!r} is not text", fix=f'"{name}": "..."')
    if len(value) > LONGEST:
        raise QueryError(
            f"{name!r} has {len(value):,} characters; {LONGEST:,} are kept", fix="shorten it"
        )
    if _MARKUP.search(value) or _CONTROL.search(value):
        raise QueryError(
            f"{name!r} is not plain text", fix="leave out markup and control characters"
        )
    return value.strip()
