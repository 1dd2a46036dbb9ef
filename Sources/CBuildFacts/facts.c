#include "CBuildFacts.h"

const char *latchstring_build_commit(void) { return LATCHSTRING_COMMIT; }
