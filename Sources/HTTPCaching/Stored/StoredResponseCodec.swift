import HTTPFields
public import NIOCore

/// Why bytes are no stored response. The store drops the entry and logs the text.
public enum StoredResponseError: String, Error, Sendable {
    case truncated = "the stored response ends early"
    case trailingBytes = "the stored response is followed by more bytes"
    case unknownVersion = "the stored response was written by another version"
    case badValue = "the stored response holds an impossible value"
    case notText = "the stored response holds a tag that is not UTF-8"
    case notAField = "the stored response holds something that is no field"
    case tooMany = "the stored response holds more than the format allows"
}

/// The form on disk. Version 2, integers big endian:
///
///     u8 version · u16 status · bytes8 reason phrase
///     i64 request time · i64 response time
///     u8 extent (0 complete, 1 complete of unknown length, 2 partial, 3 partial of unknown total)
///       0: i64 length · 2, 3: i64 first · i64 last · i64 total (2 only)
///     i64 initial age · i64 lifetime · u8 source · u16 flags · i64 stale-while-revalidate · i64 stale-if-error
///     u16 number of selectors: bytes16 name · u8 has value · bytes32 value if so
///     u16 number of tags: text16
///     u16 number of fields: bytes16 name · bytes32 value
///
/// `bytesN` is a length of N bits and as many bytes, as they are on the wire; `textN` the same, and UTF-8. Version 1 had texts
/// everywhere, in which bytes that are not UTF-8 were lost: it is refused. There are no checksums here: the store has its own.
extension StoredResponse {
    /// Counts and lengths beyond these are refused by both directions.
    public static let maximumFields = 1024
    public static let maximumTags = 1024
    /// Bytes of one tag.
    public static let maximumTagBytes = 1024
    public static let maximumEncodedBytes = 1 << 20

    private static let version: UInt8 = 2

    /// - Throws: `StoredResponseError.tooMany`, if it holds more than the format allows. Nothing is written then.
    public func encode(into buffer: inout ByteBuffer) throws {
        let start = buffer.writerIndex
        do {
            try self.write(into: &buffer)
            guard buffer.writerIndex - start <= Self.maximumEncodedBytes else { throw StoredResponseError.tooMany }
        } catch {
            buffer.moveWriterIndex(to: start)
            throw error
        }
    }

    private func write(into buffer: inout ByteBuffer) throws {
        let fields = self.fields
        guard fields.count <= Self.maximumFields, self.tags.count <= Self.maximumTags,
            self.variant.selectors.count <= Self.maximumFields
        else { throw StoredResponseError.tooMany }
        buffer.writeInteger(Self.version)
        buffer.writeInteger(UInt16(self.status))
        try buffer.writeBytes(self.head.reason, UInt8.self)
        buffer.writeInteger(self.requestTime)
        buffer.writeInteger(self.responseTime)
        switch self.extent {
        case .complete(let length?): buffer.writeMultipleIntegers(UInt8(0), length)
        case .complete(nil): buffer.writeInteger(UInt8(1))
        case .partial(let first, let last, let total?): buffer.writeMultipleIntegers(UInt8(2), first, last, total)
        case .partial(let first, let last, nil): buffer.writeMultipleIntegers(UInt8(3), first, last)
        }
        buffer.writeMultipleIntegers(self.freshness.initialAge, self.freshness.lifetime)
        buffer.writeMultipleIntegers(self.freshness.source.rawValue, self.freshness.flags.rawValue)
        buffer.writeMultipleIntegers(self.freshness.staleWhileRevalidate, self.freshness.staleIfError)
        buffer.writeInteger(UInt16(self.variant.selectors.count))
        for selector in self.variant.selectors {
            try buffer.writeBytes(selector.name.bytes, UInt16.self)
            buffer.writeInteger(UInt8(selector.value == nil ? 0 : 1))
            if let value = selector.value { try buffer.writeBytes(value, UInt32.self) }
        }
        buffer.writeInteger(UInt16(self.tags.count))
        for tag in self.tags { try buffer.writeBytes(tag.utf8, UInt16.self) }
        buffer.writeInteger(UInt16(fields.count))
        for field in fields {
            try buffer.writeBytes(fields.copy(field.name), UInt16.self)
            try buffer.writeBytes(fields.copy(field.value), UInt32.self)
        }
    }

