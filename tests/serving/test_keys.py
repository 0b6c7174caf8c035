"""Keys: what opens, what does not, and that nothing tells what they are."""

import re
from hashlib import sha256

import pytest

from churn.errors import BadInput
from churn.settings import Settings
from serving import __main__ as command
from serving.keys import Keys, new_key

ONE, OTHER = new_key(), new_key()
KEYS = Keys([ONE.digest, OTHER.digest.upper()])


def test_a_new_key_is_long_and_its_digest_is_what_any_tool_gives() -> None:
    assert len(ONE.key) >= 43
    assert ONE.key != OTHER.key
    assert ONE.digest == sha256(ONE.key.encode()).hexdigest()


@pytest.mark.parametrize("key", [ONE.key, OTHER.key], ids=["one", "other"])  # keys are random, names must not be
@pytest.mark.parametrize(
    ("name", "value"), [(b"x-api-key", "{}"), (b"authorization", "Bearer {}"), (b"authorization", "bearer  {} ")]
)
def test_every_key_opens_in_either_header(key: str, name: bytes, value: str) -> None:
    assert KEYS.among([(b"host", b"x"), (name, value.format(key).encode())]) is True


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-api-key", ONE.digest.encode())],  # who reads the settings has no key
        [(b"x-api-key", ONE.key.encode()[:-1])],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"\xff\xfe")],
        [(b"authorization", b"Bearer " + ONE.key.encode() + b"x")],
        [(b"authorization", b"Bearer ")],
    ],
)
def test_another_key_does_not_open(headers: list[tuple[bytes, bytes]]) -> None:
    assert KEYS.among(headers) is False


def test_a_request_without_a_key_is_told_apart() -> None:
    assert KEYS.among([]) is None
    assert KEYS.among([(b"authorization", b"Basic " + ONE.key.encode())]) is None


def test_a_wrong_key_beside_a_right_one_does_no_harm() -> None:
    """A proxy may use the other header for itself."""
    right, wrong = (b"x-api-key", ONE.key.encode()), (b"authorization", b"Bearer a-proxys-own")
    assert KEYS.among([right, wrong]) is True
    assert KEYS.among([wrong, right]) is True


@pytest.mark.parametrize(
    "digest",
    [ONE.key, ONE.digest[:-1], ONE.digest + "0", "g" * 64, ""],
    ids=["key", "short", "long", "other letters", "empty"],
)
def test_a_digest_that_is_none_is_named_and_not_shown(digest: str) -> None:
    with pytest.raises(BadInput, match="value 2 of 2") as refusal:
        Keys([OTHER.digest, digest])
    assert not digest or digest not in str(refusal.value)
    assert "new-key" in str(refusal.value)


def test_no_digests_are_no_keys() -> None:
    assert not Keys([])
    assert Keys([ONE.digest])


def test_the_command_makes_a_key_and_the_line_that_keeps_the_others(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_API_KEYS", ONE.digest)
    assert command.main(["new-key"]) == 0
    said = capsys.readouterr().out
    key = re.search(r"^key +(\S+)$", said, re.MULTILINE)
    line = re.search(r"^CHURN_API_KEYS=(\S+)$", said, re.MULTILINE)
    assert key and line
    monkeypatch.setenv("CHURN_API_KEYS", line[1])
    keys = Keys(Settings().api_keys)
    for known in (key[1], ONE.key):
        assert keys.among([(b"x-api-key", known.encode())])
