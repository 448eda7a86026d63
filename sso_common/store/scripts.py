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

    def __call__(self, key: str, *arguments: str | bytes | int, ahead: Sequence[Command] = ()) -> Flow[Any]:
        """Run it with one key and return its answer. Other commands may be sent ahead of it."""
        *others, answer = yield [*ahead, ("EVALSHA", self.sha, 1, key, *arguments)]
        if isinstance(answer, NoScriptError):
            (answer,) = yield [("EVAL", self.source, 1, key, *arguments)]
        return checked([*others, answer])[-1]


# Shared by the next two scripts: apply changes to KEYS[1], which then expires in ARGV[2] milliseconds. A
# replacement keeps the fields that start with NUL: they are not session keys.
# ARGV: guard, milliseconds, replace, number of values to put, the values, fields to drop.
APPLY = """
local function apply()
  if ARGV[3] == '1' then
    local kept, all = {}, redis.call('HGETALL', KEYS[1])
    for i = 1, #all, 2 do
      if string.byte(all[i]) == 0 then
        kept[#kept + 1] = all[i]
        kept[#kept + 1] = all[i + 1]
      end
    end
    redis.call('UNLINK', KEYS[1])
    for i = 1, #kept, 2 do redis.call('HSET', KEYS[1], kept[i], kept[i + 1]) end
  end
  local last = 4 + 2 * tonumber(ARGV[4])
  for i = 5, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
"""

# The guard is the identity's name. It is an argument and not a key: a script needs write permission on its
# keys, and a site may only read the identity. Both names are in the same slot.
SAVE_SITE_SESSION = Script(
    APPLY
    + """
if redis.call('EXISTS', ARGV[1]) == 0 then return 0 end
return apply()
"""
)

# The guard is the name of the claim, with a prefix that says whether the session must exist.
SAVE_ANONYMOUS = Script(
    APPLY
    + """
local mode, claim = string.match(ARGV[1], '^(%a+) (.*)$')
local exists = redis.call('EXISTS', KEYS[1])
if (mode == 'create') == (exists == 1) then return 0 end
if redis.call('EXISTS', claim) == 1 then return 0 end
return apply()
"""
)

# ARGV: the claim's name, the sid, milliseconds. Returns the session; false while another sid has it.
CLAIM = Script(
    """
if redis.call('HSETNX', ARGV[1], 'sid', ARGV[2]) == 0 and redis.call('HGETALL', ARGV[1])[2] ~= ARGV[2] then
  return false
end
redis.call('PEXPIRE', ARGV[1], ARGV[3])
return redis.call('HGETALL', KEYS[1])
"""
)

# Does something in a site session once. ARGV: the identity's name, the milliseconds that a new site session
# lives, the field that says that it was done, then fields and values to add. A field that exists keeps its
# value. Returns 0 if the session has ended, 2 if this was done before.
ONCE = Script(
    """
if redis.call('EXISTS', ARGV[1]) == 0 then return 0 end
if redis.call('HSETNX', KEYS[1], ARGV[3], '') == 0 then return 2 end
for i = 4, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2], 'NX')
return 1
"""
)