    /// Reads exactly the readable bytes of `buffer`.
    ///
    /// - Throws: `StoredResponseError`. Memory use is bounded by the buffer's size.
    public init(decoding buffer: ByteBuffer) throws {
        guard buffer.readableBytes <= Self.maximumEncodedBytes else { throw StoredResponseError.tooMany }
        var reader = buffer
        guard try reader.take(UInt8.self) == Self.version else { throw StoredResponseError.unknownVersion }
        let code = Int(try reader.take(UInt16.self))
        guard (100...999).contains(code) else { throw StoredResponseError.badValue }
        let reason = try reader.takeBytes(UInt8.self)
        let requestTime = try reader.take(Int64.self)
        let responseTime = try reader.take(Int64.self)
        let extent = try Self.extent(&reader)
        let freshness = try Self.freshness(&reader)

        var selectors: [VariantKey.Selector] = []
        for _ in 0..<(try reader.takeCount(limit: Self.maximumFields)) {
            let bytes = try reader.takeBytes(UInt16.self)
            guard let name = FieldName(bytes.readableBytesView), name.bytes.elementsEqual(bytes.readableBytesView),
                selectors.last.map({ $0.name < name }) ?? true
            else { throw StoredResponseError.badValue }
            let hasValue = try reader.take(UInt8.self)
            guard hasValue <= 1 else { throw StoredResponseError.badValue }
            let value = hasValue == 1 ? Array(try reader.takeBytes(UInt32.self).readableBytesView) : nil
            selectors.append(VariantKey.Selector(name: name, value: value))
        }
        var tags: [String] = []
        for _ in 0..<(try reader.takeCount(limit: Self.maximumTags)) { tags.append(try reader.takeText(UInt16.self)) }
        let count = try reader.takeCount(limit: Self.maximumFields)
        var head: EncodedHead
        do throws(FieldFault) {
            head = try EncodedHead(
                status: code, reason: reason.readableBytesView, capacity: reader.readableBytes)
        } catch {
            throw StoredResponseError.badValue
        }
        for _ in 0..<count {
            let name = try reader.takeBytes(UInt16.self)
            let value = try reader.takeBytes(UInt32.self)
            // Never written: fields for one hop, and what is made anew.
            if let known = KnownField(name.readableBytesView), StorableFields.dropped.contains(known) {
                throw StoredResponseError.badValue
            }
            do throws(FieldFault) {
                try head.add(name: name.readableBytesView, value: value.readableBytesView)
            } catch {
                throw StoredResponseError.notAField
            }
        }
        guard reader.readableBytes == 0 else { throw StoredResponseError.trailingBytes }
        self.init(
            head: head, requestTime: requestTime, responseTime: responseTime,
            variant: VariantKey(selectors: selectors), extent: extent, freshness: freshness, tags: tags)
    }

    private static func extent(_ reader: inout ByteBuffer) throws -> Extent {
        switch try reader.take(UInt8.self) {
        case 0:
            let length = try reader.take(Int64.self)
            guard length >= 0 else { throw StoredResponseError.badValue }
            return .complete(length: length)
        case 1: return .complete(length: nil)
        case let kind where kind == 2 || kind == 3:
            let first = try reader.take(Int64.self)
            let last = try reader.take(Int64.self)
            guard first >= 0, last >= first, last < .max else { throw StoredResponseError.badValue }
            if kind == 3 { return .partial(first: first, last: last, total: nil) }
            let total = try reader.take(Int64.self)
            guard total > last else { throw StoredResponseError.badValue }
            return .partial(first: first, last: last, total: total)
        default: throw StoredResponseError.badValue
        }
    }

    private static func freshness(_ reader: inout ByteBuffer) throws -> Freshness {
        let initialAge = try reader.take(Int64.self)
        let lifetime = try reader.take(Int64.self)
        guard let source = Freshness.Source(rawValue: try reader.take(UInt8.self)) else {
            throw StoredResponseError.badValue
        }
        let flags = Freshness.Flags(rawValue: try reader.take(UInt16.self))
        let whileRevalidate = try reader.take(Int64.self)
        let ifError = try reader.take(Int64.self)
        guard initialAge >= 0, lifetime >= 0, whileRevalidate >= 0, ifError >= 0 else {
            throw StoredResponseError.badValue
        }
        return Freshness(
            initialAge: initialAge, lifetime: lifetime, source: source, flags: flags,
            staleWhileRevalidate: whileRevalidate, staleIfError: ifError)
    }
}

extension ByteBuffer {
    fileprivate mutating func writeBytes<Length: FixedWidthInteger & UnsignedInteger>(
        _ bytes: some Collection<UInt8>, _ type: Length.Type
    ) throws {
        guard let length = Length(exactly: bytes.count) else { throw StoredResponseError.tooMany }
        self.writeInteger(length)
        self.writeBytes(bytes)
    }

    fileprivate mutating func take<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        guard let number = self.readInteger(as: type) else { throw StoredResponseError.truncated }
        return number
    }

    fileprivate mutating func takeCount(limit: Int) throws -> Int {
        let count = Int(try self.take(UInt16.self))
        guard count <= limit else { throw StoredResponseError.tooMany }
        return count
    }

    fileprivate mutating func takeBytes<Length: FixedWidthInteger & UnsignedInteger>(
        _ type: Length.Type
    ) throws -> ByteBuffer {
        let length = try self.take(type)
        guard let length = Int(exactly: length), let slice = self.readSlice(length: length) else {
            throw StoredResponseError.truncated
        }
        return slice
    }

    fileprivate mutating func takeText<Length: FixedWidthInteger & UnsignedInteger>(
        _ type: Length.Type
    ) throws -> String {
        let bytes = try self.takeBytes(type)
        guard let text = String(validating: bytes.readableBytesView, as: UTF8.self) else {
            throw StoredResponseError.notText
        }
        return text
    }
}
