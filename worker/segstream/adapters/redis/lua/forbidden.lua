-- Stands before each script that writes more than once (scripts.py). Redis does not undo what a script has written when it
-- is refused a right in the middle: so whether it may do all that it is going to do is asked before the first write.
-- Takes a command with a key and as many arguments as it needs (newer versions count them, none looks at them); returns
-- nil, or the error to return. Redis 6.2 cannot be asked.
local may = redis.acl_check_cmd
local function forbidden(command, ...)
    if may and not may(command, ...) then
        return redis.error_reply('NOPERM this user has no permissions to run ' .. command .. ' in a script; nothing is written')
    end
end
