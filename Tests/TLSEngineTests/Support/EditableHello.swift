import NIOCore

/// A ClientHello taken apart, to be put together otherwise.
struct EditableHello {
    var recordVersion: UInt16 = 0x0301
    var legacyVersion: UInt16 = 0x0303
    var random: [UInt8]
    var sessionID: [UInt8]
    var suites: [UInt16]
    var compression: [UInt8]
    var extensions: [(type: UInt16, body: [UInt8])]

    /// - Parameter bytes: records of one whole hello.
    init?(_ bytes: ByteBuffer) {
        var records: ByteBuffer = bytes
        var message = ByteBuffer()
        while let (_, _, length) = records.readMultipleIntegers(as: (UInt8, UInt16, UInt16).self),
            let payload = records.readSlice(length: Int(length))
        {
            message.writeImmutableBuffer(payload)
        }
        guard let _: UInt32 = message.readInteger(), let version: UInt16 = message.readInteger(),
            let random = message.readBytes(length: 32), let sessionID = Self.vector8(&message),
            let suites = Self.vector16(&message), let compression = Self.vector8(&message),
            let extensions = Self.vector16(&message)
        else { return nil }
        self.legacyVersion = version
        self.random = random
        self.sessionID = sessionID
        self.suites = stride(from: 0, to: suites.count, by: 2).map { UInt16(suites[$0]) << 8 | UInt16(suites[$0 + 1]) }
        self.compression = compression
        var list = ByteBuffer(bytes: extensions)
        self.extensions = []
        while let type: UInt16 = list.readInteger(), let body = Self.vector16(&list) {
            self.extensions.append((type, body))
        }
    }

    private static func vector8(_ buffer: inout ByteBuffer) -> [UInt8]? {
        buffer.readInteger(as: UInt8.self).flatMap { buffer.readBytes(length: Int($0)) }
    }

    private static func vector16(_ buffer: inout ByteBuffer) -> [UInt8]? {
        buffer.readInteger(as: UInt16.self).flatMap { buffer.readBytes(length: Int($0)) }
    }

    /// Body of an extension; nil takes it away.
    subscript(type: UInt16) -> [UInt8]? {
        get { self.extensions.first { $0.type == type }?.body }
        set {
            guard let newValue else { return self.extensions.removeAll { $0.type == type } }
            if let index = self.extensions.firstIndex(where: { $0.type == type }) {
                self.extensions[index].body = newValue
            } else {
                self.extensions.append((type, newValue))
            }
        }
    }

    /// The message, with its header.
    var message: [UInt8] {
        let list: [UInt8] = self.extensions.flatMap {
            Self.bytes($0.type) + Self.bytes(UInt16($0.body.count)) + $0.body
        }
        var body: [UInt8] = Self.bytes(self.legacyVersion) + self.random
        body += [UInt8(self.sessionID.count)] + self.sessionID
        body += Self.bytes(UInt16(2 * self.suites.count)) + self.suites.flatMap(Self.bytes)
        body += [UInt8(self.compression.count)] + self.compression
        body += Self.bytes(UInt16(list.count)) + list
        return [1, 0] + Self.bytes(UInt16(body.count)) + body
    }

    /// One record.
    var record: ByteBuffer { Self.record(22, self.message, version: self.recordVersion) }

    static func record(_ type: UInt8, _ content: [UInt8], version: UInt16 = 0x0301) -> ByteBuffer {
        ByteBuffer(bytes: [type] + Self.bytes(version) + Self.bytes(UInt16(content.count)) + content)
    }

    /// Entries of key_share (RFC 8446 §4.2.8).
    static func keyShares(_ shares: [(group: UInt16, key: [UInt8])]) -> [UInt8] {
        let entries: [UInt8] = shares.flatMap { Self.bytes($0.group) + Self.bytes(UInt16($0.key.count)) + $0.key }
        return Self.bytes(UInt16(entries.count)) + entries
    }

    static func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(truncatingIfNeeded: number)] }
}
