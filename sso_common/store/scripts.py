"""Lua scripts, which run atomically on the server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from sso_common.flows import Command, Flow

from .connection import checked


class Script:
    """A script that is called by its hash, and sent in full to a server that does not know it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, key: str, *arguments: str | bytes | int, after: Sequence[Command] = ()) -> Flow[Any]:
        """Run it with one key and return its answer. Commands in ``after`` are sent ahead of it."""
        *others, answer = yield [*after, ("EVALSHA", self.sha, 1, key, *arguments)]
        if isinstance(answer, NoScriptError):
            (answer,) = yield [("EVAL", self.source, 1, key, *arguments)]
        return checked([*others, answer])[-1]


# Shared by the next two scripts: apply changes to KEYS[1].
# ARGV: guard, milliseconds, replace, number of values to put, the values, fields to drop.
APPLY = """
local function apply(ttl)
  if ARGV[3] == '1' then redis.call('UNLINK', KEYS[1]) end
  local last = 4 + 2 * tonumber(ARGV[4])
  for i = 5, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
  redis.call('PEXPIRE', KEYS[1], ttl)
  return 1
end
"""

# The identity's name is an argument and not a key: a script needs write permission on its keys, and a
# site may only read the identity. Both names are in the same slot.
SAVE_SITE_SESSION = Script(
    APPLY
    + """
local ttl = redis.call('PTTL', ARGV[1])
if ttl <= 0 then return 0 end
return apply(ttl)
"""
)

SAVE_ANONYMOUS = Script(
    APPLY
    + """
local exists = redis.call('EXISTS', KEYS[1])
if (ARGV[1] == 'create') == (exists == 1) then return 0 end
return apply(ARGV[2])
"""
)

# ARGV: the identity's name, then fields and values. A field that exists keeps its value.
ADOPT = Script(
    """
local ttl = redis.call('PTTL', ARGV[1])
if ttl <= 0 then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ttl)
return 1
"""
)
