public import HTTPFields
public import NIOCore

/// Reads the chunked coding with its trailers (RFC 9112 §7.1), strictly. Data is handed on as slices of what was read.
///
/// The verdict depends on the bytes alone, never on how they were cut; data that stood before a fault has been handed on by then.
/// Each byte but those of data is looked at once. All faults are the sender's. Extensions are dropped silently, as RFC 9112
/// §7.1.1 wants.
public struct ChunkedParser: Sendable {
    public enum Event: Sendable {
        /// One or more bytes of the content: a chunk, or a part of one.
        case data(ByteBuffer)
        /// The content is complete; `nil` if there were no trailers.
        case end(trailers: FieldSection?)
    }

    private enum Phase: Sendable { case size, `extension`, sizeEnd, data, dataEnd, dataLineFeed, trailers, over }

    private let limits: WireLimits
    private let sender: WireError.Sender
    private var phase = Phase.size
    private var digits = 0
    /// The size of the current chunk; then what is left of its data.
    private var remaining: Int64 = 0
    private var extensionBytes = 0
    /// Bytes of all extensions, less one for each 64 of data.
    private var extensionDebt: Int64 = 0
    private var fields = FieldScanner(position: 0)
    private var table = FieldTable()
    private var fault: WireFault?

    /// Sixteen digits hold every size up to 2^64; those above 2^63-1 are refused.
    private static let mostDigits = 16

    public init(from sender: WireError.Sender, limits: WireLimits = WireLimits()) {
        self.sender = sender
        self.limits = limits
    }

    /// The next event; `nil` if it needs more bytes, or if the content is over. What is read is consumed, trailers only as a
    /// whole: between two calls, bytes are added to the buffer's end and nothing else changes.
    ///
    /// A fault is final: it is thrown by later calls, too.
    public mutating func next(_ buffer: inout ByteBuffer) throws(WireError) -> Event? {
        do throws(WireFault) {
            if let fault { throw fault }
            if self.phase != .data, self.phase != .trailers {
                let (consumed, result) = self.scanLine(buffer.readableBytesUInt8Span)
                buffer.moveReaderIndex(forwardBy: consumed)
                if let result { throw result }
            }
            switch self.phase {
            case .data: return self.data(&buffer)
            case .trailers: return try self.trailers(&buffer)
            default: return nil
            }
        } catch {
            self.fault = error
            throw WireError(error, from: self.sender)
        }
    }

    private mutating func data(_ buffer: inout ByteBuffer) -> Event? {
        let count = Int(min(self.remaining, Int64(buffer.readableBytes)))
        guard count > 0, let slice = buffer.readSlice(length: count) else { return nil }
        self.remaining -= Int64(count)
        self.extensionDebt = max(self.extensionDebt - Int64(count), -(1 << 40))
        if self.remaining == 0 { self.phase = .dataEnd }
        return .data(slice)
    }

    private mutating func trailers(_ buffer: inout ByteBuffer) throws(WireFault) -> Event? {
        let most = self.limits.trailerBytes
        guard
            try self.fields.scan(
                buffer.readableBytesUInt8Span.extracting(first: most), into: &self.table, most: self.limits.trailers,
                tooMany: .tooManyTrailers)
        else {
            if buffer.readableBytes >= most { throw .trailersTooLarge }
            return nil
        }
        self.phase = .over
        let section = buffer.getSlice(at: buffer.readerIndex, length: self.fields.position - 2)
        buffer.moveReaderIndex(forwardBy: self.fields.position)
        guard let section, !self.table.records.isEmpty else { return .end(trailers: nil) }
        return .end(trailers: FieldSection(bytes: section, table: self.table))
    }

    /// Goes on to the next data or to the trailers. Returns how many bytes were read.
    private mutating func scanLine(_ bytes: borrowing Span<UInt8>) -> (consumed: Int, fault: WireFault?) {
        var position = 0
        do throws(WireFault) {
            while position < bytes.count {
                let byte = bytes[position]
                switch self.phase {
                case .dataEnd:
                    guard byte == ByteClass.carriageReturn else { throw .missingChunkEnd }
                    self.phase = .dataLineFeed
                case .dataLineFeed:
                    guard byte == ByteClass.lineFeed else { throw .missingChunkEnd }
                    self.beginSize()
                case .size:
                    try self.addToSize(byte)
                case .extension:
                    // To the end of the extension, of what is there, or of what may be there.
                    let left = max(0, self.limits.chunkExtensionBytes &- self.extensionBytes)
                    let most = position &+ min(bytes.count &- position, left)
                    let end = ByteClass.firstControl(bytes.extracting(first: most), from: position)
                    self.extensionBytes += end &- position
                    position = end
                    guard position < bytes.count else { return (position, nil) }
                    guard bytes[position] == ByteClass.carriageReturn else {
                        if position == most { throw .chunkExtensionsTooLong }
                        throw bytes[position] == ByteClass.lineFeed ? .bareLineFeed : .badChunkExtension
                    }
                    self.extensionDebt += 64 * Int64(self.extensionBytes)
                    if self.extensionDebt > 64 * Int64(self.limits.bodyExtensionBytes) { throw .chunkExtensionsTooLong }
                    self.phase = .sizeEnd
                case .sizeEnd:
                    guard byte == ByteClass.lineFeed else { throw .bareCarriageReturn }
                    self.phase = self.remaining == 0 ? .trailers : .data
                    return (position &+ 1, nil)
                case .data, .trailers, .over:
                    return (position, nil)
                }
                position &+= 1
            }
            return (position, nil)
        } catch {
            return (position, error)
        }
    }

    private mutating func beginSize() {
        self.phase = .size
        self.digits = 0
        self.remaining = 0
        self.extensionBytes = 0
    }

    private mutating func addToSize(_ byte: UInt8) throws(WireFault) {
        if let digit = ByteClass.hexadecimalDigit(byte) {
            self.digits &+= 1
            if self.digits > Self.mostDigits || self.remaining > Int64.max >> 4 { throw .chunkTooLarge }
            self.remaining = self.remaining << 4 | Int64(digit)
            return
        }
        if byte == ByteClass.lineFeed { throw .bareLineFeed }
        guard self.digits > 0 else { throw .badChunkSize }
        if byte == ByteClass.carriageReturn {
            self.phase = .sizeEnd
        } else if byte == UInt8(ascii: ";") {
            self.extensionBytes = 1
            self.phase = .extension
        } else {
            throw .badChunkSize
        }
    }
}
