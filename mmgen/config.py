"""Frozen pydantic configuration from YAML, and standard folders. Errors name the file, the key and what was expected."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, model_validator

from mmgen.deprecated import tell
from mmgen.errors import ConfigError, NotFound, nearest

UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
"""A path in which `~` is the home directory."""


MAX_YAML = 2**20
"""Bytes of a configuration."""
MAX_YAML_DEPTH, MAX_YAML_NODES = 30, 50_000


class BoundedYAML(yaml.SafeLoader):
    """Plain values, as many and as deep as a configuration can need; an alias counts as all that it stands for."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = self._nodes = 0
        self._sizes: dict[str, int] = {}  # of what an anchor names

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Raises yaml.YAMLError over a limit."""
        event = self.peek_event()
        before, anchor = self._nodes, getattr(event, "anchor", None)
        alias = isinstance(event, yaml.AliasEvent)
        self._nodes += self._sizes.get(str(anchor), 1) if alias else 1
        self._depth += 1
        if self._depth > MAX_YAML_DEPTH or self._nodes > MAX_YAML_NODES:
            what = f"nested deeper than {MAX_YAML_DEPTH}" if self._depth > MAX_YAML_DEPTH else f"over {MAX_YAML_NODES:,} values"
            raise yaml.MarkedYAMLError(problem=f"{what}, more than a configuration holds", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor is not None and not alias:
            self._sizes[anchor] = self._nodes - before
        return node


def parse_yaml(text: str) -> Any:
    """Raises yaml.YAMLError, also for more or deeper values than a configuration can need."""
    if len(text) > MAX_YAML:
        raise yaml.MarkedYAMLError(problem=f"{len(text):,} characters, more than the {MAX_YAML:,} of a configuration")
    try:
        return yaml.load(text, Loader=BoundedYAML)
    except (ValueError, RecursionError) as why:  # such as a date that is none
        raise yaml.MarkedYAMLError(problem=str(why)) from None


class OldKeys(BaseModel):
    """A model that takes keys by old names, too; see deprecated.py."""

    old_keys: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _by_old_keys(cls, given: Any) -> Any:
        return current_keys(given, cls.old_keys, cls.__name__) if cls.old_keys and isinstance(given, dict) else given


def current_keys(given: dict[str, Any], names: Mapping[str, str], what: str) -> dict[str, Any]:
    """`given` with today's keys, and a line in the log for an old one. Where both are there, neither is touched."""
    old = {key for key in names.keys() & given.keys() if names[key] not in given}
    for key in sorted(old):
        tell(f"{what}: {key}", names[key])
    return {names[key] if key in old else key: value for key, value in given.items()}


class Config(OldKeys):
    """Base of all configurations: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=BaseModel)


def _device(value: str) -> str:
    kind, colon, index = value.partition(":")
    if value not in ("auto", "cpu", "cuda", "mps") and not (kind == "cuda" and colon and index.isdecimal()):
        raise ValueError("expected auto, cpu, cuda, cuda:N or mps")
    return value


def _store(where: Any) -> Any:
    """A path, unless it is of another kind of store, as in `KIND://notes`."""
    return Path(where).expanduser() if isinstance(where, str) and "://" not in where else where


class RuntimeConfig(Config):
    """The configuration of a Runtime."""

    old_keys: ClassVar = {"picture_encoder": "image_encoder"}

    home: UserPath | None = None  # where stores and settings live; None: home()
    device: Annotated[str, AfterValidator(_device)] = "auto"
    threads: int | None = Field(default=None, ge=1)  # None: all cores
    memory_limit: ByteSize | None = Field(default=None, gt=0)  # bytes or "8 GiB"; None: the device's memory
    encoder: str = "embedded:minilm"  # a model reference, see hub.py
    reader: str = "embedded:reader"
    denoiser: str = "embedded:emoji"
    image_encoder: str = "embedded:emoji-clip"
    control_models: dict[str, str] = Field(default_factory=dict)  # name -> reference of a ControlNet, for --control NAME=IMAGE
    text: str = "embedded:smollm2"  # embedded:books where it was not pulled, unless a conversation is asked for
    store: Annotated[Path | str | None, BeforeValidator(_store)] = None  # a path, or KIND://notes; None: the default in `home`
    stores: dict[str, str] = Field(default_factory=dict)  # further ones: name -> path, or postgres://user@host/database
    accounts: str | None = None  # where API keys and quotas are: postgres://user@host/database; None: keys.db in `home`
    history: str | None = None  # where history, conversations and batches are, likewise; None: files in `home`
    precision: Literal["measured", "safe"] = "measured"  # of references without a #; safe: as each kind of model always did
    policy: str = "fair"  # scheduling policy: fair, fifo, priority, shortest, or a plugin's
    max_gap_ms: float | None = Field(default=30.0, gt=0)  # limit on the gap between tokens of a stream; None: no limit
    watchdog_s: float = Field(default=600.0, gt=0)  # a step that runs longer counts as hung
    document_s: float = Field(default=60.0, gt=0)  # to read one document, and 2 s more for each MiB
    document_memory: ByteSize = Field(default=ByteSize(768 * 2**20), gt=0)  # to read one, and 16 bytes more for each byte
    trace: UserPath | None = None  # Chrome trace JSON of every scheduled step
    metrics_port: int | None = Field(default=None, ge=1, le=65535)  # Prometheus endpoint on the loopback interface
    plugins: tuple[str, ...] | None = None  # allow-list; None: MMGEN_PLUGINS decides


def home() -> Path:
    """MMGEN_HOME, or else the platform's directory for user data. It need not exist."""
    if given := os.environ.get("MMGEN_HOME"):
        return Path(given).expanduser()
    from platformdirs import user_data_path

    return user_data_path("mmgen", appauthor=False)


