"""A connection may break after Redis has carried out commands. They are then sent again, so each flow of the
portal must be safe to repeat."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

from portal.feed.auth import remember_nonce
from portal.sessions import records
from sso_common import flows, store
from sso_common.flows import Commands, Flow

SUB = uuid.UUID("6f2f0e52-0f8a-4d0c-93f1-6a3cf1a1b0c1")
SID = "A" * 22

T = TypeVar("T")


def run_twice(flow: Flow[T]) -> T:
    """Carry out a flow, and send all of its commands twice."""

    def ask(commands: Commands) -> list[Any]:
        store.ask(commands)
        return store.ask(commands)

    return flows.run(flow, ask)


def test_nonce_is_new_if_its_command_is_sent_twice() -> None:
    assert run_twice(remember_nonce("site_a", "0" * 32))
    assert not run_twice(remember_nonce("site_a", "0" * 32))


def test_record_is_written_once_if_its_commands_are_sent_twice() -> None:
    run_twice(records.write_record(SUB, SID, b"record", idle=100, exp=2**32))

    assert store.run(records.read_records([SID])) == {SID: b"record"}
    assert store.run(records.indexed_sids([SUB])) == {SUB: [SID]}


def test_record_counts_as_replaced_if_its_command_is_sent_twice() -> None:
    store.run(records.write_record(SUB, SID, b"old", idle=100, exp=2**32))

    missed = run_twice(records.replace_records({SID: (b"old", b"new")}))

    assert missed == set()
    assert store.run(records.read_records([SID])) == {SID: b"new"}
    assert store.run(records.replace_records({SID: (b"old", b"newer")})) == {SID}


def test_record_is_deleted_if_its_commands_are_sent_twice() -> None:
    store.run(records.write_record(SUB, SID, b"record", idle=100, exp=2**32))

    run_twice(records.delete_records([(SID, SUB)], ["portal"], notify=True))

    assert store.run(records.read_records([SID])) == {}
    assert store.run(records.indexed_sids([SUB])) == {SUB: []}
