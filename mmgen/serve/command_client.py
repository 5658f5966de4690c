"""Has a server of this home do a command's work, whose models are loaded. Imports no torch.

Where there is no such server, where it runs under other conditions (version, configuration, environment), is full or ends, or
where an argument would mean something else to it, the command does its work itself.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen import embedded
from mmgen.config import load_runtime
from mmgen.errors import Closed, MmgenError
from mmgen.pipelines import event_json
from mmgen.pipelines.language.text_pipeline import Delta, TextPipeline, Token
from mmgen.pipelines.streaming import Event
from mmgen.serve import port_file
from mmgen.serve.wire.tls import PinnedConnection

if TYPE_CHECKING:
    from mmgen.serve.port_file import PortFile

CONNECT_S = 2.0
REFERENCES = frozenset({"model", "draft", "adapter", "reader", "encoder", "rerank"})
"""Options that may name a local path, as in `folder#int8` or `folder:Q4_K_M`."""
FILES, STORES = frozenset({"image", "mask", "among"}), frozenset({"store"})
"""Options that are paths, and that are paths where there is a separator in them."""
VERBATIM = frozenset(
    {
        "lora",
        "embedding",
        "text_encoder",
        "vae",
        "preview_vae",
        "upscaler",
        "control",
        "control_model",
        "image_prompt",
        "reference_image",
    }
)
"""Paths, or lists of them, that results repeat as they were given, so that they have to be absolute. Those of control images
stand behind a name, so that the work is always done here."""
UNAVAILABLE = (401, 403, 429, 503)
"""Statuses with which the server says that it does not take the call."""


UNREADABLE = "the server of this home answered what this command cannot read; use --local"
RESULT = "result"
"""Kind of the one event that a pipeline which does not stream has."""


class Unavailable(Exception):
    """The server does not do this; nothing was printed yet."""


def opened(name: str, made: type[TextPipeline[Any]], making: Mapping[str, Any], local: Callable[[], Any]) -> Any:
    """The text pipeline `name` of class `made`, at the server; or what `local` returns, where there is none that could."""
    if made.stand_in is not None and making.get("model") is None and not embedded.present(load_runtime().text):
        return local()  # which tells that another model writes
    return at_server(name, text_kinds(made), making, local)


def text_kinds(made: type[TextPipeline[Any]]) -> dict[str, Any]:
    return {"prompt": list[Token], "text": Delta, made.last: result_type(made)}


def at_server(
    name: str,
    kinds: Mapping[str, Any],
    making: Mapping[str, Any],
    local: Callable[[], Any],
    verbatim: Collection[str] = (),
) -> Any:
    """The streaming pipeline `name` at the server of this home; or what `local` returns, where there is none that could.

    Args:
        kinds: of events that are wanted, with the types of their values; the last one's is what a call returns.
        making: options of the pipeline's constructor.
        verbatim: options that results repeat as they were given, so that a path among them has to be absolute.
    """
    server = port_file.running()
    if server is None or server.conditions != port_file.conditions():
        return local()
    return ServedPipeline(server, name, kinds, making, local, verbatim)


def call(name: str, kind: Any, making: Mapping[str, Any], first: str, options: Mapping[str, Any], local: bool = False) -> Any:
    """What one call of the pipeline `name` returns, of type `kind`: by the server of this home, or else in this process.

    Args:
        making: options of the pipeline's constructor. Those that are None, here and in `options`, are left to the pipeline.
        local: not by a server.
    """
    making, options = ({key: value for key, value in some.items() if value is not None} for some in (making, options))
    server = None if local else port_file.running()
    if server is not None and server.conditions == port_file.conditions():
        served = ServedPipeline(server, name, {RESULT: kind}, making, lambda: None)
        with suppress(Unavailable):
            (event,) = served.remote((first,), options)
            return event.value
    return _called(name, making, first, options)


def _called(name: str, making: Mapping[str, Any], first: str, options: Mapping[str, Any]) -> Any:
    from mmgen.pipelines.factory import pipeline
    from mmgen.runtime import Runtime

    with Runtime() as rt:
        made = pipeline(name, runtime=rt, **making)
        with closing(made) if hasattr(made, "close") else nullcontext():
            return made(first, **options)


class ServedPipeline:
    """Streams as the pipeline itself does. Leaving a stream early hangs up, which cancels its work at the server."""

    def __init__(
        self,
        server: PortFile,
        name: str,
        kinds: Mapping[str, Any],
        making: Mapping[str, Any],
        local: Callable[[], Any],
        verbatim: Collection[str] = (),
    ) -> None:
        self.server, self.name, self.making = server, name, making
        self.kinds, self.verbatim = kinds, verbatim
        (*_, self.last) = kinds
        self._local = local
        self._here: Any = None  # the pipeline itself, once the server was unavailable

    def stream(self, *first: Any, **options: Any) -> Iterator[Event]:
        """The events of the call; from the pipeline in this process, from then on, once the server was unavailable."""
        if self._here is None:
            try:
                yield from self.remote(first, options)
                return
            except Unavailable:
                self._here = self._local()
        yield from self._here.stream(*first, **options)

    def remote(self, first: Sequence[Any], options: Mapping[str, Any]) -> Iterator[Event]:
        """The events of the call at the server.

        Raises Unavailable before the first event, an MmgenError with the pipeline's words, Closed if the server ends.
        """
        if not all(map(is_text, first)):
            raise Unavailable
        names = dict[str, str]()
        said: dict[str, Any] = {"make": self._sent(self.making, names), "call": self._sent(options, names)}
        said |= {"kinds": list(self.kinds)} | ({"first": first[0]} if first else {})
        try:
            body = json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
        except ValueError:  # nan, or bytes that are no characters: JSON cannot say them, and the server takes no others
            raise Unavailable from None
        connection = to(self.server)
        try:
            response = self._answer(connection, body, names)
            yield from self._events(response, names)
        finally:
            connection.close()

    def _answer(self, connection: HTTPConnection, body: bytes, names: Mapping[str, str]) -> HTTPResponse:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.server.token}"}
        try:
            connection.connect()
            connection.sock.settimeout(None)  # a model may take its time
            connection.request("POST", f"/v1/commands/{self.name}", body, headers)
            response = connection.getresponse()
            text = b"" if response.status == 200 else response.read()
        except (OSError, HTTPException):
            raise Unavailable from None
        if response.status in UNAVAILABLE:
            raise Unavailable
        if response.status != 200:
            raise _refusal(text, names)
        return response

    def _events(self, response: HTTPResponse, names: Mapping[str, str]) -> Iterator[Event]:
        """Of a stream of server-sent events that ends with [DONE]."""
        try:
            for line in response:
                if not line.endswith(b"\n"):
                    break  # cut in the middle
                field, _, data = line.strip().partition(b": ")
                if field != b"data":
                    continue
                if data == b"[DONE]":
                    return
                yield self._event(json.loads(data), names)
        except (OSError, HTTPException):
            pass
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Closed(UNREADABLE) from None
        raise Closed("the server of this home ended before its answer did; ask again")

    def _event(self, told: Mapping[str, Any], names: Mapping[str, str]) -> Event:
        if "error" in told:
            raise MmgenError(named(told["error"]["message"], names))
        value = event_json.rebuilt(self.kinds[told["kind"]], json.loads(told["value"]))
        if told["kind"] == self.last and hasattr(value, "model"):
            value = dataclasses.replace(value, model=names.get(value.model, value.model))
        return Event(told["kind"], value)

    def _sent(self, values: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
        """Options that mean the same in the server's folder; what was given goes into `names`. Raises Unavailable."""
        out = dict[str, Any]()
        for name, value in values.items():
            is_file = name in FILES or (name in STORES and is_path(str(value)))
            given = str(Path(value).expanduser()) if is_file else value  # how messages show it
            if not is_plain(given) or (name in VERBATIM and not all_absolute(given)):
                raise Unavailable
            out[name] = given
            if name in REFERENCES:
                out[name] = absolute(given, self.server.folder)
            elif is_file or (name == "json_schema" and given.endswith(".json")):
                out[name] = str(Path(given).expanduser().absolute())
            if isinstance(given, str) and out[name] != given:
                if name in self.verbatim:
                    raise Unavailable
                names[out[name]] = given
        return out


