-- One atomic step of a partition: all of it, or nothing and the reason.
-- KEYS: meta, timers, outbox, users, then the key of each state, then that of each departure.
-- ARGV: epoch, revision expected, revision, published, and how many arguments each of these has, which follow in
--       this order: entries (id, payload), fields of meta (name, value), states, due (time, user), undue, arrivals, departures.
--       The last is the owner's name: when Redis forgets a take-over, its epoch may be given a second time.
-- Whatever else Redis can refuse (memory full, replicas missing, an entry out of order) it refuses at the first write, so
-- what adds comes before what removes.
local meta, timers, outbox, users = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local found = redis.call('HMGET', meta, 'epoch', 'revision', 'owner')
local epoch, revision = tonumber(found[1] or 0), tonumber(found[2] or 0)
if epoch > tonumber(ARGV[1]) or (epoch == tonumber(ARGV[1]) and found[3] ~= ARGV[#ARGV]) then
    return {'fenced', tostring(epoch)}
end
if epoch < tonumber(ARGV[1]) or revision ~= tonumber(ARGV[2]) then
    return {'lost', tostring(epoch), tostring(revision)}
end

local entries, states, due, undue = tonumber(ARGV[5]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local arrivals, departures, published = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[4])
local refused = forbidden('HSET', meta, 0, 0) or forbidden('ZRANGE', timers, 0, 0)
    or entries > 0 and forbidden('XADD', outbox, 0, 0, 0)
    or states > 0 and forbidden('MSET', KEYS[5], 0)
    or due > 0 and forbidden('ZADD', timers, 0, 0)
    or arrivals > 0 and forbidden('ZADD', users, 0, 0)
    or undue + departures > 0 and forbidden('ZREM', timers, 0)
    or departures > 0 and (forbidden('ZREM', users, 0) or forbidden('UNLINK', KEYS[#KEYS]))
    or published > 0 and forbidden('XTRIM', outbox, 0, 0)
if refused then return refused end

-- Lua can pass about 8,000 arguments at once; half of that, and even, so that pairs stay together.
local STEP = 4000
local position = 11
local function all(command, key, count)
    local last = position + count
    for first = position + 1, last, STEP do
        redis.call(command, key, unpack(ARGV, first, math.min(first + STEP - 1, last)))
    end
    position = last
end

for _ = 1, entries / 2 do
    redis.call('XADD', outbox, ARGV[position + 1], 'e', ARGV[position + 2])
    position = position + 2
end
all('HSET', meta, tonumber(ARGV[6]))
redis.call('HSET', meta, 'revision', ARGV[3])

for first = 1, states, STEP / 2 do
    local pairs_ = {}
    for i = first, math.min(first + STEP / 2 - 1, states) do
        pairs_[#pairs_ + 1] = KEYS[4 + i]
        pairs_[#pairs_ + 1] = ARGV[position + i]
    end
    redis.call('MSET', unpack(pairs_))
end
position = position + states

all('ZADD', timers, due)
all('ZREM', timers, undue)

for first = 1, arrivals, STEP / 2 do
    local scored = {}
    for i = first, math.min(first + STEP / 2 - 1, arrivals) do
        scored[#scored + 1] = '0'
        scored[#scored + 1] = ARGV[position + i]
    end
    redis.call('ZADD', users, unpack(scored))
end
position = position + arrivals

if departures > 0 then
    for first = 1, departures, STEP do
        redis.call('UNLINK', unpack(KEYS, 4 + states + first, 4 + states + math.min(first + STEP - 1, departures)))
    end
    local before = position
    all('ZREM', timers, departures)
    position = before
    all('ZREM', users, departures)
end

if published > 0 then
    redis.call('XTRIM', outbox, 'MINID', '=', string.format('%.0f-0', published + 1))
end
return {'ok', redis.call('ZRANGE', timers, 0, 0, 'WITHSCORES')[2] or ''}
