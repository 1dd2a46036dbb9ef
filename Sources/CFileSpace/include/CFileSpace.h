#ifndef LATCHSTRING_CFILESPACE_H
#define LATCHSTRING_CFILESPACE_H

/// Sets `count` bytes from `offset` on aside for the file, and leaves its length as it is. The system's function is not in the
/// headers that Swift sees.
///
/// Returns 0 or an error number; ENOSYS where the system has no such function.
int latchstring_set_aside(int descriptor, long long offset, long long count);

#endif
