"""What is watched, who is told and what begins by itself: each mistake is found before anything happens."""

from __future__ import annotations

import pytest
from config_texts import SMALL, problems_of

from holdfast.config.parsing import check_config, parse_config

BASE = (
    SMALL
    + """\
detect:
  quorum: 2
  probes:
    up: {kind: tcp, address: "host:1", fault_site: use1}
    page: {kind: http, url: "https://host/", asset: run}
    stores: {kind: store, site: use1}
recoveries:
  back:
    asset: best
    strategy: BACKUP_AND_RESTORE
    to: [eun]
    automatic: {when: "up AND NOT page FOR 5m", target: /restored}
notify:
  channels:
    page: {kind: pagerduty, secret: "${PD}"}
    mail: {kind: email, server: "mail:587", sender: a@b.example, to: [c@d.example]}
  contacts: {ann: {role: head, reach: "+49"}}
  escalation: [{to: page}, {to: mail, after: 15m, contacts: ann}]
  quiet: {from: "22:00", to: "07:00", severities: warning}
  deadlines: {law: {within: 4h, authority: the regulator, to: mail}}
"""
)


def test_what_is_meant_is_let_be() -> None:
    assert problems_of(BASE) == []
    config = parse_config(BASE.encode(), "x").config
    assert config.recoveries["back"].automatic is not None and config.detect.probes["up"].of == 5
    assert config.notify.all_channels().keys() == {"page", "mail"}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('kind: tcp, address: "host:1", ', "kind: tcp, ", "of the kind `tcp` needs `address`"),
        ('"host:1"', "host", "write host:port"),
        ("https://host/", "ftp://host/", "no address of the web"),
        ("fault_site: use1", "fault_site: us1", "there is no site `us1`; did you mean `use1`?"),
        ("asset: run}", "asset: rum}", "there is no asset `rum`"),
        ("kind: store, site: use1", "kind: store, site: use1, open_after: 6", "6 of the last 5 looks can never be bad"),
        ("kind: store, site: use1", "kind: store, site: use1, observers: [a]", "1 observers can never be 2"),
        ("kind: store, site: use1", "kind: store, site: use1, repair: {do: sync}", "`sync` needs the `asset`"),
        ("kind: store, site: use1", "kind: store, site: use1, repair: {do: command}", "has a `command`"),
        ("kind: store, site: use1", "kind: lag, site: use1, asset: run", "needs `older_than`"),
        ("kind: store", "kind: stor", "did you mean `store`"),
        ("quorum: 2", "quorum: 2\n  observers: [a]", "1 observers can never be 2"),
        ("quorum: 2", "quorum: 2\n  every: 0", "more than no time at all"),
        ("quorum: 2", "quorum: 2\n  every: 10m", "would forget observers"),
        ("up AND NOT page FOR 5m", "up AND NOT pag", "there is no probe `pag`; did you mean `page`?"),
        ("up AND NOT page FOR 5m", "up AND", "this is no condition"),
        ("target: /restored", "target: restored", "write the whole path"),
        ('secret: "${PD}"', "url: https://x", "of the kind `pagerduty` needs `secret`"),
        ('secret: "${PD}"', "secret: R0UT1NGKEY", "a secret is not written here"),
        ("mail:587", "mail", "no address of a mail server"),
        ("to: [c@d.example]", "to: ['c d']", "no address of mail"),
        ("to: mail, after", "to: male, after", "there is no channel `male`; did you mean `mail`?"),
        ("contacts: ann}", "contacts: bob}", "there is no contact `bob`"),
        ("regulator, to: mail", "regulator, to: mai", "there is no channel `mai`"),
        ("within: 4h", "within: 0", "more than no time at all"),
    ],
)
def test_each_mistake_is_found(before: str, after: str, message: str) -> None:
    text = BASE.replace(before, after, 1)
    assert text != BASE
    found = problems_of(text)
    assert any(message in said for _, said in found), found
    assert not any("R0UT1NGKEY" in said for _, said in found)


def test_what_somebody_should_think_about_is_a_note() -> None:
    def notes(text: str) -> list[str]:
        return [one.message for one in check_config(text.encode(), "x").findings]

    assert not any("begin" in note or "nobody" in note for note in notes(BASE))
    alone = notes(BASE.replace("quorum: 2", "quorum: 1"))
    assert any("one observer alone can make `up` bad" in note for note in alone)
    silent = BASE[: BASE.index("notify:")]
    assert any("`notify` has no channel" in note for note in notes(silent))
