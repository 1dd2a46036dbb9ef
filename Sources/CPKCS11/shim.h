#ifndef LATCHSTRING_CPKCS11_H
#define LATCHSTRING_CPKCS11_H

/*
 * Types, constants and the table of functions of PKCS #11. The header alone: the module itself is loaded while the worker runs, and
 * libp11-kit is not linked, so the package's compiler flags, which name it, are not asked for.
 */
#include <p11-kit-1/p11-kit/pkcs11.h>

#endif
