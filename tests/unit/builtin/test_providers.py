"""The three providers' own libraries against models on loopback: what is asked, and understood."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rumpel.agents.headless import Again, Event, Spent, Text, Usage
from rumpel.builtin import history, loop, providers, retry
from rumpel.builtin.model import Answered, ModelError, Results, Said
from tests.support.fake_models import SIGNATURE, THOUGHT, Answer, Fault, Models
from tests.unit.builtin.conftest import Folder

KEY = "canary-key-of-a-model-77"
MODELS = {"anthropic": "claude-opus-5-5", "gemini": "gemini-3.8-flash", "xai": "grok-4.6"}
COSTS = {"anthropic": 60 * 4 + 40 * 0.4 + 20 * 20, "gemini": 60 * 0.75 + 40 * 0.075 + 20 * 3.75}
COSTS["xai"] = 60 * 2 + 40 * 0.5 + 20 * 6
each_provider = pytest.mark.parametrize("name", sorted(MODELS))
each_way = pytest.mark.parametrize("is_streamed", [True, False])


class Talk:
    def __init__(self, server: Models, pod: Folder, name: str, *, is_streamed: bool) -> None:
        choice = providers.choose(MODELS[name], None, server.env(KEY, name))
        self.events: list[Event] = []
        self.pieces: list[str] = []
        self.agent = loop.Agent(
            provider=providers.connect(choice),
            model=choice.model,
            system="You are a test.",
            pod=pod,
            conversation=history.begin("ab12"),
            name="test-1",
            tell=self.events.append,
            on_text=self.pieces.append,
            is_streamed=is_streamed,
        )

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture(name="talk")
def make_talk(server: Models, pod: Folder) -> Iterator[Callable[..., Talk]]:
    made: list[Talk] = []

    def make(name: str, is_streamed: bool = True) -> Talk:
        made.append(Talk(server, pod, name, is_streamed=is_streamed))
        return made[-1]

    yield make
    for one in made:
        one.agent.provider.close()


@each_provider
@each_way
def test_a_tool_loop(
    server: Models, pod: Folder, talk: Callable[..., Talk], name: str, is_streamed: bool
) -> None:
    first = Answer(
        text="I look.",
        thinks=True,
        calls=(("bash", {"command": "echo one"}), ("bash", {"command": "false"})),
    )
    server.play(first, Answer(text="All done."))
    found = talk(name, is_streamed)
    ended = found.agent.turn("Do it", before="(rules)")
    assert (ended.is_ok, ended.text, ended.turns) == (True, "All done.", 2)
    assert ended.usage == Usage(input=200, cached=80, output=40)
    assert ended.cost_usd == pytest.approx(2 * COSTS[name] / 1e6)
    assert [event.text for event in found.of(Text)] == ["I look.", "All done."]
    assert "".join(found.pieces) == "I look.All done."
    assert len(found.of(Spent)) == 2
    assert len([piece for piece in found.pieces if piece]) == (4 if is_streamed else 2)
    _asked_as_documented(server, name, is_streamed=is_streamed)


def _asked_as_documented(server: Models, name: str, *, is_streamed: bool) -> None:
    paths = {path.partition("?")[0] for path, _, _ in server.asked}
    headers, second = server.asked[1][1:]
    assert KEY in headers["x-goog-api-key" if name == "gemini" else "authorization"]
    if name == "anthropic":
        assert paths == {"/v1/messages"}
        assert bool(second.get("stream")) is is_streamed
        asked, answered, results = second["messages"]
        assert asked["content"][0]["text"] == "(rules)\n\nDo it"
        thought = {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
        assert answered["content"][0] == thought, "thinking goes back as it came"
        assert answered["content"][2]["input"] == {"command": "echo one"}
        assert [one["is_error"] for one in results["content"]] == [False, True]
        assert [one["content"] for one in results["content"]] == ["one", "exit code 1"]
        assert [one["tool_use_id"] for one in results["content"]] == ["toolu_0", "toolu_1"]
    elif name == "gemini":
        way = "streamGenerateContent" if is_streamed else "generateContent"
        assert {path.split("/", 2)[2] for path in paths} == {f"models/gemini-3.8-flash:{way}"}
        asked, answered, results = second["contents"]
        assert next(part for part in answered["parts"] if part.get("thought"))["text"] == THOUGHT
        calls = [part for part in answered["parts"] if "functionCall" in part]
        assert [call.get("thoughtSignature") for call in calls] == [SIGNATURE, None]
        given = [part["functionResponse"] for part in results["parts"]]
        assert [one["response"] for one in given] == [{"output": "one"}, {"error": "exit code 1"}]
        assert results["role"] == "user"
    else:
        assert paths == {"/v1/responses"}
        assert second["store"] is False
        assert second["include"] == ["reasoning.encrypted_content"]
        asked, reasoning, said, *calls = second["input"]
        assert reasoning["encrypted_content"] == SIGNATURE
        assert said["content"][0]["text"] == "I look."
        assert [one["type"] for one in calls] == ["function_call"] * 2 + [
            "function_call_output"
        ] * 2
        assert [one["output"] for one in calls[2:]] == ["one", "exit code 1"]


@each_provider
def test_an_answer_without_arguments_and_one_that_is_too_long(
    server: Models, talk: Callable[..., Talk], name: str
) -> None:
    server.play(Answer(calls=(("bash", {}),)), Answer(text="half", is_too_long=True))
    found = talk(name)
    ended = found.agent.turn("Do it")
    assert not ended.is_ok
    assert ended.why == "its answer was too long"
    results = found.agent.conversation.entries[2]
    assert isinstance(results, Results)
    assert results.results[0].text == "command is missing"
    assert found.agent.turn("Go on").is_ok, "and the conversation goes on"


@each_provider
def test_it_waits_as_long_as_it_is_told(
    server: Models, talk: Callable[..., Talk], name: str
) -> None:
    server.play(Fault(status=429, headers={"retry-after": "1"}), Answer(text="at last"))
    found = talk(name)
    assert found.agent.turn("Do it").text == "at last"
    assert 1.0 <= server.at[1] - server.at[0] < 5.0
    (again,) = found.of(Again)
    assert "429: no such luck; asking again in 1.00 s" in again.text


def test_gemini_says_in_its_own_way_how_long(server: Models, talk: Callable[..., Talk]) -> None:
    kind = "type.googleapis.com/google.rpc.RetryInfo"
    details = [{"@type": "x"}, {"@type": kind, "retryDelay": "1.2s"}]
    body = {"error": {"code": 429, "message": "slow down", "status": "X", "details": details}}
    server.play(Fault(status=429, body=body), Answer(text="at last"))
    assert talk("gemini").agent.turn("Do it").text == "at last"
    assert server.at[1] - server.at[0] >= 1.2


@each_provider
@each_way
def test_what_was_cut_off_or_overloaded_is_asked_again(
    server: Models,
    talk: Callable[..., Talk],
    name: str,
    is_streamed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.01)
    server.play(Fault(), Fault(status=529), Fault(status=503), Answer(text="whole"))
    found = talk(name, is_streamed)
    assert found.agent.turn("Do it").text == "whole"
    assert len(found.of(Again)) == 3
    entries = found.agent.conversation.entries
    assert [type(entry) for entry in entries] == [Said, Answered], "no half is kept"
    assert server.bodies[0] == server.bodies[-1]


@each_provider
def test_what_is_wrong_is_said_at_once(
    server: Models, talk: Callable[..., Talk], name: str
) -> None:
    for status, needs_login in ((400, False), (401, True)):
        server.play(Fault(status=status))
        with pytest.raises(ModelError, match=f"{status}: no such luck") as caught:
            talk(name).agent.turn("Do it")
        assert caught.value.needs_login is needs_login
        assert len(server.asked) == 1
        assert KEY not in str(caught.value)
    server.play(Fault(status=429, headers={"retry-after": "7200"}))
    with pytest.raises(ModelError) as caught:
        talk(name).agent.turn("Do it")
    assert caught.value.hint == "it can be asked again in 2 h"


def test_a_server_may_say_itself_whether_to_ask_again(
    server: Models, talk: Callable[..., Talk]
) -> None:
    server.play(Fault(status=500, headers={"x-should-retry": "false"}))
    with pytest.raises(ModelError, match="500"):
        talk("anthropic").agent.turn("Do it")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("name", "event", "words"),
    [
        (
            "anthropic",
            {"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}},
            "Anthropic broke off: too busy",
        ),
        ("xai", {"type": "error", "code": "x", "message": "too busy"}, "xAI broke off: too busy"),
    ],
)
def test_an_error_in_the_middle_of_a_stream(
    server: Models, talk: Callable[..., Talk], name: str, event: dict[str, Any], words: str
) -> None:
    server.play(Fault(body=event), Answer(text="whole"))
    found = talk(name)
    assert found.agent.turn("Do it").text == "whole"
    assert words in found.of(Again)[0].text


@each_provider
def test_another_model_goes_on(server: Models, talk: Callable[..., Talk], name: str) -> None:
    """It is told as text what the first one said and did: nothing of that one's form."""
    other = next(one for one in sorted(MODELS) if one != name)
    server.play(
        Answer(text="I look.", thinks=True, calls=(("bash", {"command": "echo one"}),)),
        Answer(text="All done."),
        Answer(text="I see."),
    )
    first = talk(other)
    first.agent.turn("Do it")
    second = talk(name)
    second.agent.conversation = first.agent.conversation
    assert second.agent.turn("What was done?").text == "I see."
    told = str(server.bodies[2])
    for word in ("Do it", "I look.", "echo one", "[bash gave]", "All done.", "What was done?"):
        assert word in told
    assert SIGNATURE not in told
    assert THOUGHT not in told


