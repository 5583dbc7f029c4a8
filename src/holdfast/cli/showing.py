"""The dashboard of a demo that was played, served by the demo's own process until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.cli.output import Output
    from holdfast.control.demonstrating import DemoSettings

__all__ = ["show"]


def show(output: Output, folder: Path, settings: DemoSettings, recovered_at: str, address: str) -> None:
    """Until SIGINT or SIGTERM. Raises what declaring, rehearsing and serving raise."""
    from holdfast.cli.serve import address_of
    from holdfast.cli.serving import operations
    from holdfast.control.service.context import open_service
    from holdfast.control.showing import KEY_LASTS, as_demo, install_demo
    from holdfast.web.logs import begin_log
    from holdfast.web.serving import Listening, serve

    host, port = address_of(address)
    listening = Listening(host, port)
    listening.require_safe()
    with as_demo(folder) as environment:
        output.say("a recovery of what was saved is rehearsed, and all of it is catalogued")
        installed = install_demo(folder, settings, recovered_at, environment)

        def told(shown: str) -> None:
            output.say(f"dashboard  {shown}")
            output.say(f"sign in    {installed.key}")
            output.say(f"           an owner's key of this demo alone, for {KEY_LASTS}; also in {installed.key_file}")
            output.say("Ctrl-C ends it")

        begin_log(quiet=True)
        serve(open_service(installed.config, environment=environment), listening, operations(), told=told)
