"""A file of which every word is understood, and which cannot be meant: each mistake with its line."""

from __future__ import annotations

import pytest
from config_texts import SMALL, changed, config_of, example, problems_of

from holdfast.config.credentials import credential_names
from holdfast.config.parsing import check_config
from holdfast.stores import cloud_options

RUN = "place: {synchronous: [use1], asynchronous: [euw4]}"
BEST = "place: {synchronous: [use1, eun]}"
DATA = "place: {only_jurisdiction: EU, stripes: 2+1}"


def test_the_files_to_be_changed_have_no_problems() -> None:
    assert problems_of(SMALL) == []
    assert problems_of(example()) == []


NAMES = [
    ("class: training", "class: trainning", 37, "there is no class `trainning`; did you mean `training`?"),
    ("class: training", "class: x", 37, "there are weights, training, dataset"),
    ("training: {rpo: 2h}", "trainng: {rpo: 2h}", 33, "has to say which class it is `like`; did you mean `training`?"),
    ("like: weights", "like: wights", 34, "did you mean `weights`"),
    ("like: weights", "like: gold", 34, "there is no class that comes with Holdfast `gold`"),
    ("training: {rpo: 2h}", "training: {like: dataset}", 33, "comes with Holdfast"),
    ("synchronous: [use1], ", "synchronous: [us1], ", 39, "there is no site `us1`; did you mean `use1`?"),
    ("path: /data", "home: frankfurt", 47, "there is no site `frankfurt`"),
    ("classes:", "groups: {g: {assets: [run, bst]}}\nclasses:", 32, "there is no asset `bst`; did you mean `best`?"),
    ("classes:", "recoveries: {r: {asset: rn, strategy: PILOT_LIGHT, to: euw4}}\nclasses:", 32, "did you mean `run`?"),
    ("classes:", "recoveries: {r: {group: g, strategy: PILOT_LIGHT, to: euw4}}\nclasses:", 32, "and none at all"),
    ("classes:", "recoveries: {r: {asset: run, strategy: PILOT_LIGHT, to: eu}}\nclasses:", 32, "there is no site `eu`"),
    ("classes:", "drills: {d: {recovery: r, level: functional, every: 7d}}\nclasses:", 32, "there is no recovery `r`"),
    ("{url: gs://acme-euw4}", "{url: gs://acme-euw4, link: fast}", 21, "there is no link of this site `fast`"),
]

STORES = [
    ("gs://acme-euw4", "gs://user:hunter2@acme", 21, "holds a user, a password"),
    ("gs://acme-euw4", "gss://acme", 21, "there are no stores of the kind gss://"),
    ("gs://acme-euw4", "gs:acme", 21, "begins with gs:, not with gs://"),
    ("file:///nvme/holdfast", "./nvme", 9, "is written whole"),
    ("file:///nvme/holdfast", '"file:///a?sig=AbCdEf0123"', 9, "looks like a secret"),
    ("file:///nvme/holdfast", "file:///a, lock: 1d", 9, "a folder cannot lock"),
    ("lock: 30d", "lock: 0", 10, "protects nothing"),
    ("s3://acme-use1b", "s3://acme-use1", 12, "is the same store as use1/warm"),
    ("s3://acme-use1b", "s3://acme-use1/vaults/b", 12, "lies inside use1/warm"),
    ("s3://acme-use1b", "file:///nvme/holdfast/b/", 12, "lies inside use1/hot"),
    ("s3://acme-use1b", "file:///nvme/x/../holdfast", 12, "is the same store as use1/hot"),
    ("{endpoint:", "{endpiont:", 26, "did you mean `endpoint`"),
    ('"https://s3.fra.example"', "http://s3.fra.example", 26, "the endpoint has no TLS"),
    ('"https://s3.fra.example"', "https://me:pw@s3.fra.example", 26, "user or a password"),
    ("{endpoint:", "{secret_access_key: hunter2hunter2, endpoint:", 26, "it stands in `credentials`"),
    ("{url: gs://acme-euw4}", "{url: gs://acme-euw4, credentials: {toke: $X}}", 21, "a secret is not written here"),
    ("{url: gs://acme-euw4}", '{url: gs://acme-euw4, credentials: {toke: "${X}"}}', 21, "did you mean `token`"),
    ("{url: gs://acme-euw4}", "{url: gs://acme-euw4, paths: [{}, {}]}", 21, "as one above it"),
    ("{url: gs://acme-euw4}", "{url: gs://acme-euw4, paths: [{url: s3://acme}]}", 21, "the store itself is a gs one"),
    ("stores: {warm: {url: gs://acme-euw4}}", "stores: {}", 21, "a site needs a store"),
]

