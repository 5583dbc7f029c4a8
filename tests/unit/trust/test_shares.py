"""Keys in shares: any k of n open, fewer or others do not, and what is wrong with them is said without showing them."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import pytest

from holdfast.errors import CredentialError, HoldfastError, PermissionDeniedError, UsageError, WrongKeyError
from holdfast.trust.credentials import Credential
from holdfast.trust.keyfile import create_private_file
from holdfast.trust.keyring import find_credential
from holdfast.trust.shares import Share, combine_shares, decode_share, encode_share, split_key
from holdfast.trust.suites import Suite

VAULT, OTHER = "00112233445566778899aabbccddeeff", "ff" * 16
KEEPER = "ee59477150fda53cf32b50538a6c9f57"
SPLIT = split_key(VAULT, "break-glass", KEEPER, shares=5, threshold=3, suite=Suite.HYBRID_1)


def test_any_three_of_five_are_the_key() -> None:
    keys = {credential_key(combine_shares(some)) for some in combinations(SPLIT.shares, 3)}
    assert len(keys) == 1
    combined = combine_shares(SPLIT.shares)
    assert combined.opener is not None and combined.opener.public == SPLIT.public
    assert (combined.role, combined.vault_id, combined.label) == ("reader", VAULT, "break-glass")
    assert combined.keepers == (KEEPER,)


def credential_key(credential: Credential) -> bytes:
    assert credential.opener is not None
    return credential.opener.to_bytes()


def test_of_the_second_suite() -> None:
    split = split_key(VAULT, "strong", KEEPER, shares=3, threshold=2, suite=Suite.HYBRID_2)
    opener = combine_shares(split.shares[1:]).opener
    assert opener is not None and opener.suite is Suite.HYBRID_2 and opener.public == split.public


def test_two_do_not_open_and_it_says_how_many_are_missing() -> None:
    for some in (SPLIT.shares[:2], [*SPLIT.shares[:2], SPLIT.shares[0]]):
        with pytest.raises(WrongKeyError, match=r"3 shares open 'break-glass', and only 2 .*\(number 1, 2\)") as caught:
            combine_shares(some)
        assert caught.value.hint == "1 more are needed"
    with pytest.raises(WrongKeyError, match="no share"):
        combine_shares([])


def test_shares_of_another_vault_label_or_split_are_told_apart() -> None:
    elsewhere = split_key(OTHER, "break-glass", KEEPER, shares=5, threshold=3, suite=Suite.HYBRID_1)
    with pytest.raises(WrongKeyError, match=f"share 3 is of vault {OTHER}"):
        combine_shares([*SPLIT.shares[:2], elsewhere.shares[2]])
    named = split_key(VAULT, "board", KEEPER, shares=5, threshold=3, suite=Suite.HYBRID_1)
    with pytest.raises(WrongKeyError, match="share 3 is of the key 'board'"):
        combine_shares([*SPLIT.shares[:2], named.shares[2]])
    again = split_key(VAULT, "break-glass", KEEPER, shares=5, threshold=3, suite=Suite.HYBRID_1)
    with pytest.raises(WrongKeyError, match="do not belong together") as caught:
        combine_shares([*SPLIT.shares[:2], again.shares[2]])
    assert caught.value.__context__ is None, "the library's message holds words of the shares"


def test_text_says_four_things_and_the_words() -> None:
    text = encode_share(SPLIT.shares[1]).decode()
    head, words = text.split("\n\n")
    assert head.splitlines() == [
        "holdfast key share 1",
        f"vault: {VAULT}",
        "label: break-glass",
        "share: 2",
        "threshold: 3",
    ]
    assert len(words.split()) == 47
    assert max(map(len, text.splitlines())) <= 80


def test_as_people_type_it() -> None:
    text = encode_share(SPLIT.shares[0]).decode()
    typed = "\r\n\n" + text.replace("\n", " \r\n").replace("share: 1", "Share :1")
    head, _, words = typed.partition("threshold")
    share = decode_share((head + "threshold" + words.upper().replace(" ", "   ")).encode(), "x")
    assert (share.number, share.words) == (1, SPLIT.shares[0].words)


@pytest.mark.parametrize("at", range(47))
def test_each_wrong_word_is_found_and_none_is_shown(at: int) -> None:
    share = SPLIT.shares[0]
    words = share.words.split()
    words[at] = "academic" if words[at] != "academic" else "acid"
    changed = Share(VAULT, "break-glass", 1, 3, " ".join(words))
    with pytest.raises(CredentialError, match=r"share 1 in one\.share .* checksum") as caught:
        decode_share(encode_share(changed), "one.share")
    shown = f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}"
    assert words[at] not in shown.split()
    # A single word may be one of the message's own: "that" is in the list.
    assert not [pair for pair in pairwise(words) if " ".join(pair) in shown]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("share: 2", "share: 3"),
        lambda text: text.replace("threshold: 3", "threshold: 2"),
        lambda text: text.replace("vault: 0", "vault: x"),
        lambda text: text.replace("label: break-glass", "label: break glass"),
        lambda text: text.replace("share 1", "share 2"),
        lambda text: text.rsplit(" ", 1)[0],
        lambda text: text + "zero " * 40,
        lambda text: "",
        lambda text: "ü",
        lambda text: text.replace("threshold: 3\n", ""),
    ],
)
def test_a_damaged_text_is_refused(change) -> None:
    with pytest.raises(CredentialError):
        decode_share(change(encode_share(SPLIT.shares[1]).decode()).encode(), "x")


@pytest.mark.parametrize(("shares", "threshold"), [(5, 1), (5, 6), (17, 3), (1, 1), (0, 0), (3, -1)])
def test_senseless_numbers(shares: int, threshold: int) -> None:
    with pytest.raises(UsageError):
        split_key(VAULT, "x", KEEPER, shares=shares, threshold=threshold, suite=Suite.HYBRID_1)


def test_a_share_shows_no_word_and_is_not_pickled() -> None:
    import pickle

    share = SPLIT.shares[0]
    assert not set(share.words.split()) & set(repr(share).replace("'", " ").split())
    with pytest.raises(HoldfastError):
        pickle.dumps(share)


def test_the_environment_names_the_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{share.number}.share" for share in SPLIT.shares]
    for path, share in zip(paths, SPLIT.shares, strict=True):
        create_private_file(path, encode_share(share))
    environ = {"HOLDFAST_KEY_SHARES": ":".join(map(str, paths[2:])), "XDG_CONFIG_HOME": str(tmp_path)}
    assert find_credential(VAULT, environ=environ).keepers == (KEEPER,)
    with pytest.raises(CredentialError, match=f"is for the vault {VAULT}"):
        find_credential(OTHER, environ=environ)
    with pytest.raises(CredentialError, match="needs a keeper's"):
        find_credential(VAULT, prefer=["keeper"], environ=environ)
    paths[4].chmod(0o644)
    with pytest.raises(PermissionDeniedError):
        find_credential(VAULT, environ=environ)
    with pytest.raises(CredentialError, match="there is no key file"):  # a key file that is named comes first
        find_credential(VAULT, environ={**environ, "HOLDFAST_KEY_FILE": str(tmp_path / "absent")})


def test_more_than_needed_and_one_that_is_of_an_earlier_split() -> None:
    """On the day on which they are needed, nobody has to find out which of five is the wrong one."""
    old, new = (split_key(VAULT, "break-glass", KEEPER, shares=5, threshold=3, suite=Suite.HYBRID_1) for _ in range(2))
    expected = combine_shares(new.shares[:3])
    assert combine_shares([old.shares[0], *new.shares[1:4]]) == expected
    assert combine_shares([old.shares[0], new.shares[0], old.shares[4], new.shares[2], new.shares[3]]) == expected
    with pytest.raises(WrongKeyError, match="do not belong together"):
        combine_shares([*old.shares[:2], *new.shares[2:4]])
