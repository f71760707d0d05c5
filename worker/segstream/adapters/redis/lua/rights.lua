-- Try each command that the other scripts use, on keys of no meaning; return those that are refused.
-- So a worker says at its start what it lacks, and not in the middle of its work: on Redis 6.2, which does not tell a
-- script what it may do (see forbidden.lua), a commit that is refused a command there has done its first half.
-- KEYS: four keys of one slot.
-- ARGV: none.
local hash, set, stream, text = unpack(KEYS)
local tried = {
    {'HSET', hash, 'a', '1'}, {'HGET', hash, 'a'}, {'HMGET', hash, 'a'}, {'HGETALL', hash}, {'HKEYS', hash},
    {'HEXISTS', hash, 'a'}, {'HINCRBY', hash, 'a', '1'}, {'HDEL', hash, 'b'}, {'PEXPIRE', hash, '60000'},
    {'ZADD', set, '1', 'a'}, {'ZRANGE', set, '0', '0'}, {'ZRANGEBYSCORE', set, '0', '1'}, {'ZREM', set, 'b'},
    {'ZCARD', set}, {'ZLEXCOUNT', set, '-', '+'}, {'ZSCAN', set, '0'},
    {'XADD', stream, '1-0', 'a', '1'}, {'XRANGE', stream, '-', '+'}, {'XTRIM', stream, 'MINID', '1-0'},
    {'MSET', text, '1'}, {'UNLINK', text}, {'DEL', hash, set, stream, text},
}
redis.call('DEL', unpack(KEYS))
local refused = {}
for _, words in ipairs(tried) do
    local reply = redis.pcall(unpack(words))
    if type(reply) == 'table' and reply.err then
        table.insert(refused, words[1])
        table.insert(refused, reply.err)
    end
end
return refused