LINKS = [
    ("reserve: 2Gbit/s", "reserve: 10Gbit/s", 11, "leaves nothing of `up`"),
    ("up: 10Gbit/s, ", "", 11, "of what is it kept free"),
    ("link: {up", "links: {a: {up: 1Gbit/s}}\n    link: {up", 12, "not both"),
    ("reserve: 2Gbit/s", "limits: [{from: 8:00, to: 8:00, rate: 1Mbit/s}]", 11, "begins when it ends"),
    ("reserve: 2Gbit/s", "limits: [{from: 24:00, to: 8:00, rate: 1Mbit/s}]", 11, "24:00 is when it ends"),
    ("reserve: 2Gbit/s", "limits: [{from: 8:00, to: 9:00, rate: 10Gbit/s}]", 11, "limits nothing"),
    ("reserve: 2Gbit/s", "limits: [{from: 8:00, to: 9:00, rate: 1B/s, days: [mon, mon]}]", 11, "stands here twice"),
]

PLACES = [
    # Jurisdictions: refused wherever a site is named.
    (DATA, "place: {only_jurisdiction: EU, stripes: 2+1, sites: [euw4, fra, use1]}", 48, "`use1` is in US"),
    (DATA, "place: {only_jurisdiction: EU, synchronous: [euw4], asynchronous: [use1]}", 48, "may lie only in EU"),
    (RUN, "place: {synchronous: [use1], asynchronous: [euw4], not_in: US}", 39, "may lie not in US"),
    (DATA, "place: {only_jurisdiction: EU, not_in: EU}", 48, "leave no jurisdiction"),
    (DATA, "home: use1\n    place: {only_jurisdiction: EU, stripes: 2+1}", 48, "`use1` is in US"),
    ("rpo: 2h", "place: {only_jurisdiction: EU}", 39, "`use1` is in US, and run may lie only in EU"),
    ("  gold:", "  dataset: {place: {only_jurisdiction: US}}\n  gold:", 49, "the rules for data leave no jurisdiction"),
    (
        "classes:",
        "recoveries: {r: {asset: data, strategy: PILOT_LIGHT, to: [fra, use1]}}\nclasses:",
        32,
        "`use1` is in US, and data may lie only in EU",
    ),
    (
        "classes:",
        "groups: {g: {assets: [run, data]}}\nrecoveries: {r: {group: g, strategy: PILOT_LIGHT, to: [use1]}}\nclasses:",
        33,
        "`use1` is in US, and data may lie only in EU",
    ),
    # Copies, quorums and stripes over sites that fail together.
    (RUN, "place: {synchronous: [use1], asynchronous: [use1b]}", 39, "one failure domain (aws us-east-1)"),
    (RUN, "place: {synchronous: [use1]}", 39, "2 sites that fail independently have to have a copy"),
    (RUN, "place: {synchronous: [use1], asynchronous: [use1]}", 39, "`use1` is named twice"),
    (RUN, "place: {synchronous: [use1, euw4], quorum: 3}", 39, "wait for 3 sites"),
    (BEST, "place: {synchronous: [use1], asynchronous: [eun]}", 44, "`synchronous` names 1"),
    (BEST, "place: {synchronous: [use1, use1b], asynchronous: [eun]}", 44, "`synchronous` names 1"),
    (BEST, "place: {synchronous: [use1, use1b, eun]}", 44, "a quorum could lie in it alone"),
    (BEST, "place: {synchronous: [use1, eun], quorum: 1}", 44, "an RPO of 0 needs a quorum of two"),
    (BEST, "place: {synchronous: [use1, euw4]}", 44, "euw4/warm has no `lock`"),
    (DATA, "place: {stripes: 2+1, sites: [use1, use1b, fra]}", 48, "use1 and use1b are one failure domain"),
    (DATA, "place: {stripes: 2+1, sites: [use1, fra]}", 48, "2+1 lie over 3 sites, and 2 are named"),
    (DATA, "place: {only_jurisdiction: EU, stripes: 3+1}", 48, "which use1, use1b are not"),
    (DATA, "place: {stripes: 4+2}", 48, "4+2 need 6 sites"),
    (DATA, "copies: 3\n    place: {only_jurisdiction: EU, stripes: 2+1}", 49, "take more parity"),
    (DATA, "place: {stripes: 2+1, synchronous: [euw4]}", 48, "stripes lie over `sites`"),
    (DATA, "place: {stripes: 2+1, quorum: 2}", 48, "stripes have no quorum"),
    (RUN, "place: {sites: [use1, euw4]}", 39, "`sites` is for stripes"),
    (RUN, f"home: fra\n    {RUN}", 39, "`fra` is not among `synchronous`"),
    (RUN, f"home: use1/cold\n    {RUN}", 39, "`use1` has no cold store"),
    (
        "classes:",
        "witnesses: {w: {name: b.test/w, site: use1, assets: [data]}}\nclasses:",
        32,
        "a witness keeps what the log tells of, and `use1` is in US, and data may lie only in EU",
    ),
    ("classes:", "witnesses: {w: {name: b.test/w, site: use1}}\nclasses:", 32, "data may lie only in EU"),
    ("classes:", "witnesses: {w: {name: b.test/w, site: us}}\nclasses:", 32, "there is no site `us`"),
    ("classes:", "witnesses: {w: {name: b.test/w, site: fra, assets: [dta]}}\nclasses:", 32, "did you mean `data`"),
    (
        "classes:",
        "witnesses: {v: {name: b.test/w, site: fra}, w: {name: b.test/w, site: fra}}\nclasses:",
        32,
        "`b.test/w` stands here twice",
    ),
    # One store holds stripes, or a vault.
    (
        DATA,
        "place: {stripes: 2+1, sites: [euw4, fra, euns]}",
        48,
        "for whole copies of run: one store cannot hold both",
    ),
    (RUN, "place: {synchronous: [use1], asynchronous: [euw4s]}", 48, "euw4s/warm is declared for the stripes of data"),
    (
        DATA,
        f"{DATA}\n  more: {{class: dataset, place: {{stripes: 2+1, sites: [fra, euw4s, euns]}}}}",
        48,
        "are declared for the stripes of data, and for other stripes (2+1) of more",
    ),
    (BEST, "place: {synchronous: [use1, eun], stripes: 2+1}", 44, "stripes lie over `sites`"),
    ("class: dataset", "class: regulated", 45, "`rpo` and `rto` and `copies` have to be said"),
]

