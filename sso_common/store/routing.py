"""Which node of a cluster receives which commands, and what to do when it does not answer.

The decisions only: ``cluster`` carries them out in a thread, ``async_cluster`` on an event loop. redis-py's
own client keeps the topology (``topology``). Its pipeline cannot send these commands, because it would break
three promises. A cluster that hangs would delay a request by 2.5 s; at most 1.5 s is promised. After a
time-out, every further request to the node would wait as well, where it must be refused at once. And its
pools check each connection before use, which takes as long as another round trip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping
from typing import Any, Final, NamedTuple

import redis
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from sso_common.flows import Command, Commands

from .topology import REFRESH_TIMEOUT, ClusterClient, as_connection_error

#: Redirections in a row. More than this means that two nodes refer to each other.
HOPS: Final = 3
#: Seconds to wait while the keys of a command are on two nodes.
TRY_AGAIN: Final = 0.02


class Exchange(NamedTuple):
    """Send commands to each of these nodes, all at once. The answer: a list of answers for each node."""

    batches: Mapping[str, Commands]


class Refresh(NamedTuple):
    """Learn the topology, and wait for so many seconds at most. The answer: whether that was enough."""

    seconds: float


class Pause(NamedTuple):
    """Wait for so many seconds."""

    seconds: float


Step = Exchange | Refresh | Pause


def route(client: ClusterClient, commands: Commands) -> Generator[Step, Any, list[Any]]:
    """Return the answers to commands of one key each; a refusal is an answer, too.

    The commands may run twice. Raises ``redis.ConnectionError``, or ``StoreUnavailable`` if a node timed out
    less than a second ago.
    """
    names = holders(client, commands)
    try:
        return (yield from attempt(names, commands))
    except (redis.RedisError, OSError) as error:
        # Try again only if another node has taken over.
        if not (yield Refresh(REFRESH_TIMEOUT)) or holders(client, commands) == names:
            raise as_connection_error(error) from error
    try:
        return (yield from attempt(holders(client, commands), commands))
    except (redis.RedisError, OSError) as error:
        raise as_connection_error(error) from error


def holders(client: ClusterClient, commands: Commands) -> list[str]:
    """The names of the nodes that hold the keys of some commands."""
    return [client.holder(command) for command in commands]


def attempt(names: list[str], commands: Commands) -> Generator[Step, Any, list[Any]]:
    """Send each command to the node of that name, and follow redirections."""
    pairs = list(zip(names, commands, strict=True))
    batches: defaultdict[str, list[Command]] = defaultdict(list)
    for name, command in pairs:
        batches[name].append(command)
    answers = {name: iter(each) for name, each in (yield Exchange(batches)).items()}
    followed = []
    for name, command in pairs:
        followed.append((yield from follow(name, command, next(answers[name]))))
    return followed


def follow(name: str, command: Command, answer: Any) -> Generator[Step, Any, Any]:
    """Return the answer of the node to which ``name`` refers: the slot has moved, or is being moved."""
    for _ in range(HOPS):
        if isinstance(answer, ClusterDownError):
            yield Refresh(0)
        if not isinstance(answer, (AskError, TryAgainError)):  # a MovedError is an AskError, too
            break
        ahead: list[Command] = []
        if isinstance(answer, TryAgainError):
            yield Pause(TRY_AGAIN)
        else:
            if isinstance(answer, MovedError):
                yield Refresh(REFRESH_TIMEOUT)
            else:
                ahead = [("ASKING",)]
            name = f"{answer.host or name.rpartition(':')[0]}:{answer.port}"
        *_, answer = (yield Exchange({name: [*ahead, command]}))[name]
    return answer
