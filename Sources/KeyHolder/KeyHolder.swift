// KeyHolder
