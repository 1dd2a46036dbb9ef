import Telemetry

/// Where audit lines are written. Only used on the writer's thread.
protocol AuditOutput: Sendable {
    /// Writes what there is room for.
    ///
    /// - Returns: Bytes written, at least 1; or the error.
    mutating func write(_ bytes: ArraySlice<UInt8>) -> Result<Int, AuditOutputError>

    /// Sees to it that at least `low` bytes can be written whatever else fills the disk, and `high` if any have to be set
    /// aside.
    ///
    /// - Throws: where there is not so much room. Where nothing can be set aside (a pipe, a file system that has no way to do
    ///   so), it does not.
    mutating func reserve(low: Int, high: Int) throws(AuditOutputError)

    /// Whether something has cut the file since the last call, as `copytruncate` does. Call it before each batch.
    mutating func wasTruncated() -> Bool

    /// A second call does nothing.
    mutating func close()
}

extension AuditOutput {
    mutating func wasTruncated() -> Bool { false }
}

/// Why lines cannot be written.
struct AuditOutputError: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }

    /// - Parameter number: the system's.
    init(number: CInt) { self.description = SystemError.words(number) }

    /// Nothing was taken for some seconds.
    static let stalled = AuditOutputError("what reads the lines takes none")
}
