-- Write users' answers, each unless a later one is there.
-- KEYS: the users' hashes.
-- ARGV: per user incarnation, partition sequence, lifetime in ms (0: no end), number of fields and values, these.
local position = 0
for _, key in ipairs(KEYS) do
    local incarnation, sequence = tonumber(ARGV[position + 1]), tonumber(ARGV[position + 2])
    local first, last = position + 5, position + 4 + tonumber(ARGV[position + 4])
    local there = redis.call('HGET', key, 'v')
    local later = false
    if there then
        local a, b = string.match(there, '^(%d+):(%d+)$')
        a, b = tonumber(a or 0), tonumber(b or 0)
        later = a > incarnation or (a == incarnation and b > sequence)
    end
    if not later then
        redis.call('DEL', key)
        redis.call('HSET', key, unpack(ARGV, first, last))
        if ARGV[position + 3] ~= '0' then redis.call('PEXPIRE', key, ARGV[position + 3]) end
    end
    position = last
end
return {'ok'}
