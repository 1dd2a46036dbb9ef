public import NIOCore

/// What the decoder found in the stream.
public enum KeyPacketEvent: Equatable, Sendable {
    case packet(KeyPacket)
    /// A packet whose body is malformed. Its length is known, so the stream goes on behind it: answer the id with the
    /// code and keep the connection.
    case malformed(id: UInt32, KeyErrorCode)
}

/// The stream cannot go on: whatever follows has no known boundaries. Close the connection.
public enum KeyFramingError: Error, Equatable, Sendable {
    /// The header's major version is not 1. Answer `id` with ``KeyErrorCode/versionMismatch`` before closing.
    case versionMismatch(major: UInt8, id: UInt32)
}

/// Takes a byte stream apart into packets, whatever way it was split.
///
/// Which inputs are whose fault:
/// - the peer's violation that ends the stream: another major version (``KeyFramingError``, repeated on every later
///   call);
/// - the peer's violation within one packet (``KeyPacketEvent/malformed(id:_:)``): items that don't fill the body
///   exactly, a known tag twice, a wrong length for an opcode (1), deadline (4), digest (32), key identifier (20), address
///   (4 or 16) or text (1 to 255 visible ASCII characters), no opcode;
/// - silently dropped: items with unknown tags, padding, the minor version.
///
/// It never holds more than one unfinished packet (65,543 bytes) beyond what one call of ``receive(_:)`` gave it, and
/// copies each byte a constant number of times. Call ``next()`` until it returns nil after each ``receive(_:)``.
public struct KeyPacketDecoder: Sendable {
    private var buffer = ByteBuffer()
    /// Payloads given out may share storage with `buffer`; writing to it then would copy all of it.
    private var storageMayBeShared: Bool = false
    private var failure: KeyFramingError?

    public init() {}

    /// Bytes received that no event was given out for yet.
    public var bufferedBytes: Int { self.buffer.readableBytes }

    public mutating func receive(_ bytes: ByteBuffer) {
        guard self.failure == nil else { return }
        if self.buffer.readableBytes == 0 {
            self.buffer = bytes
            self.storageMayBeShared = true
        } else {
            if self.storageMayBeShared {
                var fresh = ByteBuffer()
                fresh.reserveCapacity(self.buffer.readableBytes + bytes.readableBytes)
                fresh.writeImmutableBuffer(self.buffer)
                self.buffer = fresh
                self.storageMayBeShared = false
            }
            self.buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next event, or nil when more bytes are needed.
    public mutating func next() throws(KeyFramingError) -> KeyPacketEvent? {
        if let failure = self.failure { throw failure }
        guard
            let (major, _, length, id) = self.buffer.getMultipleIntegers(
                at: self.buffer.readerIndex, as: (UInt8, UInt8, UInt16, UInt32).self)
        else { return nil }
        guard major == KeyPacketLayout.majorVersion else {
            let failure = KeyFramingError.versionMismatch(major: major, id: id)
            self.failure = failure
            self.buffer = ByteBuffer()
            throw failure
        }
        guard self.buffer.readableBytes >= KeyPacketLayout.headerSize + Int(length) else { return nil }
        self.buffer.moveReaderIndex(forwardBy: KeyPacketLayout.headerSize)
        guard let body: ByteBuffer = self.buffer.readSlice(length: Int(length)) else { return nil }
        self.storageMayBeShared = true
        if self.buffer.readableBytes == 0 { self.buffer = ByteBuffer() }
        do throws(KeyErrorCode) {
            return .packet(KeyPacket(id: id, body: try KeyMessage(items: body)))
        } catch {
            return .malformed(id: id, error)
        }
    }
}

extension KeyMessage {
    /// Parses a packet's body.
    init(items: ByteBuffer) throws(KeyErrorCode) {
        var items: ByteBuffer = items
        var opcode: Opcode?
        var message = KeyMessage(opcode: .error)
        var seen: UInt64 = 0  // one bit for each known tag; all are below 64
        while items.readableBytes > 0 {
            guard let (tag, length) = items.readMultipleIntegers(as: (UInt8, UInt16).self),
                let value: ByteBuffer = items.readSlice(length: Int(length))
            else { throw .formatError }
            guard let tag = KeyItemTag(rawValue: tag), tag != .padding else { continue }
            let bit: UInt64 = 1 << UInt64(tag.rawValue)
            guard seen & bit == 0, tag.accepts(length: Int(length)) else { throw .formatError }
            seen |= bit
            switch tag {
            case .opcode: opcode = value.getInteger(at: value.readerIndex).map(Opcode.init(rawValue:))
            case .payload: message.payload = value
            case .function: message.function = try value.visibleText()
            case .serverName: message.serverName = try value.visibleText()
            case .clientIP: message.clientIP = Array(value.readableBytesView)
            case .serverIP: message.serverIP = Array(value.readableBytesView)
            case .subjectKeyIdentifier: message.ski = Array(value.readableBytesView)
            case .certificateDigest: message.certificateDigest = Array(value.readableBytesView)
            case .certificateID: message.certificateID = try value.visibleText()
            case .extra: message.extra = value
            case .deadline: message.deadline = value.getInteger(at: value.readerIndex)
            case .hedge: message.isHedge = true
            case .padding: break
            }
        }
        guard let opcode else { throw .formatError }
        message.opcode = opcode
        self = message
    }
}

extension ByteBuffer {
    fileprivate func visibleText() throws(KeyErrorCode) -> String {
        guard self.readableBytesView.allSatisfy(isVisibleASCII) else { throw .formatError }
        return String(buffer: self)
    }
}
