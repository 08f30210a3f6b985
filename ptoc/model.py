"""Model files: the sizes of a network's layer by name, read strictly from YAML (`kernels/models/*.yaml`)."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ptoc.dialect.errors import ArgumentError
from ptoc.machine.strict_yaml import Strict, read_strictly

Size = Annotated[int, Field(ge=1)]


class Model(Strict):
    """A layer with sparse attention; every name but `name`, `description` and `source` can be used in a program's expressions.

    hidden: width of the layer's input.  heads: of the attention.  kv_width: of the shared key and value row, rope_width: of what a key has
    beyond it, so that a query row has kv_width + rope_width numbers.  score_width: by whose root scores are divided.  projection: of the
    indexer's queries, "direct" from the hidden state, or "low_rank" through `index_rank` numbers.  index_heads x index_dim: the indexer's
    queries.  topk: rows that a query attends to.  mlp: width of the feed-forward part.
    """

    name: str
    description: str
    source: str
    hidden: Size
    heads: Size
    kv_width: Size
    rope_width: Annotated[int, Field(ge=0)]
    score_width: Size
    projection: Literal["direct", "low_rank"]
    index_rank: Size | None
    index_heads: Size
    index_dim: Size
    topk: Size
    mlp: Size

    @model_validator(mode="after")
    def _rank(self) -> "Model":
        if (self.projection == "low_rank") != (self.index_rank is not None):
            raise ValueError("'index_rank' is a number where 'projection' is low_rank, and null where it is direct")
        return self

    @property
    def numbers(self) -> dict[str, int | str]:
        """What expressions may name."""
        named = {key: value for key, value in self.model_dump().items() if key not in ("name", "description", "source")}
        return {key: 0 if value is None else value for key, value in named.items()}


def models_folder() -> Path:
    """Where the shipped model files lie."""
    return Path(import_module("ptoc.kernels").__file__).parent / "models"


def model_names() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.stem for path in models_folder().glob("*.yaml"))


def load_model(text: str, beside: Path | None = None) -> Model:
    """A shipped model by name, or one in a .yaml file; a relative path counts from `beside`.  Raises: ArgumentError with file and key."""
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        if text not in model_names():
            raise ArgumentError(f"no model is called '{text}'; there are {', '.join(model_names())}, or give the path of a .yaml file")
        path = models_folder() / f"{text}.yaml"
    elif beside is not None and not path.is_absolute():
        path = beside / path
    return read_strictly(path, Model, ArgumentError)