def precision_policy(configured: str) -> str:
    """MMGEN_PRECISION, or else what is configured: "measured" or "safe". Raises ConfigError for another word."""
    given = os.environ.get("MMGEN_PRECISION") or configured
    if given not in ("measured", "safe"):
        raise ConfigError(f"MMGEN_PRECISION is {given!r}; set it to measured or safe, or write #fp32, #bf16 behind a model")
    return given


def assets_dir() -> Path:
    return _carried("assets")


def configs_dir() -> Path:
    return _carried("configs")


def _carried(name: str) -> Path:
    """Inside the package when it came from a wheel, beside it in a checkout; see hatch_build.py."""
    package = Path(__file__).resolve().parent
    return package / name if (package / name).is_dir() else package.parent / name


def load(source: Path | str | Mapping[str, Any], model: type[C], overrides: Sequence[str] = ()) -> C:
    """Reads a YAML file, or takes a mapping; `overrides` such as "optimizer.lr=3e-4" override it.

    Raises NotFound for a missing file and ConfigError for everything else, with file, key path and remedy.
    """
    where = "configuration" if isinstance(source, Mapping) else str(source)
    values = dict(source) if isinstance(source, Mapping) else _read(Path(source).expanduser())
    return _build(_laid_over(values, overrides, model), model, where)


def load_runtime(path: Path | None = None, overrides: Sequence[str] = ()) -> RuntimeConfig:
    """The runtime's configuration: `path`, or config.yaml in home() if there is one, or the defaults."""
    standard = home() / "config.yaml"
    if path is None and standard.is_file():
        path = standard
    return load({} if path is None else path, RuntimeConfig, overrides)


def with_overrides(config: C, overrides: Sequence[str]) -> C:
    """A copy with "key.path=value" overrides; values are YAML. Raises ConfigError."""
    return _build(_laid_over(config.model_dump(by_alias=True), overrides, type(config)), type(config), "override")


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"configuration {path} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError) as why:
        raise ConfigError(f"{path} cannot be read ({why}); it should be a YAML file in UTF-8") from None
    except yaml.YAMLError as why:
        raise ConfigError(f"{path}{_position(why)}: not valid YAML ({_problem(why)})") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f'{path} holds a {type(values).__name__}; it should hold lines of the form "key: value"')
    return values


def _position(why: yaml.YAMLError) -> str:
    mark = getattr(why, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _problem(why: yaml.YAMLError) -> str:
    return " ".join(str(getattr(why, "problem", None) or getattr(why, "reason", None) or "unreadable").split())


def _laid_over(values: dict[str, Any], overrides: Sequence[str], model: type[BaseModel]) -> dict[str, Any]:
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f'override "{override}" is not of the form key=value')
        try:
            value = parse_yaml(text)
        except yaml.YAMLError as why:
            raise ConfigError(f'override "{override}": the value is not valid YAML ({_problem(why)})') from None
        values = _put(values, key.strip().split("."), value, override, model)
    return values


def _put(values: dict[str, Any], path: Sequence[str], value: Any, override: str, model: type[BaseModel]) -> dict[str, Any]:
    """A copy of `values`, a section of `model`, with one leaf changed. Keys are today's then."""
    first, *rest = path
    if old := getattr(model, "old_keys", {}):
        values = current_keys(values, old, model.__name__)
        ((first, _),) = current_keys({first: None}, old, model.__name__).items()
    if not rest:
        return {**values, first: value}
    below = values.get(first)
    if below is not None and not isinstance(below, dict):
        raise ConfigError(f'override "{override}": {first} is a single value and has no key "{rest[0]}"')
    return {**values, first: _put(below or {}, rest, value, override, _model_at(model, [first]))}


def _build(values: Mapping[str, Any], model: type[C], where: str) -> C:
    try:
        return model.model_validate(values)
    except ValidationError as why:
        errors = sorted(why.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden")  # typos first
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ConfigError(f"{where}: {_explain(errors[0], model)}{more}") from None


def _explain(error: Any, model: type[BaseModel]) -> str:
    *parents, last = error["loc"] or ("",)
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = list(_model_at(model, parents).model_fields)
        return f'unknown key "{key}"' + (nearest(str(last), known) or f" (known: {', '.join(known)})")
    if error["type"] == "missing":
        return f'"{key}" is missing'
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    if error["type"].startswith("byte_size"):
        message = "expected a size such as 8 GiB"
    return f"{key} is {error['input']!r}, {message[:1].lower()}{message[1:]}"


def _model_at(model: type[BaseModel], path: Sequence[Any]) -> type[BaseModel]:
    """The model of the section that a key path leads to; parts that are no field are indexes or a union's choices."""
    for part in path:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return model


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
