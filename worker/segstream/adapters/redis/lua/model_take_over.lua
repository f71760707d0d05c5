-- Raise a model's trainer epoch and return where its training stands.
-- KEYS: the model.
local found = redis.call('HMGET', KEYS[1], 'number', 'learning')
local epoch = redis.call('HINCRBY', KEYS[1], 'trainer_epoch', 1)
return {'ok', epoch, tonumber(found[1] or 0), found[2]}
