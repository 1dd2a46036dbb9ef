#ifndef LATCHSTRING_CBUILDFACTS_H
#define LATCHSTRING_CBUILDFACTS_H

/// The commit that the program was built from, as 12 hexadecimal digits, and `+` where files differed from it. Empty where the
/// build was not told.
const char *latchstring_build_commit(void);

#endif
