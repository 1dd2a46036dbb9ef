import HTTPFields
public import NIOCore

/// Reads response heads (RFC 9112 §4, §5), as strictly as requests are read. `docs/http-wire.md` says what is refused.
///
/// The verdict depends on the bytes alone, never on how they were cut, and comes with the first byte that makes it certain.
/// Each byte is looked at once. All faults are the origin's; nothing is dropped.
public struct ResponseHeadParser: Sendable {
    private enum Phase: Sendable { case start, version, versionEnd, status, statusEnd, reason, lineFeed, fields }

    private let limits: WireLimits
    private var phase = Phase.start
    /// The next byte to look at, while that is in the status line. Counts from the head's first byte, as all offsets here.
    private var position = 0
    private var version = VersionScanner()
    private var digits = 0
    private var status = 0
    private var reasonStart = 0
    private var reasonEnd = 0
    private var fields = FieldScanner(position: 0)
    private var table = FieldTable()
    private var fault: WireFault?

    public init(limits: WireLimits = WireLimits()) {
        self.limits = limits
    }

    /// Whether something of a head has been read.
    public var hasBegun: Bool { self.phase != .start }

    /// Goes on with a buffer, as ``RequestHeadParser/parse(_:)`` does.
    public mutating func parse(_ buffer: inout ByteBuffer) throws(WireError) -> ResponseHead? {
        do throws(WireFault) {
            if let fault { throw fault }
            if self.phase == .start {
                guard buffer.readableBytes > 0 else { return nil }
                self.phase = .version
                self.position = 0
                self.version = VersionScanner()
                self.digits = 0
                self.status = 0
                self.table.reset()
            }
            guard try self.scan(buffer.readableBytesUInt8Span) else { return nil }
            let head = try self.head(buffer)
            buffer.moveReaderIndex(forwardBy: self.fields.position)
            self.phase = .start
            return head
        } catch {
            self.fault = error
            throw WireError(error, from: .origin)
        }
    }

    private mutating func scan(_ bytes: borrowing Span<UInt8>) throws(WireFault) -> Bool {
        if self.phase != .fields {
            let most = min(self.limits.startLineBytes, self.limits.headBytes)
            guard try self.scanLine(bytes.extracting(first: most)) else {
                if bytes.count >= most { throw .startLineTooLong }
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

    /// Returns true behind the status line.
    private mutating func scanLine(_ bytes: borrowing Span<UInt8>) throws(WireFault) -> Bool {
        var position = self.position
        defer { self.position = position }
        while true {
            switch self.phase {
            case .start, .fields:
                return true
            case .version:
                guard try self.version.scan(bytes, &position) else { return false }
                self.phase = .versionEnd
            case .versionEnd:
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.space else { throw Self.fault(behindVersion: bytes[position]) }
                position &+= 1
                self.phase = .status
            case .status:
                while self.digits < 3 {
                    guard position < bytes.count else { return false }
                    let byte = bytes[position]
                    guard ByteClass.isDigit(byte), self.digits > 0 || byte != UInt8(ascii: "0") else {
                        throw Self.fault(inStatus: byte)
                    }
                    self.status = self.status &* 10 &+ Int(byte &- UInt8(ascii: "0"))
                    self.digits &+= 1
                    position &+= 1
                }
                self.phase = .statusEnd
            case .statusEnd:
                // The space belongs there even if no reason follows (RFC 9112 §4); many origins leave it out.
                guard position < bytes.count else { return false }
                self.reasonStart = position
                self.phase = .reason
                if bytes[position] == ByteClass.space {
                    position &+= 1
                    self.reasonStart = position
                } else if bytes[position] != ByteClass.carriageReturn {
                    throw Self.fault(inStatus: bytes[position])
                }
            case .reason:
                position = ByteClass.firstControl(bytes, from: position)
                guard position < bytes.count else { return false }
                guard bytes[position] == ByteClass.carriageReturn else {
                    throw bytes[position] == ByteClass.lineFeed ? .bareLineFeed : .badReason
                }
                self.reasonEnd = position
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

    private func head(_ buffer: ByteBuffer) throws(WireFault) -> ResponseHead {
        guard let slice = buffer.getSlice(at: buffer.readerIndex, length: self.fields.position - 2) else {
            throw .incomplete
        }
        let fields = FieldSection(bytes: slice, table: self.table)
        let announced: BodyFraming? =
            self.status < 200 || self.status == 204
            ? nil : try BodyFraming.announced(in: fields, minorVersion: self.version.minor)
        return ResponseHead(
            status: self.status, reasonStart: UInt32(self.reasonStart), reasonEnd: UInt32(self.reasonEnd),
            minorVersion: self.version.minor, fields: fields, announced: announced)
    }

    private static func fault(behindVersion byte: UInt8) -> WireFault {
        switch byte {
        case ByteClass.carriageReturn: .badStatus
        case ByteClass.horizontalTab: .whitespaceInStartLine
        default: VersionScanner.fault(byte)
        }
    }

    private static func fault(inStatus byte: UInt8) -> WireFault {
        switch byte {
        case ByteClass.lineFeed: .bareLineFeed
        case ByteClass.space, ByteClass.horizontalTab: .whitespaceInStartLine
        default: .badStatus
        }
    }
}
