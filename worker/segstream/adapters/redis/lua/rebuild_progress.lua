-- Return how far a partition is with making the read model anew.
-- KEYS: meta, users.
local found = redis.call('HMGET', KEYS[1], 'epoch', 'rebuilt', 'rebuild')
local swept = 0
local last = string.match(found[3] or '', '^%d+ users (.*)$')
if last and last ~= '' then
    swept = redis.call('ZLEXCOUNT', KEYS[2], '-', '[' .. last)
elseif found[3] and found[3] ~= '' and not last then
    swept = redis.call('ZCARD', KEYS[2])
end
return {'ok', found[1] or '0', found[2] or '0', found[3] or '', redis.call('ZCARD', KEYS[2]), swept}
