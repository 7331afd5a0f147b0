"""Dash with checked requests, with pages that name no other host, and with faults that are shown.

By itself Dash answers a request that no page sends with an exception, names the server that knows
its newest version in each page, and hides from the reader that a callback failed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

from dash import Dash, set_props
from dash.fingerprint import check_fingerprint
from flask import Response, request

from ...errors import AttentuneError
from ..figures.browser import without_addresses
from .cache import describe_fault
from .callback_requests import CallbackCheck, CallbackRequestError
from .guard import MAX_BODY_BYTES

PROBLEM_ID = "problem"
"""The component that shows why a callback failed."""
CALLBACK_PATH = "/_dash-update-component"
SCRIPTS_PATH = "/_dash-component-suites/"

logger = logging.getLogger(__name__)


class GuardedDash(Dash):  # type: ignore[misc, unused-ignore]
    """Dash for readers who may be hostile.

    Args:
        name: the module that makes the application.
        slot_names: the names that slots may have, by their kind.
        **settings: of `Dash`.
    """

    def __init__(
        self, name: str, slot_names: Mapping[str, Collection[str]], **settings: Any
    ) -> None:
        super().__init__(name, on_error=_show_fault, **settings)
        self._check = CallbackCheck(self.callback_map, slot_names)
        self.server.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
        self.server.before_request(self._refuse)
        self.server.after_request(_remove_addresses)

    def interpolate_index(self, **parts: str) -> str:
        """The HTML of a page, before the scripts fill it."""
        page = super().interpolate_index(**parts).replace("<html>", '<html lang="en">', 1)
        return without_addresses(page)

    def _refuse(self) -> Response | None:
        """The response to a request that no page sends; None for the others."""
        if request.path == CALLBACK_PATH and request.method == "POST":
            try:
                self._check.check(request.get_data())
            except CallbackRequestError as error:
                return Response(f"{error}\n", 400, mimetype="text/plain")
        script = request.view_args or {}
        if "package_name" in script and not self._is_registered(**script):
            return Response("There is no such script.\n", 404, mimetype="text/plain")
        return None

    def _is_registered(self, package_name: str, fingerprinted_path: str) -> bool:
        """Whether Dash serves a script; it raises an exception for one that it does not."""
        path = check_fingerprint(fingerprinted_path)[0]
        return path in self.registered_paths.get(package_name, ())


def _remove_addresses(response: Response) -> Response:
    if request.path.startswith(SCRIPTS_PATH) and response.mimetype.endswith("javascript"):
        response.set_data(without_addresses(response.get_data(as_text=True)))
    return response


def _show_fault(error: Exception) -> None:
    """Show what a callback raised at the top of the page, and log what nobody expected."""
    if isinstance(error, AttentuneError):
        problem = str(error)
    else:
        logger.error("a callback failed", exc_info=error)
        problem = f"A part of this page cannot be shown. {describe_fault(error)}"
    set_props(PROBLEM_ID, {"children": problem})