def test_limits_end_a_turn(server: Models, talk: Callable[..., Talk]) -> None:
    call = Answer(calls=(("bash", {"command": "true"}),))
    server.play(*[call] * 9)
    found = talk("anthropic")
    found.agent.limits = loop.Limits(answers=3)
    ended = found.agent.turn("Do it")
    assert (ended.is_ok, ended.why, ended.turns) == (False, "it used up its turns", 3)
    found.agent.limits = loop.Limits(tokens=500)
    assert found.agent.turn("Go on").why == "it used up its tokens"
    assert found.agent.total.usage.input + found.agent.total.usage.output == 600


def test_a_person_stops_it_and_it_goes_on(
    server: Models, pod: Folder, talk: Callable[..., Talk]
) -> None:
    calls = tuple(("bash", {"command": command}) for command in ("echo 1", "sleep 99", "echo 3"))
    server.play(Answer(calls=calls), Answer(text="Fine."))
    found = talk("anthropic")
    pod.stops_at = "sleep 99"
    with pytest.raises(KeyboardInterrupt):
        found.agent.turn("Do it")
    assert found.agent.turn("Go on").is_ok
    results = server.bodies[1]["messages"][2]["content"]
    stopped = "stopped by the person before it had ended"
    assert [one["content"] for one in results] == ["1", stopped, stopped]


