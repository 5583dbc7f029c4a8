"""The routes of verbs, made from their table: arguments from the path, the query or the body; the record as it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from litestar import Request, Response, get, post
from litestar.concurrency import sync_to_thread
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import Body, HeaderParameter, PathParameter, QueryParameter

from holdfast.control.service.operations import Asking, Memo, Operation
from holdfast.errors import UsageError
from holdfast.web.api.answers import require_match, tag_of
from holdfast.web.api.once import once
from holdfast.web.api.reads import read
from holdfast.web.problems import Problem
from holdfast.web.security.callers import caller_of
from holdfast.web.security.policies import needs

__all__ = ["verb_routes"]

_PREFIX: Final = "/api/v1"
_PART: Final = re.compile(r"\{(\w+):\w+\}")
_PROBLEMS: Final = {
    400: "The request makes no sense.",
    401: "Nobody is identified.",
    403: "The policies do not permit it.",
    404: "There is no such thing.",
    409: "A safety rule refuses it, or somebody else was faster.",
    413: "The body is too large.",
    422: "The Idempotency-Key was used for another request.",
    429: "This address asks too often.",
    503: "A store, or the queue of work, does not answer.",
}
LIMIT = Annotated[int | None, QueryParameter(name="limit", ge=1, le=1000, description="At most so many of the list.")]
CURSOR = Annotated[
    str | None, QueryParameter(name="cursor", max_length=500, description="From `next` in the header Link.")
]
FRESH = Annotated[
    bool | None, QueryParameter(name="fresh", description="Made for this request, and not up to some seconds ago.")
]


def verb_routes(operations: Sequence[Operation]) -> list[HTTPRouteHandler]:
    """One route for each."""
    by_name = {one.name: one for one in operations}
    return [_route(one, by_name) for one in operations]


def _route(operation: Operation, by_name: dict[str, Operation]) -> HTTPRouteHandler:
    handler = _get(operation) if operation.method == "GET" else _post(operation, by_name)
    decorate = get if operation.method == "GET" else post
    problems = dict(_PROBLEMS) | ({304: "As `If-None-Match` says."} if operation.method == "GET" else {})
    problems |= {412: "It has changed since."} if operation.guards else {}
    if operation.method == "GET":
        problems = {code: text for code, text in problems.items() if code not in (413, 422)}
    return decorate(
        _PREFIX + operation.path,
        opt=needs(operation.action, on=operation.on, name=operation.part),
        status_code=operation.status,
        tags=[operation.tag or operation.name.partition(".")[0]],
        operation_id=operation.name.replace(".", "_").replace("-", "_"),
        summary=operation.text.partition(". ")[0].rstrip("."),
        description=_described(operation),
        responses={
            code: ResponseSpec(
                Problem if code != 304 else None,
                description=text,
                generate_examples=False,
                media_type="application/problem+json",
            )
            for code, text in problems.items()
        },
    )(handler)


def _described(operation: Operation) -> str:
    if not operation.keeps:
        return operation.text
    return (
        f"{operation.text} Kept for {operation.keeps:g} s, or ten times what making it took; `Age` says how old it is."
    )


def _get(operation: Operation) -> Any:
    fields = _fields(operation)

    async def handler(request: Request[Any, Any, Any], **given: Any) -> Response[Any]:
        limit, cursor, fresh = given.pop("limit", None), given.pop("cursor", None), bool(given.pop("fresh", None))
        arguments = _converted({name: value for name, value in given.items() if value is not None}, operation)
        asking = _asking(request, Memo())
        return await read(request, operation, asking, arguments, limit=limit, cursor=cursor, fresh=fresh)

    parts = _parts(operation)
    parameters = [_parameter("request", Request[Any, Any, Any])]
    hints: dict[str, Any] = {"request": Request[Any, Any, Any]}
    for field in fields:
        kind: Any = PathParameter() if field.name in parts else QueryParameter(required=field.required)
        hints[field.name] = Annotated[field.type if field.name in parts or field.required else field.type | None, kind]
        default = inspect.Parameter.empty if field.name in parts or field.required else None
        parameters.append(_parameter(field.name, hints[field.name], default))
    if operation.pages:
        hints |= {"limit": LIMIT, "cursor": CURSOR}
        parameters += [_parameter("limit", LIMIT, None), _parameter("cursor", CURSOR, None)]
    if operation.keeps:
        hints["fresh"] = FRESH
        parameters.append(_parameter("fresh", FRESH, None))
    return _shaped(handler, operation, parameters, hints)


def _post(operation: Operation, by_name: dict[str, Operation]) -> Any:
    parts = _parts(operation)
    given_types = get_type_hints(operation.takes, include_extras=True)
    body_type = _body(operation, parts)

    def handler(request: Request[Any, Any, Any], **given: Any) -> Response[Any]:
        data = given.pop("data", None)
        said = {} if data is None else msgspec.structs.asdict(data)
        arguments = _converted(said | given, operation)

        def act(memo: Memo, key: str) -> tuple[int, bytes]:
            asking = _asking(request, memo, key)
            if operation.guards:
                _require_version(request, by_name[operation.guards], asking, given)
            return operation.status, msgspec.json.encode(operation.does(asking, arguments))

        return once(request, msgspec.json.encode(arguments, order="sorted"), act)

    parameters = [_parameter("request", Request[Any, Any, Any])]
    hints: dict[str, Any] = {"request": Request[Any, Any, Any]}
    for name in parts:
        hints[name] = Annotated[given_types[name], PathParameter()]
        parameters.append(_parameter(name, hints[name]))
    if body_type is not None:
        examples = [] if operation.example is None else [Example(value=operation.example)]
        hints["data"] = Annotated[body_type, Body(examples=examples)]
        parameters.append(_parameter("data", hints["data"]))
    key = Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            min_length=1,
            max_length=200,
            required=False,
            description="The request happens once: sent again with the same key, it gets the same answer.",
        ),
    ]
    hints["idempotency_key"] = key
    parameters.append(_parameter("idempotency_key", key, None))
    return _shaped(_by_thread(handler), operation, parameters, hints)


def _by_thread(handler: Any) -> Any:
    """(Litestar's own `sync_to_thread` wraps a handler twice whose path another one has, too.)"""

    async def threaded(idempotency_key: str | None = None, **given: Any) -> Any:
        return await sync_to_thread(partial(handler, **given))

    return threaded


def _require_version(request: Request[Any, Any, Any], shown: Operation, asking: Asking, parts: dict[str, Any]) -> None:
    """What the client decided by has not changed since, if it says by what. Raises HTTPException (412)."""
    if "if-match" in request.headers:
        record = shown.does(asking, _converted(parts, shown))
        require_match(request, tag_of(shown.version(record) if shown.version else msgspec.json.encode(record)))


def _converted(given: dict[str, Any], operation: Operation) -> Any:
    """Raises UsageError for what the verb does not take."""
    try:
        return msgspec.convert(given, operation.takes)
    except msgspec.ValidationError as error:
        raise UsageError(f"{error}") from error


def _asking(request: Request[Any, Any, Any], memo: Memo, key: str = "") -> Asking:
    return Asking(request.app.state.service, caller_of(request).principal, memo, key)


def _parts(operation: Operation) -> list[str]:
    return _PART.findall(operation.path)


class _Field(msgspec.Struct):
    name: str
    type: Any
    required: bool


def _fields(operation: Operation) -> list[_Field]:
    hints = get_type_hints(operation.takes, include_extras=True)
    return [
        _Field(name=one.encode_name, type=hints[one.name], required=one.required)
        for one in msgspec.structs.fields(operation.takes)
    ]


def _body(operation: Operation, parts: list[str]) -> Any:
    """The fields that are not in the path, as a type of their own."""
    hints = get_type_hints(operation.takes, include_extras=True)
    left: list[Any] = []
    for one in msgspec.structs.fields(operation.takes):
        if one.name in parts:
            continue
        if one.required:
            left.append((one.name, hints[one.name]))
        else:
            default = (
                one.default
                if one.default is not msgspec.NODEFAULT
                else msgspec.field(default_factory=one.default_factory)
            )
            left.append((one.name, hints[one.name], default))
    if not left:
        return None
    name = "".join(part.capitalize() for part in operation.name.split(".")) + "Body"
    made = msgspec.defstruct(name, left, frozen=True, kw_only=True, forbid_unknown_fields=True)
    made.__doc__ = operation.takes.__doc__
    return made


def _parameter(name: str, hint: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=hint, default=default)


def _shaped(handler: Any, operation: Operation, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> Any:
    """The function as Litestar is to read it."""

    async def shaped(**given: Any) -> Any:
        return await handler(**given)

    gives = Response[operation.gives]  # type: ignore[name-defined]
    needed_first = sorted(parameters, key=lambda one: one.default is not inspect.Parameter.empty)
    shaped.__signature__ = inspect.Signature(needed_first, return_annotation=gives)  # type: ignore[attr-defined]
    shaped.__annotations__ = {**hints, "return": gives}
    shaped.__name__ = operation.name.replace(".", "_").replace("-", "_")
    shaped.__doc__ = operation.text
    return shaped
