-- Fence earlier owners of a partition, and return what the new one finds.
-- KEYS: meta, timers, outbox.
-- ARGV: incarnation, epoch and partition sequence of what was told last; the least that the incarnation becomes; a
--       name for this owner that nobody else has.
local meta, timers, outbox = KEYS[1], KEYS[2], KEYS[3]
local found = redis.call('HMGET', meta, 'incarnation', 'epoch', 'sequence')
local incarnation, epoch, sequence = tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or 0)
local told_incarnation, told_epoch, told_sequence = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local forgotten = epoch < told_epoch or incarnation < told_incarnation
    or (incarnation == told_incarnation and sequence < told_sequence)
if forgotten or incarnation == 0 then
    incarnation = math.max(incarnation, told_incarnation) + 1
end
incarnation = math.max(incarnation, tonumber(ARGV[4]))
redis.call('HSET', meta, 'incarnation', string.format('%.0f', incarnation),
    'epoch', string.format('%.0f', math.max(epoch, told_epoch) + 1), 'owner', ARGV[5])
return {
    'ok',
    redis.call('HGETALL', meta),
    redis.call('XRANGE', outbox, '-', '+'),
    redis.call('ZRANGE', timers, 0, 0, 'WITHSCORES')[2] or '',
    forgotten and 1 or 0,
}