PROMISES = [
    (
        RUN,
        f"{RUN}\n    save_every: 3h",
        33,
        "run owes an RPO of 2 h 00 min (from class training), but is saved every 3 h",
    ),
    (RUN, f"{RUN}\n    replicate_every: 3h", 33, "copied every 3 h 00 min (from the asset)"),
    (RUN, f"{RUN}\n    rpo: 1min\n    save_every: 30s\n    replicate_every: 31s", 40, "owes an RPO of 1 min 00 s"),
    ("rpo: 2h", "rto: 5min", 33, "but when use1 is lost euw4/warm gives its first byte after 10 min 00 s"),
    ("rpo: 2h", "rto: 0", 33, "`rto` is more than no time"),
    ("rpo: 2h", "verify_every: 0", 33, "`verify_every` is more than no time"),
    ("rpo: 2h", "tiers: {hot: {after: 1d}}", 33, "nothing ages into the hot tier"),
    ("rpo: 2h", "tiers: {cold: {after: 1d}}", 33, "no site of run has a cold store"),
    (
        DATA,
        f"{DATA}\n    tiers: {{warm: {{after: 9d}}, cold: {{after: 9d}}}}",
        49,
        "is older than what goes to the warm one",
    ),
    ("{last: 5, daily: 14}", "{last: 1}", 40, "this keeps one snapshot of run"),
    ("{last: 5, daily: 14}", "{within: 1h}\n    save_every: 90min", 40, "this keeps one snapshot of run"),
    ("watch: /ckpt/run", "watch: /ckpt/run\n    path: /other", 39, "has `watch` or `path`, not both"),
]

OTHERS = [
    ("classes:", "groups: {g: {assets: []}}\nclasses:", 32, "at least one asset is needed"),
    ("classes:", "groups: {g: {assets: [run, run]}}\nclasses:", 32, "`run` is named twice"),
    (
        "classes:",
        "recoveries: {r: {strategy: PILOT_LIGHT, to: euw4}}\nclasses:",
        32,
        "of one `asset`, or of one `group`",
    ),
    ("classes:", "recoveries: {r: {asset: run, strategy: PILOT_LIGHT, to: []}}\nclasses:", 32, "at least one site"),
    (
        "classes:",
        "recoveries: {r: {asset: run, strategy: PILOT_LIGHT, to: euw4}}\n"
        "drills: {d: {recovery: r, level: functional, every: 1d, surprise_within: 2d}}\nclasses:",
        33,
        "run into the next drill",
    ),
    ("classes:", "notify: {slack: hunter2}\nclasses:", 32, "a secret is not written here"),
    ("classes:", "notify: {slack: file:///run/x}\nclasses:", 32, "a reference is no URL"),
]


