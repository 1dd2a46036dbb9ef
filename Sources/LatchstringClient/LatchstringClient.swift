// LatchstringClient
