import HTTPFields

/// Finds the fields of a head or of trailers, up to the empty line that ends them (RFC 9112 §5).
///
/// Looks at each byte once: `scan` goes on where it stopped. Its offsets count from the section's first byte.
/// All faults are the sender's; nothing is dropped.
struct FieldScanner: Sendable {
    private enum Phase: Sendable { case lineStart, name, beforeValue, value, lineEnd, lastLineEnd }

    private var phase = Phase.lineStart
    /// The next byte to look at.
    private(set) var position: Int
    private var nameStart = 0
    private var nameEnd = 0
    private var valueStart = 0
    private var valueEnd = 0

    init(position: Int) {
        self.position = position
    }

    /// Goes on with the bytes from ``position``. Returns true at the section's end, when `position` is behind its last byte.
    ///
    /// - Parameters:
    ///   - bytes: the section as far as it is there, and as far as it may reach.
    ///   - most: the most fields; one more is a fault as soon as its name begins.
    mutating func scan(
        _ bytes: borrowing Span<UInt8>, into table: inout FieldTable, most: Int, tooMany: WireFault
    ) throws(WireFault) -> Bool {
        var position = self.position
        var phase = self.phase
        defer {
            self.position = position
            self.phase = phase
        }
        while true {
            switch phase {
            case .lineStart:
                guard position < bytes.count else { return false }
                if bytes[position] == ByteClass.carriageReturn {
                    position &+= 1
                    phase = .lastLineEnd
                    continue
                }
                guard ByteClass.isToken(bytes[position]) else { throw Self.fault(ofFirst: bytes[position]) }
                if table.records.count >= most { throw tooMany }
                self.nameStart = position
                phase = .name
                fallthrough
            case .name:
                while position < bytes.count, ByteClass.isToken(bytes[position]) { position &+= 1 }
                guard position < bytes.count else { return false }
                guard bytes[position] == UInt8(ascii: ":") else { throw Self.fault(inName: bytes[position]) }
                self.nameEnd = position
                position &+= 1
                phase = .beforeValue
                fallthrough
            case .beforeValue:
                while position < bytes.count, ByteClass.isWhitespace(bytes[position]) { position &+= 1 }
                guard position < bytes.count else { return false }
                self.valueStart = position
                phase = .value
                fallthrough
            case .value:
                position = ByteClass.firstControl(bytes, from: position)
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.carriageReturn else { throw Self.fault(inValue: bytes[position]) }
                var end = position
                while end > self.valueStart, ByteClass.isWhitespace(bytes[end &- 1]) { end &-= 1 }
                self.valueEnd = end
                position &+= 1
                phase = .lineEnd
                fallthrough
            case .lineEnd:
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.lineFeed else { throw .bareCarriageReturn }
                position &+= 1
                table.append(
                    FieldRecord(
                        name: self.nameStart..<self.nameEnd, value: self.valueStart..<self.valueEnd,
                        known: KnownField(bytes, self.nameStart..<self.nameEnd)))
                phase = .lineStart
            case .lastLineEnd:
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.lineFeed else { throw .bareCarriageReturn }
                position &+= 1
                return true
            }
        }
    }

    private static func fault(ofFirst byte: UInt8) -> WireFault {
        switch byte {
        case ByteClass.space, ByteClass.horizontalTab: .foldedLine
        case UInt8(ascii: ":"): .emptyFieldName
        case ByteClass.lineFeed: .bareLineFeed
        default: .badFieldName
        }
    }

    private static func fault(inName byte: UInt8) -> WireFault {
        switch byte {
        case ByteClass.space, ByteClass.horizontalTab: .spaceBeforeColon
        case ByteClass.lineFeed: .bareLineFeed
        default: .badFieldName
        }
    }

    private static func fault(inValue byte: UInt8) -> WireFault {
        byte == ByteClass.lineFeed ? .bareLineFeed : .controlInValue
    }
}
