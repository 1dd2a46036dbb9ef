// Fields, heads and dates are part of this library's interface: applications import nothing but HTTPCaching.

@_exported public import HTTPFields
