// What this library's interface is made of comes with it: applications import nothing but NativeClient.

@_exported public import NativeHandshake

@_exported public import struct NIOCore.ByteBuffer
@_exported public import struct NIOCore.TimeAmount
@_exported public import struct TLSWire.ServerName
