import NIOCore

/// Finds the frames in what an HTTP/2 client sends (RFC 9113 §4.1), also those of which the library does not tell. Pure.
///
/// Judges nothing: lengths and types are the library's to check, from the same bytes.
struct FrameHeaders {
    /// DATA and CONTINUATION are told apart from all others.
    enum Kind: Equatable {
        case data, continuation, other
    }

    private static let headerLength = 9
    private static let prefaceLength = 24

    /// Bytes to be passed over before the next frame's header.
    private var toSkip = FrameHeaders.prefaceLength
    /// The part of a header that has come: its first four bytes are length and type.
    private var header = UInt32(0)
    private var headerBytes = 0
    /// The frame whose payload has not come whole.
    private(set) var current: Kind?

    /// Calls `found` for each frame that begins.
    mutating func read(_ bytes: ByteBuffer, found: (Kind) -> Void) {
        bytes.withUnsafeReadableBytes { bytes in
            var index = 0
            while index < bytes.count {
                if self.toSkip > 0 {
                    let count = min(self.toSkip, bytes.count - index)
                    self.toSkip -= count
                    index += count
                    continue
                }
                if self.headerBytes < 4 { self.header = self.header << 8 | UInt32(bytes[index]) }
                self.headerBytes += 1
                index += 1
                guard self.headerBytes == Self.headerLength else { continue }
                self.headerBytes = 0
                self.toSkip = Int(self.header >> 8)
                let kind: Kind =
                    switch UInt8(truncatingIfNeeded: self.header) {
                    case 0x0: .data
                    case 0x9: .continuation
                    default: .other
                    }
                self.current = kind
                found(kind)
            }
            if self.toSkip == 0 { self.current = nil }
        }
    }
}
