"""Who may use the routes. The list is the extension's own: a new route is tested from its first day."""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop
from typing import Any

import pytest
from jupyter_server.auth import Authorizer
from tornado.httpclient import HTTPClientError
from tornado.web import RequestHandler
from tornado.websocket import WebSocketHandler

from cellmesh.jupyter_ext.handlers import routes

METHODS = ("get", "post", "put", "patch", "delete")


def _has(handler: type, method: str) -> bool:
    return getattr(handler, method) is not getattr(RequestHandler, method)


REST = [
    pytest.param(method.upper(), path, id=f"{method} {path}")
    for path, handler, *_ in routes()
    if not issubclass(handler, WebSocketHandler)
    for method in METHODS
    if _has(handler, method)
]
SOCKETS = [path for path, handler, *_ in routes() if issubclass(handler, WebSocketHandler)]
PAGES = {"/cellmesh", "/cellmesh/"}


class Refuse(Authorizer):
    """Lets nobody do anything with cellmesh; notes what was asked."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return resource != "cellmesh"


class ReadOnly(Authorizer):
    """Lets everyone look and nobody act."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        return action == "read"


def with_authorizer(config: dict[str, Any], authorizer: type) -> dict[str, Any]:
    config["ServerApp"]["authorizer_class"] = authorizer
    return config


def body(method: str) -> dict[str, Any]:
    return {"body": "{}"} if method == "POST" else {}


def test_there_are_routes_of_each_kind() -> None:
    assert len(REST) == 4
    assert SOCKETS == ["/cellmesh/api/stream"]
    assert not any(re.search(r"[^\w/]", path) for path, *_ in routes()), "patterns could hide routes"


@pytest.mark.parametrize(("method", "path"), REST)
async def test_without_a_token(jp_fetch: Any, method: str, path: str) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(
            path, method=method, headers={"Authorization": ""}, follow_redirects=False, **body(method)
        )
    response = caught.value.response
    assert response is not None
    if path in PAGES:
        assert caught.value.code == 302
        assert "/login?" in response.headers["Location"]
    else:
        assert caught.value.code == 403


@pytest.mark.parametrize("path", SOCKETS)
async def test_a_websocket_without_a_token(jp_ws_fetch: Any, path: str) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_ws_fetch(path, headers={"Authorization": ""})
    assert caught.value.code == 403


class TestRefused:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        Refuse.asked.clear()
        return with_authorizer(jp_server_config, Refuse)

    @pytest.mark.parametrize(("method", "path"), REST)
    async def test_a_route(self, jp_fetch: Any, method: str, path: str) -> None:
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch(path, method=method, follow_redirects=False, **body(method))
        assert caught.value.code == 403
        assert Refuse.asked == [("write" if method == "POST" else "read", "cellmesh")]

    @pytest.mark.parametrize("path", SOCKETS)
    async def test_a_websocket(self, jp_ws_fetch: Any, path: str) -> None:
        with pytest.raises(HTTPClientError) as caught:
            await jp_ws_fetch(path)
        assert caught.value.code == 403
        assert Refuse.asked == [("read", "cellmesh")]


class TestReadOnly:
    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        return with_authorizer(jp_server_config, ReadOnly)

    async def test_looking_is_allowed_and_stopping_is_not(self, jp_fetch: Any) -> None:
        assert (await jp_fetch("cellmesh/api/status")).code == 200
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("cellmesh/api/stop", method="POST", body="{}")
        assert caught.value.code == 403


@pytest.fixture
def cookies(jp_fetch: Any, jp_auth_header: dict[str, str], jp_asyncio_loop: AbstractEventLoop) -> str:
    """What a browser sends once its user has logged in: no token, so no exemption from the checks."""
    token = jp_auth_header["Authorization"].removeprefix("token ")
    fetching = jp_fetch("cellmesh/", params={"token": token}, headers={"Authorization": ""})
    page = jp_asyncio_loop.run_until_complete(fetching)
    return "; ".join(line.split(";")[0] for line in page.headers.get_list("Set-Cookie"))


@pytest.mark.parametrize("path", SOCKETS)
async def test_a_page_of_another_site_cannot_open_the_websocket(
    jp_ws_fetch: Any, jp_http_port: int, cookies: str, path: str
) -> None:
    host = f"127.0.0.1:{jp_http_port}"
    headers = {"Authorization": "", "Cookie": cookies, "Host": host}
    with pytest.raises(HTTPClientError) as caught:
        await jp_ws_fetch(path, headers={**headers, "Origin": "http://elsewhere.example"})
    assert caught.value.code == 403
    own = {**headers, "Origin": f"http://{host}"}
    socket = await jp_ws_fetch(path, headers=own)
    assert await socket.read_message() == '{"hub": null}'
    socket.close()
    await socket.read_message()


async def test_a_form_of_another_site_cannot_stop_the_hub(jp_fetch: Any, cookies: str) -> None:
    headers = {"Authorization": "", "Cookie": cookies}
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("cellmesh/api/stop", method="POST", body="{}", headers=dict(headers))
    assert caught.value.code == 403
    assert caught.value.response is not None
    assert b"_xsrf" in caught.value.response.body
    xsrf = re.search(r"_xsrf=([^;]*)", cookies)
    assert xsrf
    headers["X-XSRFToken"] = xsrf[1]
    answer = await jp_fetch("cellmesh/api/stop", method="POST", body="{}", headers=headers)
    assert answer.code == 204


async def test_the_page_is_where_its_relative_links_work(jp_fetch: Any) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("cellmesh", follow_redirects=False)
    assert caught.value.response is not None
    assert caught.value.response.headers["Location"].endswith("/cellmesh/")
    page = (await jp_fetch("cellmesh/")).body.decode()
    assert page.startswith("<!doctype html>")
    for door in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert door not in page, "text could become markup"