@pytest.mark.parametrize(("before", "after", "line", "said"), [*NAMES, *STORES, *LINKS, *PLACES, *PROMISES, *OTHERS])
def test_what_cannot_be_meant_is_refused_with_its_line(before: str, after: str, line: int, said: str) -> None:
    found = problems_of(changed(before, after))
    assert any(at == line and said in message for at, message in found), found
    assert len(found) <= 2, "one mistake is not told in many ways"
    assert not any("hunter2" in message or "AbCdEf" in message for _, message in found)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("s3://acme-use1b", "s3://fra"),  # the same name at another endpoint is another bucket
        ("s3://acme-use1b", "s3://acme-use1-b"),
        ("s3://acme-use1b", "file:///nvme/holdfast-b"),
        ("s3://acme-use1b", "memory://b"),
        (RUN, "place: {synchronous: [use1, use1b], asynchronous: [euw4]}"),
        (RUN, "place: {asynchronous: [use1, euw4]}"),
        (RUN, f"{RUN}\n    save_every: 1h"),
        (RUN, f"home: use1/hot\n    {RUN}"),
        (BEST, "place: {synchronous: [use1, euw4, eun]}"),  # two of the three lock, and two are owed
        (RUN, "place: {synchronous: [use1, use1b, euw4]}"),  # a save waits for all of them
        (DATA, f"{DATA}\n  more: {{class: dataset, place: {{stripes: 2+1, sites: [euw4s, euns, fra]}}}}"),  # they share
        ("classes:", "witnesses: {w: {name: b.test/w, site: use1, assets: [run]}}\nclasses:"),  # of another vault
        ("classes:", "witnesses: {w: {name: b.test/w, site: fra}}\nclasses:"),
        ("{last: 5, daily: 14}", "{last: 2}"),
        ("{last: 5, daily: 14}", "{within: 1h}"),
        ("{last: 5, daily: 14}", "{weekly: all}"),
        ("{last: 5, daily: 14}", "{components: {optimizer: {last: 1}}}"),
        ("class: dataset", "class: regulated\n    rpo: 1d\n    rto: 1d\n    copies: 2"),
        ("up: 10Gbit/s, reserve: 2Gbit/s", "limits: [{from: 22:00, to: 6:00, rate: 1Gbit/s, days: sun}]"),
    ],
)
def test_what_is_right_is_let_be(before: str, after: str) -> None:
    assert problems_of(changed(before, after)) == []


def test_sites_that_fail_together_and_sections_that_nothing_acts_on_are_notes() -> None:
    text = changed("classes:", "notify: {slack: file:slack}\nclasses:")
    notes = [(one.line, one.message) for one in check_config(text.encode(), "x").findings]
    assert [line for line, _ in notes] == [12, 17, 27, 32]
    assert notes[0][1].startswith("`use1b` and `use1` are one failure domain (aws us-east-1)")
    assert notes[-1][1] == "nobody is told of anything: `detect` has no probes"


def test_an_asset_cannot_widen_the_rule_of_its_class() -> None:
    text = changed("rpo: 2h", "place: {only_jurisdiction: [EU, US]}")
    assert problems_of(text) == []
    narrower = changed(RUN, "place: {only_jurisdiction: EU, asynchronous: [euw4, eun]}", text)
    assert problems_of(narrower) == []
    wider = changed("only_jurisdiction: [EU, US]", "only_jurisdiction: EU", text)
    wider = changed(RUN, "place: {only_jurisdiction: [EU, US], synchronous: [use1], asynchronous: [euw4]}", wider)
    assert [message for _, message in problems_of(wider)] == ["`use1` is in US, and run may lie only in EU"]


def test_the_names_of_credentials_are_those_that_stores_refuse_as_options() -> None:
    for kind, names in cloud_options._SECRET.items():
        assert set(credential_names(kind)) == set(names)
    assert credential_names("folder") == ()


def test_the_design_s_example_has_the_mistakes_that_it_has() -> None:
    """Without its missing sites and assets it would not survive what it promises."""
    text = example()
    text = changed("assets: [llama-weights, tokenizer]", "assets: [llama-weights, tokenizer, serving-config]", text)
    cut = text[: text.index("  fra:")] + text[text.index("classes:") :]
    cut = cut.replace(", asynchronous: [fra]", "").replace("    home: fra-stripes\n", "")
    cut = changed(", sites: [fra-stripes, euw4-stripes, eun]", "", cut)
    cut = changed("site: fra,", "site: euw4,", cut)
    found = [message for _, message in problems_of(cut)]
    assert found == [
        "2+1 need 3 sites that fail independently, and there is 1: it may lie only in EU, which use1 is not",
        "there is no asset `serving-config`: there are llama-pretrain, llama-weights, tokenizer, "
        "llama-release, control-plane, customer-data",
    ]
    assert config_of(example())
