"""A store on a server, from the command line's side: by its address, with what only it has."""

from contextlib import closing
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from mmgen.config import RuntimeConfig, load
from mmgen.errors import BadRequest, Clash, NotFound
from mmgen.interfaces import Document
from mmgen.library.document_library import DocumentLibrary
from mmgen.library.store_handle import StoreHandle, shown
from mmgen.library.store_pool import StorePool
from mmgen.runtime import Runtime


def test_a_library_over_a_server(postgres: PostgresServer, tiny_encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "lamp.txt").write_text("The lamp was lit in 1823.")
    url = postgres.url("library").replace("postgres@", "postgres:s3cret@")
    config = load({"home": tmp_path / "home", "encoder": str(tiny_encoder), "store": url}, RuntimeConfig)
    with Runtime(config) as rt:
        library = DocumentLibrary.open(rt)
        with pytest.raises(NotFound, match="there is no store at postgres://postgres@/") as told:
            library.readable()
        report = library.add(tmp_path / "lamp.txt", metadata={"year": 1823})
        assert len(report.added) == 1 and len(library.add(tmp_path / "lamp.txt", metadata={"year": 1823}).unchanged) == 1
        (hit,) = library.search("lamp", where=["year>=1800"])
        assert Path(hit.uri).name == "lamp.txt" and set(hit.scores) == {"bm25", "dense"}
        with pytest.raises(BadRequest, match="has no ivf-pq"):
            library.add(tmp_path / "lamp.txt", index="ivfpq")
        library.writable().remove(str(tmp_path / "lamp.txt"))
        with pytest.raises(NotFound, match="is empty; add documents first") as empty:
            library.search("lamp")
        assert "s3cret" not in f"{told.value} {empty.value} {library.name}" and "--store postgres://" in str(empty.value)
        library.close()
    postgres.execute("DROP SCHEMA library CASCADE")


def test_its_files_lie_in_the_home(tiny_runtime: Runtime) -> None:
    one, same = (StoreHandle(tiny_runtime, f"postgres://me{password}@db/x") for password in ("", ":s3cret"))
    assert one.path == same.path and one.path.parent == tiny_runtime.home / "remote"
    assert one.name == same.name == "postgres://me@db/x"
    assert StoreHandle(tiny_runtime, "postgresql://db/x?schema=notes").path != one.path


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("notes", "notes"),
        ("./a:b@c", "./a:b@c"),
        ("postgres://db:5432/x", "postgres://db:5432/x"),
        ("postgres://me:p@db:5432/x?schema=a", "postgres://me@db:5432/x?schema=a"),
        ("postgres://db/x?password=p&schema=a", "postgres://db/x?schema=a"),
        ("postgres://db/x?schema=a&sslpassword=p", "postgres://db/x?schema=a"),
    ],
)
def test_a_password_is_not_shown(where: str, expected: str) -> None:
    assert shown(where) == expected


def test_a_store_that_the_configuration_names(postgres: PostgresServer, tiny_encoder: Path, tmp_path: Path) -> None:
    """The command line, the server and the page know it by its name alone."""
    url = postgres.url("team").replace("postgres@", "postgres:s3cret@")
    config = load({"home": tmp_path / "home", "encoder": str(tiny_encoder), "stores": {"team": url}}, RuntimeConfig)
    with Runtime(config) as rt:
        pool = StorePool(rt)
        assert pool.names() == ["team"]
        absent = r"^there is no store at team; make one with: mmgen rag add PATH --store 'team'$"
        with pytest.raises(NotFound, match=absent), pool.opened("team") as library:
            library.readable()
        with closing(DocumentLibrary.open(rt, "team")) as command:
            command.add(documents=[Document("/tea", "Tea came to Japan.", "text", "h")])
        with pool.opened("team") as library:
            assert library.search("tea")[0].uri == "/tea" and library.handle.remote
            before = library.readable().commits()
            library.writable().remove("/tea")
            assert library.readable().commits() == before + 1
        with pytest.raises(Clash, match='there is a store "team" already'):
            pool.make("team", None)
        with pytest.raises(BadRequest, match='store "team" is one that the configuration names'):
            pool.delete("team")
        pool.close()
    postgres.execute("DROP SCHEMA team CASCADE")
