"""Which fields of a record answer what SOC 2, ISO 22301, NIST SP 800-53 and DORA ask; and what they do not answer.

A record supports an audit of these controls; it makes nobody compliant. What a control asks is said in our own words,
shortened: read the source. Sources: AICPA Trust Services Criteria (2017, points of focus revised 2022); ISO 22301:2019;
NIST SP 800-53 Rev. 5.1; Regulation (EU) 2022/2554 (DORA) and Delegated Regulation (EU) 2024/1774 (its RTS on ICT risk
management).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from holdfast.evidence.record import Evidence
from holdfast.objectives import NotMeasured

__all__ = ["CONTROLS", "Answer", "Control", "answers_of", "controls_csv", "gaps_in"]


class Control(NamedTuple):
    """`fields`: paths in `evidence.json` that answer it. `open`: what this record does not answer."""

    framework: str
    control: str
    asks: str
    fields: tuple[str, ...]
    open: str


class Answer(NamedTuple):
    """How far a record goes for a control: `supports`, `supports in part` (figures of it are NOT_MEASURED), or
    `not by this record` (nothing of it is there).
    """

    control: Control
    extent: str
    missing: tuple[str, ...]


_TEST: Final = ("identity.exercise", "identity.environment", "scenario", "timeline", "results.outcome")
_RESTORE: Final = ("results.points", "integrity.checks", "integrity.sample_percent", "scope.sites")

CONTROLS: Final = (
    Control(
        "SOC 2",
        "A1.2",
        "Backups, recovery infrastructure and protection of the environment are designed, run and watched so that the "
        "availability objectives are met.",
        ("targets.policy", "scope.sites", "snapshots", "results.points", "results.measured.copies"),
        "Physical protection of sites, capacity planning of the whole, backups of what is not in scope.",
    ),
    Control(
        "SOC 2",
        "A1.3",
        "Recovery procedures are tested, and restored data are checked for being whole.",
        (*_TEST, *_RESTORE, "findings", "closed"),
        "Whether tests are as frequent as the organisation promised: see the trends over several records.",
    ),
    Control(
        "SOC 2",
        "CC7.5",
        "After an incident the environment is restored, its cause is looked for, procedures are improved and tested.",
        ("timeline", "steps", "deviations", "findings", "closed", "results.outcome"),
        "The root cause of an incident, and changes to the architecture.",
    ),
    Control(
        "ISO 22301",
        "8.5",
        "Exercises with planned scenarios and defined aims are held, reported with outcomes and recommendations, and "
        "lead to improvement.",
        (*_TEST, "targets", "people", "findings", "deviations", "clean_up"),
        "The programme of exercises over time, and the exercise of people, premises and suppliers.",
    ),
    Control(
        "ISO 22301",
        "8.6",
        "Continuity documentation and capabilities are evaluated by exercises, tests and reviews after incidents, and "
        "brought up to date.",
        ("identity.plan", "results.verdict", "results.predicted", "findings", "closed"),
        "Evaluation of suppliers, and of the business impact analysis behind the targets.",
    ),
    Control(
        "NIST SP 800-53",
        "CP-4",
        "The contingency plan is tested at a defined frequency by defined tests, results are reviewed, and corrections "
        "begun.",
        (*_TEST, "identity.plan", "deviations", "findings", "closed", "people"),
        "The frequency that was defined, and the review of results by whoever answers for the system.",
    ),
    Control(
        "NIST SP 800-53",
        "CP-9",
        "Backups are made as often as the recovery objectives ask, protected, and tested for reliability and integrity "
        "by restoring a sample.",
        ("targets.policy", "snapshots", *_RESTORE, "trust"),
        "Backups of system documentation, and of systems that are not in scope.",
    ),
    Control(
        "NIST SP 800-53",
        "CP-10",
        "The system is recovered and reconstituted to a known state within the objectives for time and point.",
        ("results.measured", "results.verdict", "steps", "results.points", "integrity.checks"),
        "Reconstitution of what is not in scope: networks, identities, other services.",
    ),
    Control(
        "DORA",
        "Art. 11(6)",
        "ICT business continuity plans, response and recovery plans are tested at least yearly and after substantive "
        "changes, with scenarios of cyber attack and of switching to redundant infrastructure.",
        (*_TEST, "identity.plan", "results.phases", "people"),
        "Tests of crisis communication; whether a year has passed: see the trends.",
    ),
    Control(
        "DORA",
        "Art. 12",
        "Backups and recovery methods are documented and tested periodically; restoring uses systems that are separate "
        "from the source, integrity is checked several ways; objectives for time and point are set for each function.",
        ("targets", "scope.sites", *_RESTORE, "results.measured.copies", "identity.environment"),
        "How the criticality of functions was determined.",
    ),
    Control(
        "DORA",
        "Art. 24 to 26",
        "A programme of digital operational resilience testing exists, by independent testers, findings are ranked and "
        "remedied; some entities do threat-led penetration testing.",
        ("identity.exercise", "scenario", "findings", "closed", "people"),
        "Independence of the testers, and threat-led penetration testing: a recovery drill is neither.",
    ),
    Control(
        "DORA RTS",
        "Art. 25, 26",
        "Tests of ICT continuity and of response and recovery use realistic scenarios, check that plans and data are "
        "usable, record results, and report deficiencies until they are closed.",
        ("scenario.faults", "scenario.simulated", "results.verdict", "integrity.checks", "findings", "closed"),
        "Tests at ICT third-party service providers, and reports to the management body.",
    ),
)


def answers_of(record: Evidence) -> tuple[Answer, ...]:
    """For each control how far this record goes."""
    content = msgspec.to_builtins(record)
    return tuple(_answer(control, content) for control in CONTROLS)


def _answer(control: Control, content: object) -> Answer:
    there, missing = 0, []
    for field in control.fields:
        value = _at(content, field)
        gaps = list(gaps_in(value, field))
        there += not _is_empty(value) and gaps != [field]
        missing += gaps
        if _is_empty(value) and field not in ("findings", "closed", "deviations", "scenario.simulated"):
            missing.append(f"{field}: nothing")
    extent = "not by this record" if not there else "supports in part" if missing else "supports"
    return Answer(control, extent, tuple(missing))


def _at(content: object, field: str) -> object:
    for name in field.split("."):
        if not isinstance(content, dict):
            return None
        content = content.get(name)
    return content


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {})


def gaps_in(value: object, path: str) -> Iterator[str]:
    """Paths of all figures that say NOT_MEASURED. What never came to a site has no time, and is no gap."""
    if value == NotMeasured.NOT_MEASURED.value:
        yield path
    elif isinstance(value, dict):
        if value.get("state") != "absent":
            for key, inner in value.items():
                yield from gaps_in(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from gaps_in(inner, f"{path}[]")


def controls_csv(record: Evidence) -> str:
    """A table for who keeps controls elsewhere: RFC 4180, with a line of names. No cell begins like a formula."""
    import csv
    import io

    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["framework", "control", "asks", "fields", "this record", "not measured", "not answered", "record"])
    for one in answers_of(record):
        control = one.control
        missing = " ".join(dict.fromkeys(one.missing))
        cells = [control.framework, control.control, control.asks, " ".join(control.fields), one.extent, missing]
        writer.writerow([_cell(cell) for cell in [*cells, control.open, record.identity.record_id]])
    return out.getvalue()


def _cell(text: str) -> str:
    """A spreadsheet would take what begins like this for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
