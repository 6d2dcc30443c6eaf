"""Use the page's forms as a browser would, without one."""

from __future__ import annotations

import re

import httpx

from tests.fixtures.service import Service

#: A name that would run as a script or a template wherever it is not escaped.
HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}\u202e</script>"


def visit(service: Service) -> httpx.Client:
    return httpx.Client(base_url=service.url, trust_env=False, timeout=30, follow_redirects=True)


def token(text: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', text)
    assert found is not None, text[:3000]
    return found[1]


def named(page: httpx.Client, name: str = "ANNA") -> str:
    """Give a name, as a person does once; the token of its forms."""
    first = page.get("/login")
    page.post("/login", data={"who": name, "form_token": token(first.text)})
    return token(page.get("/login").text)


def messages(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    found = re.findall(r'<p class="message (\w+)">(.*?)</p>', answer.text, re.S)
    return "\n".join(f"{kind} {re.sub('<.*?>', '', text)}" for kind, text in found)


def version(page: httpx.Client, one: str) -> str:
    found = re.search(r'data-version="(\d+)"', page.get(f"/incidents/{one}").text)
    assert found is not None
    return found[1]


def hidden(page: httpx.Client, path: str, around: str, name: str) -> str:
    """A hidden field of the form that follows a text on a screen."""
    text = page.get(path).text
    found = re.search(rf'name="{name}" value="([^"]*)"', text[text.index(around) :])
    assert found is not None
    return found[1]
