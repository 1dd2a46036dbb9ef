import HTTPFields
public import NIOCore

/// Reads request heads (RFC 9112 §2.2, §3, §5), strictly. `docs/http-wire.md` says what is refused.
///
/// The verdict depends on the bytes alone, never on how they were cut, and comes with the first byte that makes it certain.
/// Each byte is looked at once. All faults are the client's. One thing is dropped silently: an empty line in front of a head.
public struct RequestHeadParser: Sendable {
    private enum Phase: Sendable {
        case start, emptyLineEnd, firstByte, method, target, version, lineEnd, lineFeed, fields

        var isWithinHead: Bool {
            switch self {
            case .start, .emptyLineEnd, .firstByte: false
            default: true
            }
        }
    }

    private let limits: WireLimits
    private var phase = Phase.start
    /// The next byte to look at, while that is in the request line. Counts from the head's first byte, as all offsets here.
    private var position = 0
    private var methodEnd = 0
    private var targetEnd = 0
    private var version = VersionScanner()
    private var fields = FieldScanner(position: 0)
    private var table = FieldTable()
    private var fault: WireFault?

    public init(limits: WireLimits = WireLimits()) {
        self.limits = limits
    }

    /// Whether something of a head has been read; an empty line does not count.
    public var hasBegun: Bool { self.phase.isWithinHead }

    /// Goes on with a buffer whose readable bytes begin with the first that was not consumed: between two calls, bytes are
    /// added at its end and nothing else changes. A whole head is consumed, an unfinished one is not.
    ///
    /// Returns `nil` if the head's end is not there yet. A fault is final: it is thrown by later calls, too.
    public mutating func parse(_ buffer: inout ByteBuffer) throws(WireError) -> RequestHead? {
        do throws(WireFault) {
            if let fault { throw fault }
            if !self.phase.isWithinHead, try !self.begin(&buffer) { return nil }
            guard try self.scan(buffer.readableBytesUInt8Span) else { return nil }
            let head = try self.head(buffer)
            buffer.moveReaderIndex(forwardBy: self.fields.position)
            self.phase = .start
            return head
        } catch {
            self.fault = error
            throw WireError(error, from: .client)
        }
    }

    /// Skips one empty line (RFC 9112 §2.2). Returns true once there is a byte of a head.
    private mutating func begin(_ buffer: inout ByteBuffer) throws(WireFault) -> Bool {
        while let byte = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) {
            if self.phase == .emptyLineEnd {
                guard byte == ByteClass.lineFeed else { throw .bareCarriageReturn }
                self.phase = .firstByte
            } else if byte == ByteClass.carriageReturn, self.phase == .start {
                self.phase = .emptyLineEnd
            } else {
                self.phase = .method
                self.position = 0
                self.version = VersionScanner()
                self.table.reset()
                return true
            }
            buffer.moveReaderIndex(forwardBy: 1)
        }
        return false
    }

    private mutating func scan(_ bytes: borrowing Span<UInt8>) throws(WireFault) -> Bool {
        if self.phase != .fields {
            let most = min(self.limits.startLineBytes, self.limits.headBytes)
            guard try self.scanLine(bytes.extracting(first: most)) else {
                if bytes.count >= most { throw self.lineTooLong }
                return false
            }
            self.phase = .fields
            self.fields = FieldScanner(position: self.position)
        }
        let most = self.limits.headBytes
        if try self.fields.scan(
            bytes.extracting(first: most), into: &self.table, most: self.limits.fields, tooMany: .tooManyFields)
        {
            return true
        }
        if bytes.count >= most { throw .headTooLarge }
        return false
    }

    private var lineTooLong: WireFault {
        if self.limits.headBytes < self.limits.startLineBytes { return .headTooLarge }
        return self.phase == .method ? .methodTooLong : .targetTooLong
    }

    /// Returns true behind the request line.
    private mutating func scanLine(_ bytes: borrowing Span<UInt8>) throws(WireFault) -> Bool {
        var position = self.position
        defer { self.position = position }
        while true {
            switch self.phase {
            case .start, .emptyLineEnd, .firstByte, .fields:
                return true
            case .method:
                while position < bytes.count, ByteClass.isToken(bytes[position]) { position &+= 1 }
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.space, position > 0 else {
                    throw Self.fault(inMethod: bytes[position], at: position)
                }
                self.methodEnd = position
                position &+= 1
                self.phase = .target
            case .target:
                position = ByteClass.firstOutsideTarget(bytes, from: position)
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.space, position > self.methodEnd &+ 1 else {
                    throw Self.fault(inTarget: bytes[position])
                }
                self.targetEnd = position
                position &+= 1
                self.phase = .version
            case .version:
                guard try self.version.scan(bytes, &position) else { return false }
                self.phase = .lineEnd
            case .lineEnd:
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.carriageReturn else { throw VersionScanner.fault(bytes[position]) }
                position &+= 1
                self.phase = .lineFeed
            case .lineFeed:
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.lineFeed else { throw .bareCarriageReturn }
                position &+= 1
                return true
            }
        }
    }

    private func head(_ buffer: ByteBuffer) throws(WireFault) -> RequestHead {
        let bytes = buffer.readableBytesUInt8Span
        let method = RequestMethod(bytes, 0..<self.methodEnd)
        let target = try RequestTarget(bytes, (self.methodEnd + 1)..<self.targetEnd, method: method)
        if self.table.repeated.contains(.host) { throw .severalHosts }
        if self.version.minor >= 1, !self.table.known.contains(.host) { throw .missingHost }
        guard let slice = buffer.getSlice(at: buffer.readerIndex, length: self.fields.position - 2) else {
            throw .incomplete
        }
        let fields = FieldSection(bytes: slice, table: self.table)
        let framing = try BodyFraming.announced(in: fields, minorVersion: self.version.minor)
        return RequestHead(
            method: method, methodEnd: UInt32(self.methodEnd), targetStart: UInt32(self.methodEnd + 1),
            targetEnd: UInt32(self.targetEnd), target: target, minorVersion: self.version.minor,
            fields: fields, framing: framing ?? .none)
    }

    private static func fault(inMethod byte: UInt8, at position: Int) -> WireFault {
        switch byte {
        case ByteClass.space, ByteClass.horizontalTab: .whitespaceInStartLine
        case ByteClass.lineFeed: .bareLineFeed
        case ByteClass.carriageReturn where position > 0: .missingVersion
        default: .badMethod
        }
    }

    private static func fault(inTarget byte: UInt8) -> WireFault {
        switch byte {
        case ByteClass.space, ByteClass.horizontalTab: .whitespaceInStartLine
        case ByteClass.lineFeed: .bareLineFeed
        case ByteClass.carriageReturn: .missingVersion
        default: .badTarget
        }
    }
}
