#define _GNU_SOURCE
#include "CFileSpace.h"

#include <errno.h>
#include <fcntl.h>

int latchstring_set_aside(int descriptor, long long offset, long long count) {
#ifdef __linux__
    while (fallocate(descriptor, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)count) != 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
#else
    (void)descriptor, (void)offset, (void)count;
    return ENOSYS;
#endif
}
