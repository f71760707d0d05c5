-- Write users' answers, each unless a later one is there.
-- KEYS: the users' hashes.
-- ARGV: per user, as msgpack: incarnation, partition sequence, lifetime in ms (0: no end), fields and values in turn.
local refused = forbidden('DEL', KEYS[1]) or forbidden('HSET', KEYS[1], 0, 0) or forbidden('PEXPIRE', KEYS[1], 0)
if refused then return refused end
for number, key in ipairs(KEYS) do
    local incarnation, sequence, lifetime, words = unpack(cmsgpack.unpack(ARGV[number]))
    local there = redis.call('HGET', key, 'v')
    local later = false
    if there then
        local a, b = string.match(there, '^(%d+):(%d+)$')
        a, b = tonumber(a or 0), tonumber(b or 0)
        later = a > incarnation or (a == incarnation and b > sequence)
    end
    if not later then
        redis.call('DEL', key)
        redis.call('HSET', key, unpack(words))
        if lifetime > 0 then redis.call('PEXPIRE', key, lifetime) end
    end
end
return {'ok'}
