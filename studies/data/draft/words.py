"""What the name of a column lets one guess."""

import re
from collections.abc import Iterable
from functools import cache


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LABELS = _words(
    "label labels target click clicked clicks like liked follow followed comment commented "
    "forward share shared hate dislike buy bought purchase purchased order ordered pay paid "
    "conversion converted convert cvr ctr cart addtocart favorite favourite fav collect collected "
    "finish finished watched download downloaded install installed subscribe subscribed signup "
    "reply retweet enter open opened response outcome y success complete completed saved skip "
    "churn churned rated engaged valid playtime view viewed"
)
"""Words in the names of what a person does with what is shown."""
NO_LABEL = _words("has can allow enabled prev previous last history hist past since count cnt num")
"""Words in the names of what was known before."""
RATINGS = _words("rating ratings stars score grade")
AFTER = _words(
    "play playing played watch watched watching dwell stay staytime playtime conversion converted "
    "attribution refund purchase paid revenue gmv finish completion engagement"
)
"""Words in the names of what is measured once something was shown."""
BEFORE = _words(
    "history hist prev previous last since avg mean num cnt count total user item video "
    "rate author past recent"
)
TIMES = _words("time timestamp ts date datetime day dt created at when moment hour")
USERS = _words(
    "user uid member customer client shopper buyer visitor viewer account person usr cookie "
    "device household session_user u"
)
ITEMS = _words(
    "item iid video vid product sku goods article movie film track song ad adid creative news "
    "doc document photo book post listing content target_item feed pid nid offer i"
)
REQUESTS = _words(
    "request req search srch query impression session slate page page_view pv list pageview "
    "reqid visit"
)
WEIGHTS = ("sample_weight", "instance_weight", "row_weight", "importance_weight")
CODES = _words(
    "id ids code type cat category class tab zone zip postcode city state country region hash "
    "channel slot level flag os brand model version group status"
)
NUMBERS = _words(
    "num number count cnt amount price age days duration length len width height score rate ratio "
    "ctr cost income balance size seconds ms minutes hours total sum avg mean gains losses wage "
    "weeks fans"
)
SEQUENCES = _words("hist history recent last seq sequence past clicked_items viewed")


@cache
def tokens(name: str) -> tuple[str, ...]:
    """The words of a name.

    >>> tokens("isClick"), tokens("user_ID"), tokens("watch-time 7d")
    (('is', 'click'), ('user', 'id'), ('watch', 'time', '7d'))
    """
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return tuple(re.sub(r"[\W_]+", " ", parted).lower().split())


def core(name: str) -> str:
    """The name without what says that it is a key.

    >>> core("userId"), core("video_id"), core("uid")
    ('user', 'video', 'uid')
    """
    words = [word for word in tokens(name) if word not in ("id", "ids", "idx", "key")]
    return "_".join(words or tokens(name))


def has(name: str, words: Iterable[str]) -> bool:
    """Whether a word of the name is among them."""
    return not frozenset(tokens(name)).isdisjoint(words)


def names_a_label(name: str) -> bool:
    """Whether it sounds like what a person did."""
    return has(name, LABELS) and not has(name, NO_LABEL)


def names_a_person_or_thing(name: str) -> bool:
    """Whether it sounds like a key of users, items or requests."""
    return core(name) in (*USERS, *ITEMS, *REQUESTS) or "id" in tokens(name)
