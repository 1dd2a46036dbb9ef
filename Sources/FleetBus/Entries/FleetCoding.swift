import Hexadecimal

/// Reads fields of fixed and counted length from bytes that may be a stranger's. Big-endian.
struct FieldReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Collection<UInt8>) {
        self.rest = ArraySlice(bytes)
    }

    var isAtEnd: Bool { self.rest.isEmpty }
    var count: Int { self.rest.count }

    mutating func bytes(_ count: Int) -> [UInt8]? {
        guard count >= 0, self.rest.count >= count else { return nil }
        defer { self.rest = self.rest.dropFirst(count) }
        return Array(self.rest.prefix(count))
    }

    mutating func integer<Number: FixedWidthInteger>(as type: Number.Type = Number.self) -> Number? {
        guard let bytes = self.bytes(MemoryLayout<Number>.size) else { return nil }
        return bytes.reduce(Number.zero) { ($0 << 8) | Number(truncatingIfNeeded: $1) }
    }

    mutating func byte() -> UInt8? { self.integer(as: UInt8.self) }

    /// As many bytes as a number before them says.
    mutating func counted<Number: FixedWidthInteger>(by type: Number.Type) -> [UInt8]? {
        guard let count = self.integer(as: Number.self) else { return nil }
        return self.bytes(Int(clamping: count))
    }

    mutating func text<Number: FixedWidthInteger>(by type: Number.Type) -> String? {
        self.counted(by: type).flatMap { String(validating: $0, as: UTF8.self) }
    }
}

/// Writes what ``FieldReader`` reads.
struct FieldWriter {
    private(set) var bytes: [UInt8] = []

    mutating func write(_ bytes: some Sequence<UInt8>) { self.bytes.append(contentsOf: bytes) }

    mutating func write<Number: FixedWidthInteger>(_ number: Number) {
        for shift in stride(from: Number.bitWidth - 8, through: 0, by: -8) {
            self.bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift)))
        }
    }

    mutating func writeCounted<Number: FixedWidthInteger>(_ bytes: some Collection<UInt8>, by type: Number.Type) {
        self.write(Number(clamping: bytes.count))
        self.write(bytes)
    }
}

/// The keys of a fleet on its bus.
public struct FleetKeys: Equatable, Sendable {
    public var purges: String
    public var reports: String
    public var edges: String
    public var generation: String

    public init(fleet: String) {
        // In braces, so that a server that spreads keys keeps these together.
        self.purges = "latchstring:{\(fleet)}:purges"
        self.reports = "latchstring:{\(fleet)}:reports"
        self.edges = "latchstring:{\(fleet)}:edges"
        self.generation = "latchstring:{\(fleet)}:generation"
    }
}

/// Which stream it is: 16 random bytes, made by the first that finds none.
public struct Generation: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// nil unless there are 16.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        self.bytes = bytes
    }

    public static func random(using generator: inout some RandomNumberGenerator) -> Generation {
        Generation(unchecked: (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    private init(unchecked: [UInt8]) {
        self.bytes = unchecked
    }

    public var description: String { Hex.text(self.bytes) }
}
