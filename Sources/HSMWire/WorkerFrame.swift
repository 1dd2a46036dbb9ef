/// What goes between a key holder and the process that has the PKCS #11 module: four bytes of length, one of kind, four of number,
/// and a body. An answer has its question's number. Numbers are big-endian.
///
/// Neither end believes the other: lengths are bounded before anything is set aside for them.
public enum WorkerFrame {
    /// Of the length.
    public static let prefixLength = 4
    /// Kind and number.
    public static let headLength = 5
    /// Kind, number and body.
    public static let longest = 4096

    /// - Parameter prefix: Four bytes.
    /// - Returns: How many bytes follow; nil if no frame is that long.
    public static func length(_ prefix: [UInt8]) -> Int? {
        guard prefix.count == Self.prefixLength else { return nil }
        let length = prefix.reduce(0) { $0 << 8 | Int($1) }
        return (Self.headLength...Self.longest).contains(length) ? length : nil
    }

}

/// The other end does not keep to the protocol.
public struct WorkerFrameError: Error, Equatable, Sendable {
    public init() {}
}

/// Writes a frame: its head, then numbers, and bytes with their length before them.
struct FieldWriter {
    private var bytes: [UInt8] = []

    /// - Parameter capacity: Bytes of the body for which there is room from the beginning.
    init(kind: UInt8, number: UInt32, capacity: Int) {
        self.bytes.reserveCapacity(WorkerFrame.prefixLength + WorkerFrame.headLength + capacity)
        self.write(UInt32(0))
        self.write(kind)
        self.write(number)
    }

    /// The whole frame. It is taken to be short enough: ``WorkerRequest`` and ``WorkerAnswer`` see to that.
    mutating func frame() -> [UInt8] {
        let length = UInt32(self.bytes.count - WorkerFrame.prefixLength)
        withUnsafeBytes(of: length.bigEndian) { length in
            for (index, byte) in length.enumerated() { self.bytes[index] = byte }
        }
        return self.bytes
    }

    mutating func write(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.bigEndian) { self.bytes.append(contentsOf: $0) }
    }

    /// At most 65,535 bytes.
    mutating func write(field: [UInt8]) {
        self.write(UInt16(field.count))
        self.bytes.append(contentsOf: field)
    }

    mutating func write(optional field: [UInt8]?) {
        self.write(UInt8(field == nil ? 0 : 1))
        if let field { self.write(field: field) }
    }
}

/// Reads the same, and no further than there is something.
struct FieldReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

    mutating func number<Value: FixedWidthInteger>(_: Value.Type = Value.self) throws(WorkerFrameError) -> Value {
        let count = Value.bitWidth / 8
        guard self.rest.count >= count else { throw WorkerFrameError() }
        var value: Value = 0
        for byte in self.rest.prefix(count) { value = (Value.bitWidth == 8 ? 0 : value << 8) | Value(byte) }
        self.rest = self.rest.dropFirst(count)
        return value
    }

    mutating func field(atMost longest: Int) throws(WorkerFrameError) -> [UInt8] {
        let count = Int(try self.number(UInt16.self))
        guard count <= longest, self.rest.count >= count else { throw WorkerFrameError() }
        defer { self.rest = self.rest.dropFirst(count) }
        return Array(self.rest.prefix(count))
    }

    mutating func optionalField(atMost longest: Int) throws(WorkerFrameError) -> [UInt8]? {
        switch try self.number(UInt8.self) {
        case 0: return nil
        case 1: return try self.field(atMost: longest)
        default: throw WorkerFrameError()
        }
    }

    mutating func text(atMost longest: Int) throws(WorkerFrameError) -> String {
        guard let text = String(validating: try self.field(atMost: longest), as: UTF8.self) else {
            throw WorkerFrameError()
        }
        return text
    }

    mutating func optionalText(atMost longest: Int) throws(WorkerFrameError) -> String? {
        guard let field = try self.optionalField(atMost: longest) else { return nil }
        guard let text = String(validating: field, as: UTF8.self) else { throw WorkerFrameError() }
        return text
    }

    func end() throws(WorkerFrameError) {
        guard self.rest.isEmpty else { throw WorkerFrameError() }
    }
}
