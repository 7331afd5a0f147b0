"""What a browser may ask of the application's callbacks; all else is refused before they run.

Dash takes the body of such a request as it comes: a missing key, an unknown output or a number in
place of a text would raise an exception inside Dash or inside a callback. So the body is checked
here against the callbacks that exist and against the type of each property. An exception after that
is a fault of the dashboard, and is logged as one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from ..figures.colouring import Colouring
from ..figures.learning_curves import CurveKind
from .address import MAX_TRIAL_DIGITS

MAX_TEXT_LENGTH = 2**14
"""Characters of a text, such as the query string of an address."""
MAX_ITEMS = 1000
"""Values of a list."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH, pattern=r"^[^\x00]*$")]
Texts = Annotated[list[Text], Field(max_length=MAX_ITEMS)]
TrialNumber = Annotated[int, Field(ge=0, lt=10**MAX_TRIAL_DIGITS)]


class _Click(BaseModel):
    """What Plotly reports of a click; `selection` reads it."""

    class Point(BaseModel):
        customdata: Any = None
        x: Any = None
        y: Any = None

    points: Annotated[list[Point], Field(max_length=MAX_ITEMS)]


Ends = Annotated[list[float], Field(min_length=2, max_length=2)]


class _SelectedBox(BaseModel):
    """What Plotly reports of a box that was dragged over a figure; `range` has its ends."""

    class Range(BaseModel):
        x: Ends
        y: Ends

    range: Range | None = None


PROPERTY_TYPES: dict[str, Any] = {
    "timer.n_intervals": int | None,
    "url.search": Text | None,
    "url.pathname": Text | None,
    "version.data": Text | None,
    "status.children": Text | None,
    "study.data": Text | None,
    "compared.data": Texts | None,
    "theme.data": Text | None,
    "written.data": Text | None,
    "study-picker.value": Text | None,
    "star-button.n_clicks": int | None,
    "save-marks.n_clicks": int | None,
    "mark-tags.value": Text | None,
    "mark-note.value": Text | None,
    "edited.data": Text | None,
    "graph.clickData": _Click | None,
    "graph.selectedData": _SelectedBox | None,
}
"""The type of every input and state, by component and property; slots by their kind."""
CONTROL_TYPES: dict[str, Any] = {
    "cost": Text | None,
    "third": Text | None,
    "log": Literal[0, 1],
    "colour": Colouring,
    "curve": CurveKind,
    "attention": Texts | None,
    "position": Texts | None,
    "stage": Texts | None,
    "ratio": Texts | None,
    "state": Texts | None,
    "search": Text | None,
    "sort": Text | None,
    "columns": Texts | None,
    "compared": Texts | None,
    "trial": TrialNumber | None,
    "first": TrialNumber | None,
    "second": TrialNumber | None,
}
"""The type of every control's value, by the control's name."""


class CallbackRequestError(ValueError):
    """A request that no page of the dashboard sends."""


class _Property(BaseModel):
    """A property of a component, with its value."""

    model_config = ConfigDict(strict=True)

    id: Text | dict[str, Text]
    property: Text
    value: Any = None


_Properties = Annotated[list[_Property], Field(max_length=MAX_ITEMS)]
_Arguments = Annotated[list[_Property | _Properties], Field(max_length=MAX_ITEMS)]


class _CallbackRequest(BaseModel):
    """The body of a request; `arguments` are the inputs and then the states."""

    model_config = ConfigDict(strict=True)

    output: Text
    outputs: _Property | _Properties
    inputs: _Arguments
    state: _Arguments = []
    changed: Texts = Field(default=[], alias="changedPropIds")

    @property
    def arguments(self) -> list[_Property | list[_Property]]:
        return [*self.inputs, *self.state]


