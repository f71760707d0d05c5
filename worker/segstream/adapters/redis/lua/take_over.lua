-- Fence earlier owners of a partition, and return what the new one finds.
-- KEYS: meta, timers, outbox.
-- ARGV: incarnation, epoch, partition sequence and owner's name of what was told last; the least that the incarnation
--       becomes; a name for this owner that nobody else has.
-- The field `owners` of the meta has the owners that this state has had since what was told last: epoch, name, and the
-- partition sequence each began with. One whose take-over or last commits Redis has lost is not among them, or the next
-- one begins too early: so a loss shows even when epoch and sequence have been reached again since.
-- An entry of the outbox above the sequence was never committed (a script of a former version was refused a right in the
-- middle), and would make Redis refuse all that follow, even after it is gone: so the outbox is made anew without it.
local meta, timers, outbox = KEYS[1], KEYS[2], KEYS[3]
local found = redis.call('HMGET', meta, 'incarnation', 'epoch', 'sequence')
local incarnation, epoch, sequence = tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or 0)
local refused = forbidden('HSET', meta, 0, 0) or forbidden('HGETALL', meta) or forbidden('UNLINK', outbox)
    or forbidden('XADD', outbox, 0, 0, 0)
if refused then return refused end
local entries, first_due = redis.call('XRANGE', outbox, '-', '+'), redis.call('ZRANGE', timers, 0, 0, 'WITHSCORES')[2]
local told_incarnation, told_epoch, told_sequence = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local told_owner, least, name = ARGV[4], tonumber(ARGV[5]), ARGV[6]
local MOST_OWNERS = 100

local owners, own, next_first, covered = {}, nil, nil, false
for each, owner, first in string.gmatch(redis.call('HGET', meta, 'owners') or '', '(%d+):(%x+):(%d+)') do
    covered = covered or tonumber(each) <= told_epoch
    if own and not next_first then next_first = tonumber(first) end
    if tonumber(each) == told_epoch then own = owner end
    if tonumber(each) >= told_epoch then owners[#owners + 1] = each .. ':' .. owner .. ':' .. first end
end
local lost = told_owner ~= '' and covered and (own ~= told_owner or (next_first or sequence) < told_sequence)

-- Of a later incarnation than was told nothing has been told: it restates everything in any case.
local forgotten = incarnation < told_incarnation
    or (incarnation == told_incarnation and (epoch < told_epoch or sequence < told_sequence or lost))
if forgotten or incarnation == 0 then
    incarnation = math.max(incarnation, told_incarnation) + 1
end
incarnation, epoch = math.max(incarnation, least), math.max(epoch, told_epoch) + 1
owners[#owners + 1] = string.format('%.0f:%s:%.0f', epoch, name, sequence)
if #owners > MOST_OWNERS then table.remove(owners, 1) end
redis.call('HSET', meta, 'incarnation', string.format('%.0f', incarnation), 'epoch', string.format('%.0f', epoch),
    'owner', name, 'owners', table.concat(owners, ' '))
local committed = {}
for _, entry in ipairs(entries) do
    if tonumber(string.match(entry[1], '^%d+')) <= sequence then committed[#committed + 1] = entry end
end
if #entries == 0 or #committed < #entries then
    redis.call('UNLINK', outbox)
    for _, entry in ipairs(committed) do redis.call('XADD', outbox, entry[1], unpack(entry[2])) end
end
return {'ok', redis.call('HGETALL', meta), committed, first_due or '', forgotten and 1 or 0}
