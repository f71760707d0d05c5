-- Write one partition's member lists, under its owner's epoch only.
-- KEYS: meta, then the member lists.
-- ARGV: epoch, then per list the number of arguments to add (time, user) and to remove (user), and these.
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or 0)
if epoch > tonumber(ARGV[1]) then return {'fenced', tostring(epoch)} end
if epoch < tonumber(ARGV[1]) then return {'lost', tostring(epoch), ''} end

local refused = KEYS[2] and (forbidden('ZADD', KEYS[2], 0, 0) or forbidden('ZREM', KEYS[2], 0))
if refused then return refused end
local STEP = 4000
local position = 1
local function all(command, key, count)
    local last = position + count
    for first = position + 1, last, STEP do
        redis.call(command, key, unpack(ARGV, first, math.min(first + STEP - 1, last)))
    end
    position = last
end
for i = 2, #KEYS do
    local add, remove = tonumber(ARGV[position + 1]), tonumber(ARGV[position + 2])
    position = position + 2
    all('ZADD', KEYS[i], add)
    all('ZREM', KEYS[i], remove)
end
return {'ok'}
