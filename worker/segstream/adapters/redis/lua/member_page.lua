-- Return some members of a list, and the cursor for more.
-- A script, because its reply has one form in every version of the protocol.
-- KEYS: the list.   ARGV: cursor, about how many.
local found = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local members = {}
for i = 1, #found[2], 2 do members[#members + 1] = found[2][i] end
return {'ok', found[1], members}