def _refusal(text: bytes, names: Mapping[str, str]) -> MmgenError:
    try:
        return MmgenError(named(json.loads(text)["error"]["message"], names))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Closed(UNREADABLE)


def to(server: PortFile) -> HTTPConnection:
    """Not connected yet; by TLS it connects to the home's own server alone."""
    if server.certificate:
        return PinnedConnection(server.host, server.port, server.certificate, CONNECT_S)
    return HTTPConnection(server.host, server.port, timeout=CONNECT_S)


def absolute(reference: str, folder: str) -> str:
    """A model reference with its path absolute, where it is one. Raises Unavailable for what is one in `folder` alone."""
    before = reference.partition("#")[0]
    heads = [head for head in (reference, before, before.rpartition(":")[0]) if head]
    for head in heads:
        if (path := Path(head).expanduser()).exists():
            return f"{path.absolute()}{reference[len(head) :]}"
    if folder != str(Path.cwd()) and any(Path(folder, head).exists() for head in heads):
        raise Unavailable
    return reference


def all_absolute(given: str | Sequence[str]) -> bool:
    return all(Path(one).is_absolute() for one in ([given] if isinstance(given, str) else given))


def is_path(store: str) -> bool:
    """Whether it is no bare name; see `mmgen.library.store_handle.locate`."""
    return "://" not in store and ("/" in store or "\\" in store or store.startswith("~"))


def named(text: str, names: Mapping[str, str]) -> str:
    """A message with paths as they were given."""
    for path, given in sorted(names.items(), reverse=True):  # a longer path before one that it begins with
        text = text.replace(path, given)
    return text


def is_plain(value: Any) -> bool:
    """What JSON says as it is."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(one) for key, one in value.items())
    return isinstance(value, str | bool | int | float) or (isinstance(value, list | tuple) and all(map(is_plain, value)))


def is_text(first: Any) -> bool:
    """A prompt, or messages of text alone."""
    if isinstance(first, str):
        return True
    return isinstance(first, Sequence) and all(
        isinstance(one, Mapping) and isinstance(one.get("content"), str) for one in first
    )


def result_type(made: type[TextPipeline[Any]]) -> Any:
    """The R of TextPipeline[R]."""
    bases = [base for kind in made.__mro__ for base in getattr(kind, "__orig_bases__", ())]
    return next(one for base in bases for one in typing.get_args(base) if isinstance(one, type))
