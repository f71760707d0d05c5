-- A partition's own state and some users' at one moment, however fast a worker goes on.
-- KEYS: meta, outbox, then the key of each state.
local states = {}
if #KEYS > 2 then states = redis.call('MGET', unpack(KEYS, 3)) end
return {'ok', redis.call('HGETALL', KEYS[1]), redis.call('XLEN', KEYS[2]), states}
