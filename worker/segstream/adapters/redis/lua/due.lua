-- Return up to a number of (user, time) with a time before one, earliest first.
-- A script, because its reply has one form in every version of the protocol.
-- KEYS: timers.   ARGV: time, number.
return {'ok', redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])}