def test_a_slow_model_can_be_left(server: Models, talk: Callable[..., Talk]) -> None:
    """Whatever the library does: the interrupt comes through it."""

    def over(*_: object) -> None:
        raise KeyboardInterrupt

    server.play(Fault(delay_s=5.0))
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            talk("anthropic").agent.turn("Do it")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begun < 3.0


@each_provider
def test_what_is_set_for_others_stays_here(
    server: Models, talk: Callable[..., Talk], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's library is used for xAI, and reads what is set for OpenAI."""
    other = "of-another-company"
    for variable in ("ADMIN_KEY", "API_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{variable}", other)
    headers = f"Authorization: Bearer {other}\nX-Gateway: {other}"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", headers)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", other)
    server.play(Answer(text="Fine."))
    assert talk(name).agent.turn("Do it").is_ok
    assert other not in str(server.asked)
    assert KEY in str(server.asked)
    assert os.environ["OPENAI_CUSTOM_HEADERS"] == headers, "what tools of the person read is there"


@each_provider
def test_half_characters_end_no_conversation(
    server: Models, talk: Callable[..., Talk], name: str
) -> None:
    call = ("write", {"path": "a\ud83d", "content": "\ud83d"})
    server.play(Answer(text="I \ud83d see.", calls=(call,)), Answer(text="Fine."))
    found = talk(name)
    assert found.agent.turn("Do it \udcff", before="\udc80").is_ok
    assert "Do it ?" in str(server.bodies[0])
    again = history.load("ab12", found.agent.conversation.number)
    assert again.entries == found.agent.conversation.entries


@each_provider
@each_way
def test_a_page_of_a_proxy_is_no_answer(
    server: Models,
    talk: Callable[..., Talk],
    name: str,
    is_streamed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.01)
    page = Fault(page="<html><body>Sign in to the network</body></html>")
    server.play(*[page] * 6)
    found = talk(name, is_streamed)
    with pytest.raises(ModelError):
        found.agent.turn("Do it")
    server.play()
    assert found.agent.turn("Go on").is_ok


@each_provider
@each_way
def test_arguments_without_end_are_no_answer(
    server: Models, talk: Callable[..., Talk], name: str, is_streamed: bool
) -> None:
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    server.play(Answer(calls=(("bash", deep),)))
    found = talk(name, is_streamed)
    with pytest.raises(ModelError, match="something odd"):
        found.agent.turn("Do it")
    assert found.agent.turn("Go on").is_ok


@each_provider
def test_thinking_alone_is_not_told_back(
    server: Models, talk: Callable[..., Talk], name: str
) -> None:
    """Anthropic refuses an answer that ends with thinking."""
    server.play(Answer(thinks=True, is_too_long=True), Answer(thinks=True, text=" "), Answer())
    found = talk(name)
    for prompt in ("Do it", "Go on", "And on"):
        found.agent.turn(prompt)
    if name == "anthropic":
        assert [one["role"] for one in server.bodies[2]["messages"]] == ["user"] * 3


@each_provider
def test_what_was_cut_off_is_told_to_have_cost(
    server: Models, talk: Callable[..., Talk], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_S", 0.01)
    server.play(Fault(status=503), Answer(text="whole"), Fault(), Answer(text="whole"))
    found = talk(name)
    found.agent.turn("Do it")
    assert not found.agent.total.is_least
    found.agent.turn("Do it")
    assert found.agent.total.is_least


@each_provider
def test_what_is_refused_is_told_apart(
    server: Models, talk: Callable[..., Talk], name: str
) -> None:
    for status, is_refused in ((400, True), (413, True), (404, False), (403, False)):
        server.play(Fault(status=status))
        with pytest.raises(ModelError) as caught:
            talk(name).agent.turn("Do it")
        assert caught.value.is_refused is is_refused