class CallbackCheck:
    """Checks requests against the callbacks of an application.

    Args:
        callbacks: Dash's `callback_map`: the callbacks by the text that names their outputs.
        slot_names: the names of the slots by their kind, such as the figures that exist.
    """

    def __init__(
        self,
        callbacks: Mapping[str, Mapping[str, Any]],
        slot_names: Mapping[str, Collection[str]],
    ) -> None:
        self._callbacks, self._slot_names = callbacks, slot_names
        self._property_types = {name: _adapter(kind) for name, kind in PROPERTY_TYPES.items()}
        self._control_types = {name: _adapter(kind) for name, kind in CONTROL_TYPES.items()}

    def check(self, body: bytes) -> None:
        """Check the body of a request.

        Raises:
            CallbackRequestError: no page of this application sends such a request.
        """
        try:
            request = _CallbackRequest.model_validate_json(body)
        except ValidationError:
            raise CallbackRequestError("This is not the request of a callback.") from None
        callback = self._callbacks.get(request.output, {})
        if "callback" not in callback:  # Dash keeps those here that the browser computes.
            raise CallbackRequestError("There is no such callback.")
        self._check_outputs(request)
        declared = [*callback["inputs"], *callback["state"]]
        if len(request.inputs) != len(callback["inputs"]) or len(declared) != len(
            request.arguments
        ):
            raise CallbackRequestError("The callback has other inputs.")
        for expected, argument in zip(declared, request.arguments, strict=True):
            self._check_argument(expected["id"], expected["property"], argument)
        _check_equal_lengths(request.arguments)
        for changed in request.changed:
            _check_property_name(changed)

    def _check_outputs(self, request: _CallbackRequest) -> None:
        names = _output_names(request.output)
        outputs = request.outputs if isinstance(request.outputs, list) else [request.outputs]
        is_list = request.output.startswith("..")
        if isinstance(request.outputs, list) is not is_list or len(outputs) != len(names):
            raise CallbackRequestError("The callback has other outputs.")
        for (id_, property_), output in zip(names, outputs, strict=True):
            self._check_id(id_, property_, output)

    def _check_argument(
        self, id_: str, property_: str, argument: _Property | list[_Property]
    ) -> None:
        if isinstance(argument, list) is not id_.startswith("{"):
            raise CallbackRequestError("The callback has other inputs.")
        for item in argument if isinstance(argument, list) else [argument]:
            self._check_id(id_, property_, item)
            self._check_value(item)

    def _check_id(self, id_: str, property_: str, item: _Property) -> None:
        """Whether a property is the declared one; a slot or control may have any known name."""
        if item.property != property_:
            raise CallbackRequestError("The callback has other properties.")
        pattern = json.loads(id_) if id_.startswith("{") else None
        if pattern is None or isinstance(item.id, str):
            known = item.id == id_
        elif item.id.keys() != pattern.keys():
            known = False
        elif "control" in pattern:
            known = item.id["control"] in CONTROL_TYPES
        else:
            slot, name = item.id["slot"], item.id["name"]
            known = slot == pattern["slot"] and name in self._slot_names[slot]
        if not known:
            raise CallbackRequestError("There is no such component.")

    def _check_value(self, item: _Property) -> None:
        if item.property == "id":
            if item.value != item.id:
                raise CallbackRequestError("A component has another id.")
            return
        if isinstance(item.id, str):
            expected = self._property_types[f"{item.id}.{item.property}"]
        elif "control" in item.id:
            expected = self._control_types[item.id["control"]]
        else:
            expected = self._property_types[f"{item.id['slot']}.{item.property}"]
        try:
            expected.validate_python(item.value, strict=True)
        except ValidationError:
            raise CallbackRequestError(f"The value of {item.property!r} has no meaning.") from None


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _output_names(output: str) -> list[tuple[str, str]]:
    """The ids and properties of a callback's outputs: `id.property` or `..id.property...` etc."""
    texts = output[2:-2].split("...") if output.startswith("..") else [output]
    names = (text.rpartition(".") for text in texts)
    return [(id_, property_) for id_, _, property_ in names]


def _check_equal_lengths(arguments: Iterable[_Property | list[_Property]]) -> None:
    """The values and the ids of all controls are two lists about the same controls."""
    ids = [[item.id for item in argument] for argument in arguments if isinstance(argument, list)]
    if any(other != ids[0] for other in ids[1:]):
        raise CallbackRequestError("The inputs do not belong together.")


def _check_property_name(name: str) -> None:
    """Dash reads the id in the name of a changed property."""
    id_ = name.rpartition(".")[0]
    if id_.startswith("{"):
        try:
            TypeAdapter(dict[str, str]).validate_json(id_)
        except ValidationError:
            raise CallbackRequestError("A changed property has no name.") from None
